/**
 * What a reader makes of the entry that a lookup has found: the value, whether there is one, or when it expires.
 *
 * A read of one key asks the clock when it has found an entry that expires, and not otherwise: so a value is not handed out once
 * its moment has come, however long the disk took. Reads of many entries (getMany, scans) are of one time, asked for when they
 * begin, if what they read may expire at all; those of a snapshot and of a transaction are of its time.
 *
 * Thread: any.
 */
import { copyBytes } from '../base/bytes.ts';
import { type Entry, EntryKind } from '../base/entry.ts';
import { EXPIRY_BYTES, expiryOf, NOTHING_EXPIRES } from '../base/expiry.ts';
import type { Clock } from '../threads/shared-clock.ts';
import { takeValue } from './read-options.ts';
import type { ReadableMemtable } from './readable-memtables.ts';
import type { Version } from './version.ts';

/** What is asked of a key. */
export type Wanted = 'value' | 'presence' | 'expiry';

const FOUND = Buffer.alloc(0);

/** undefined: there is nothing of the sort. A presence is any bytes, an expiry 8: {@link expiryOf} of a value. */
export function answerOf(
  entry: Entry,
  wanted: Wanted,
  clock: Clock,
  options: { readonly zeroCopy?: boolean } | undefined,
): Buffer | undefined {
  if (entry.kind === EntryKind.ExpiringPut) return answerOfExpiring(entry, wanted, clock, options);
  if (entry.kind !== EntryKind.Put || wanted === 'expiry') return undefined;
  return wanted === 'value' ? takeValue(entry, options) : FOUND;
}

function answerOfExpiring(
  entry: Entry,
  wanted: Wanted,
  clock: Clock,
  options: { readonly zeroCopy?: boolean } | undefined,
): Buffer | undefined {
  if (expiryOf(entry) <= clock.now()) return undefined;
  if (wanted === 'presence') return FOUND;
  const valueAt = entry.valueStart + EXPIRY_BYTES;
  if (wanted === 'expiry') return Buffer.from(copyBytes(entry.valueBytes, entry.valueStart, valueAt).buffer);
  entry.valueStart = valueAt;
  return takeValue(entry, options);
}

/** The time by which a read of many entries judges what expires; NOTHING_EXPIRES where it can meet nothing of the sort. */
export function timeOfRead(memtables: readonly ReadableMemtable[], version: Version, clock: Clock): number {
  if (version.mayExpire) return clock.now();
  for (let i = 0; i < memtables.length; i++) if (memtables[i]!.memtable.expiringCount > 0) return clock.now();
  return NOTHING_EXPIRES;
}

/** A time that stands still: of a snapshot. */
export class FixedTime implements Clock {
  readonly #ms: number;

  constructor(ms: number) {
    this.#ms = ms;
  }

  now(): number {
    return this.#ms;
  }
}
