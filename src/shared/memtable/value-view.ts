/**
 * A value without a copy, where that is safe: in a memtable's arena, whose entries never change, and which is marked as lent, so
 * that its memory serves no other memtable and lives as long as anything refers to it. Everything else that lookups find lies in
 * memory that the next lookup uses.
 *
 * Thread: any.
 */
import { types } from 'node:util';
import type { Entry } from '../base/entry.ts';
import { lend } from './arena.ts';

/** The entry's value as a view of the arena it lies in; undefined: it lies in none, and has to be copied. */
export function viewInArena({ valueBytes, valueStart, valueEnd }: Entry): Buffer | undefined {
  return types.isSharedArrayBuffer(valueBytes.buffer) ? lend(valueBytes, valueStart, valueEnd) : undefined;
}
