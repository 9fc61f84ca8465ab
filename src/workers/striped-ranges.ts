/**
 * The deleted ranges of a job's inputs, by who sees them, and what is left of them in its outputs.
 *
 * Open snapshots cut the sequences into stripes (compaction-iterator.ts). Whoever sees an entry of a stripe sees each delete of
 * the same stripe, too: so an entry may go when a newer range of its own stripe covers it, and of ranges over one key the newest
 * of each stripe is enough.
 *
 *   hides       whether an entry may go for a range
 *   hidesAll    whether all entries of a table may, so that it need not be read
 *   cut         the ranges that go into an output with these bounds
 *
 * A range of stripe 0, which every reader sees, is left out where no deeper table holds one of its keys: it has hidden what it
 * had to hide in the job itself.
 *
 * Requires:   keys asked for by `hides` ascend.
 * Invariants: the outputs' ranges, together, delete what the inputs' did from all that is deeper, for every reader.
 * Thread:     any; pure.
 */
import { compareBytes, compareKeys } from '../shared/base/bytes.ts';
import type { SequenceNumber } from '../shared/base/ids.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { type RangeBoundary, RangeDeletes } from '../shared/ranges/range-deletes.ts';
import { RangeMap } from '../shared/ranges/range-map.ts';
import { Stretch } from '../shared/ranges/stretch.ts';
import type { DeeperLevels } from './deeper-levels.ts';

/** [start, end), deleted by `sequence`. */
export interface DeletedRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly sequence: number;
}

/** Used within one call. */
const scratch = new Stretch();

export class StripedRanges {
  readonly #snapshots: readonly SequenceNumber[];
  /** By stripe. */
  readonly #maps: readonly RangeMap[];
  /** The stretch of each stripe around the key asked for last. */
  readonly #stretches: readonly Stretch[];
  readonly #isKnown: boolean[];
  readonly #left: readonly RangeBoundary[];

  private constructor(
    ranges: readonly DeletedRange[],
    snapshots: readonly SequenceNumber[],
    deeper: DeeperLevels,
  ) {
    this.#snapshots = snapshots;
    const byStripe: DeletedRange[][] = [...snapshots, 0].map(() => []);
    for (const range of ranges) byStripe[stripeOf(snapshots, range.sequence)]!.push(range);
    const maps = byStripe.map((found) => RangeMap.empty().assignAll(found));
    this.#maps = maps;
    this.#stretches = maps.map(() => new Stretch());
    this.#isKnown = maps.map(() => false);
    this.#left = leftOf(maps, deeper);
  }

  /** undefined: nothing is deleted. `snapshots` ascend; `deeper`: one that nobody else asks. */
  static of(
    ranges: readonly DeletedRange[],
    snapshots: readonly SequenceNumber[],
    deeper: DeeperLevels,
  ): StripedRanges | undefined {
    return ranges.length === 0 ? undefined : new StripedRanges(ranges, snapshots, deeper);
  }

  /** Whether a newer range of its stripe covers an entry. */
  hides(bytes: Uint8Array, start: number, end: number, sequence: number, stripe: number): boolean {
    return this.#sequenceAt(stripe, bytes, start, end) > sequence;
  }

  /** Whether a range that every reader sees covers the key. */
  covers(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#sequenceAt(0, bytes, start, end) > 0;
  }

  /** Whether ranges hide every entry that the table can hold. */
  hidesAll({ smallestKey, largestKey, smallestSequence, largestSequence }: TableInfo): boolean {
    const stripe = stripeOf(this.#snapshots, largestSequence);
    if (stripeOf(this.#snapshots, smallestSequence) !== stripe) return false;
    const map = this.#maps[stripe]!;
    for (let key: Uint8Array | undefined = smallestKey; key !== undefined; key = scratch.end) {
      if (compareKeys(key, largestKey) > 0) return true;
      map.stretchAt(key, 0, key.length, 0, scratch);
      if (scratch.sequence <= largestSequence) return false;
    }
    return true;
  }

  /** What is left in [from, to); undefined: nothing. */
  cut(from: Uint8Array | undefined, to: Uint8Array | undefined): RangeDeletes | undefined {
    const boundaries: RangeBoundary[] = [];
    let before: readonly number[] = [];
    for (const { key, sequences } of this.#left) {
      if (to !== undefined && compareKeys(key, to) >= 0) break;
      if (from === undefined || compareKeys(key, from) > 0) {
        if (boundaries.length === 0 && before.length > 0) boundaries.push({ key: from!, sequences: before });
        if (boundaries.length > 0 || sequences.length > 0) boundaries.push({ key, sequences });
      } else if (compareKeys(key, from) === 0 && sequences.length > 0) boundaries.push({ key, sequences });
      before = sequences;
    }
    if (boundaries.length === 0 && before.length > 0 && from !== undefined)
      boundaries.push({ key: from, sequences: before });
    // The last range is cut by the end.
    if (before.length > 0) boundaries.push({ key: to!, sequences: [] });
    return boundaries.length === 0 ? undefined : RangeDeletes.of(boundaries);
  }

  #sequenceAt(stripe: number, bytes: Uint8Array, start: number, end: number): number {
    const stretch = this.#stretches[stripe]!;
    const behind = stretch.end;
    if (
      !this.#isKnown[stripe] ||
      (behind !== undefined && compareBytes(bytes, start, end, behind, 0, behind.length) >= 0)
    ) {
      this.#maps[stripe]!.stretchAt(bytes, start, end, 0, stretch);
      this.#isKnown[stripe] = true;
    }
    return stretch.sequence;
  }
}

/** The index of the first snapshot that sees `sequence`; the number of snapshots when only new reads do. */
export function stripeOf(snapshots: readonly SequenceNumber[], sequence: number): number {
  let low = 0;
  let high = snapshots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (snapshots[middle]! < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What the outputs are to hold, as boundaries: the first has sequences, the last none; neighbours differ. */
function leftOf(maps: readonly RangeMap[], deeper: DeeperLevels): RangeBoundary[] {
  const changes = maps.flatMap((map, stripe) =>
    Array.from(map, ([key, sequence]) => ({ key, sequence, stripe })),
  );
  if (maps.filter((map) => map.length > 0).length > 1) changes.sort((a, b) => compareKeys(a.key, b.key));
  const boundaries: RangeBoundary[] = [];
  const newest = maps.map(() => 0);
  let before: readonly number[] = [];
  for (let i = 0; i < changes.length; i++) {
    const { key, sequence: changed, stripe: ofStripe } = changes[i]!;
    newest[ofStripe] = changed;
    const next = changes[i + 1]?.key;
    if (next !== undefined && compareKeys(key, next) === 0) continue;
    const isNeeded = newest[0]! > 0 && next !== undefined && deeper.mayHoldAny(key, next);
    const sequences: number[] = [];
    for (let stripe = maps.length - 1; stripe >= (isNeeded ? 0 : 1); stripe--)
      if (newest[stripe]! > 0) sequences.push(newest[stripe]!);
    if (isSame(before, sequences)) continue;
    boundaries.push({ key, sequences });
    before = sequences;
  }
  return boundaries;
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((sequence, i) => sequence === b[i]);
}
