/**
 * About how much the deleted ranges in memory hide: bytes that leave memory, logs and tables once these memtables are flushed.
 *
 * Thread: main. Pure.
 */
import type { MemtableArena } from '../../shared/memtable/arena.ts';
import { shareBefore } from '../../shared/memtable/tree-share.ts';
import type { Version } from '../../shared/read/version.ts';
import type { LiveMemtable } from '../write/memtable-list.ts';

/** Stretches that are looked at: who deletes more ranges at once has many flushed for their number (upkeep.ts). */
const MAX_STRETCHES = 1024;

export interface HiddenBytes {
  /** In the memtables themselves, whatever of it is newer than the ranges. */
  readonly memory: number;
  readonly tables: number;
}

export function hiddenBytes(live: readonly LiveMemtable[], version: Version): HiddenBytes {
  let [memory, tables] = [0, 0];
  for (const { memtable } of live) {
    const { arena, ranges } = memtable;
    if (ranges === undefined) continue;
    let looked = 0;
    let start: Uint8Array | undefined;
    for (const [key, sequence] of ranges.at(Number.MAX_SAFE_INTEGER)) {
      if (start !== undefined) {
        memory += bytesBetween(arena, start, key);
        tables += version.approximateBytes({ start, end: key });
      }
      start = sequence > 0 ? key : undefined;
      if (++looked > MAX_STRETCHES) break;
    }
    if (start === undefined || looked > MAX_STRETCHES) continue;
    memory += bytesBetween(arena, start, undefined);
    tables += version.approximateBytes({ start });
  }
  return { memory, tables };
}

function bytesBetween(arena: MemtableArena, start: Uint8Array, end: Uint8Array | undefined): number {
  const share = (end === undefined ? 1 : shareBefore(arena, end)) - shareBefore(arena, start);
  return share * (arena.dataEnd - arena.dataStart);
}
