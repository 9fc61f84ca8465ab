/**
 * What compact() is asked for: a range of keys in one of two forms, validated at the call.
 *
 * Invariants: never a mixture of both.
 * Thread:     any. Pure.
 */
import { invalidArgument } from './errors.ts';
import { type Bytes, ownedKeyBytes } from './input-bytes.ts';
import type { KeyRange as HalfOpenRange } from './iterator.ts';
import { boundsOf, type KeyRange, RANGE_NAMES } from './key-range.ts';
import { checkObject } from './option-checks.ts';

/** A range of `compact`: both bounds inclusive, as LevelDB's CompactRange has them. */
export interface CompactRange {
  readonly start?: Bytes | undefined;
  readonly end?: Bytes | undefined;
}

/** Either form, of bytes alone. */
type OwnedRange = { readonly [name in keyof KeyRange | keyof CompactRange]?: Uint8Array };

const NAMES: readonly (keyof OwnedRange)[] = ['start', 'end', ...RANGE_NAMES];
const COMPACT_NAMES: ReadonlySet<string> = new Set(NAMES);

export function resolveCompactRange(range: KeyRange | CompactRange | undefined): HalfOpenRange {
  return inOneForm(copyOf(range));
}

/** A checked copy of the caller's range, for another thread that will resolve it. */
export function ownedCompactRange(range: KeyRange | CompactRange | undefined): KeyRange | CompactRange {
  const own = copyOf(range);
  inOneForm(own);
  return own;
}

function copyOf(range: KeyRange | CompactRange = {}): OwnedRange {
  checkObject(range, 'compact range', COMPACT_NAMES);
  const own: { -readonly [name in keyof OwnedRange]: OwnedRange[name] } = {};
  for (const name of NAMES) {
    const bound = (range as KeyRange & CompactRange)[name];
    if (bound !== undefined) own[name] = ownedKeyBytes(bound);
  }
  return own;
}

function inOneForm(own: OwnedRange): HalfOpenRange {
  const { start, end, ...range } = own;
  if (start === undefined && end === undefined) return boundsOf(range);
  if (RANGE_NAMES.some((name) => range[name] !== undefined))
    throw invalidArgument('a compact range has either start and end or the fields of a key range, not both');
  return boundsOf({ gte: start, lte: end });
}
