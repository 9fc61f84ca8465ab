/**
 * What compact() is asked for: a range of keys, validated at the call.
 *
 * Thread: any. Pure.
 */
import { type Bytes, ownedKeyBytes } from './input-bytes.ts';
import type { KeyRange } from './iterator.ts';
import { checkObject } from './option-checks.ts';

/** A range of `compact`: both bounds inclusive, as LevelDB's CompactRange has them. */
export interface CompactRange {
  readonly start?: Bytes;
  readonly end?: Bytes;
}

const COMPACT_NAMES: ReadonlySet<string> = new Set(['start', 'end']);

export function resolveCompactRange(range: CompactRange = {}): KeyRange {
  checkObject(range, 'compact range', COMPACT_NAMES);
  const { start, end } = range;
  return {
    start: start === undefined ? undefined : ownedKeyBytes(start),
    end: end === undefined ? undefined : ownedKeyBytes(end),
  };
}
