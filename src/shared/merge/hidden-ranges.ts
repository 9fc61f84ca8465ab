/**
 * A child of a merge without what deleted ranges hide: entries of its own place below the sequence of a range, and of older
 * places all that is in one.
 *
 *   next, seek ...   as the child; on a hidden entry it goes on, and past the end of a range by a seek: what lies in a hole is
 *                    not walked, not even read
 *
 *   readBatch        as the child, then what is hidden is left out: rows and boundaries are walked in step, so small holes cost
 *                    about what the entries in them do
 *
 * Whoever is told nothing of ranges, the merge and what reads from it, stays as fast as it is. In a stretch of keys that nothing
 * covers an entry costs one comparison with its end, a batch of entries one for its last key.
 *
 * Invariants: what a newer place deletes is older than the delete there, so all of it goes, whatever its sequences: those of old
 *             tables may have been zeroed.
 * Thread:     any.      Owns: the child.
 */
import { compareBytes } from '../base/bytes.ts';
import type { Entry } from '../base/entry.ts';
import { type EntryBatch, MAX_BATCH_ROWS, ROW_FIELDS } from '../base/entry-batch.ts';
import { type InternalIterator, KeyLimit } from '../base/iterator.ts';
import { type RangeSource, Stretch } from '../ranges/stretch.ts';

/** Hidden entries that are stepped over one by one, before the child is asked to skip, or taken to the end of the hole. */
const STEPS = 8;
/** Used within one call. */
const limit = new KeyLimit();
const covers = new Float64Array(MAX_BATCH_ROWS);
const isHidden = new Uint8Array(MAX_BATCH_ROWS);

/** What hides entries of a place. */
export interface HidingRanges {
  /** Of places that are newer. */
  readonly newer: readonly RangeSource[];
  /** Of the same place; undefined: none. */
  readonly own: RangeSource | undefined;
  /** Ranges above it are not seen. */
  readonly sequence: number;
}

export class HiddenRanges implements InternalIterator {
  readonly #child: InternalIterator;
  readonly #ranges: HidingRanges;
  /** Of each newer source, then of its own, the one found last. */
  readonly #stretches: readonly Stretch[];
  /** What they have in common: from #start, up to #end. */
  #start: Uint8Array | undefined;
  #end: Uint8Array | undefined;
  /** A newer place deletes all of it. */
  #isHole = false;
  /** Entries below this sequence are hidden. */
  #own = 0;
  /** There is a stretch. */
  #isKnown = false;

  /** There where the child has them. */
  readonly skipDead?: (limit: KeyLimit) => boolean;
  readonly skipDeadBefore?: (limit: KeyLimit) => boolean;

  constructor(child: InternalIterator, ranges: HidingRanges) {
    this.#child = child;
    this.#ranges = ranges;
    this.#stretches = [...ranges.newer, undefined].map(() => new Stretch());
    if (child.skipDead !== undefined) this.skipDead = (until) => this.#forward(child.skipDead!(until));
    if (child.skipDeadBefore !== undefined)
      this.skipDeadBefore = (until) => this.#backward(child.skipDeadBefore!(until));
  }

  get entry(): Entry {
    return this.#child.entry;
  }

  seekToFirst(): boolean {
    this.#isKnown = false;
    return this.#forward(this.#child.seekToFirst());
  }

  seek(key: Uint8Array): boolean {
    this.#isKnown = false;
    return this.#forward(this.#child.seek(key));
  }

  next(): boolean {
    return this.#forward(this.#child.next());
  }

  seekToLast(): boolean {
    this.#isKnown = false;
    return this.#backward(this.#child.seekToLast());
  }

  seekBefore(key: Uint8Array): boolean {
    this.#isKnown = false;
    return this.#backward(this.#child.seekBefore(key));
  }

  prev(): boolean {
    return this.#backward(this.#child.prev());
  }

  /** Without what is hidden. */
  readBatch(batch: EntryBatch, maxRows: number): void {
    const child = this.#child;
    if (child.readBatch === undefined) {
      batch.setOne(child.entry);
      return;
    }
    child.readBatch(batch, maxRows);
    const { count } = batch;
    if (count <= 1 || (this.#own === 0 && isInside(batch, count - 1, this.#end))) return;
    if (this.#findHidden(batch)) batch.leaveOut(isHidden);
  }

  moveTo(batch: EntryBatch, row: number): void {
    this.#child.moveTo?.(batch, row);
  }

  close(): void {
    this.#child.close();
  }

  /** Of the rows behind the first, which lies in all stretches and is not hidden. */
  #findHidden(batch: EntryBatch): boolean {
    const { newer, own, sequence } = this.#ranges;
    const { count, sequences } = batch;
    isHidden.fill(0, 1, count);
    let found = false;
    for (let i = 0; i < newer.length; i++) {
      const near = this.#stretches[i]!;
      if (isInside(batch, count - 1, near.end)) continue;
      newer[i]!.coverRows({ batch, maxSequence: sequence, near }, 1, count, covers);
      for (let row = 1; row < count; row++)
        if (covers[row]! > 0) {
          isHidden[row] = 1;
          found = true;
        }
    }
    if (own === undefined) return found;
    const near = this.#stretches[newer.length]!;
    if (isInside(batch, count - 1, near.end)) covers.fill(near.sequence, 1, count);
    else own.coverRows({ batch, maxSequence: sequence, near }, 1, count, covers);
    for (let row = 1; row < count; row++)
      if (sequences[row]! < covers[row]!) {
        isHidden[row] = 1;
        found = true;
      }
    return found;
  }

  /** From where the child stands, to the next entry that is not hidden. */
  #forward(stands: boolean): boolean {
    const child = this.#child;
    for (let steps = 0; stands; ) {
      const { entry } = child;
      if (!this.#isKnown || this.#isBehind(entry) || this.#isBefore(entry)) {
        this.#look(entry.keyBytes, entry.keyStart, entry.keyEnd);
        steps = 0;
      }
      // Most holes that are met by chance hold an entry or two: a step costs a tenth of a seek.
      if (this.#isHole && ++steps > STEPS) stands = this.#end !== undefined && child.seek(this.#end);
      else if (this.#isHole) stands = child.next();
      else if (entry.sequence >= this.#own) return true;
      else stands = ++steps <= STEPS || child.skipDead === undefined ? child.next() : this.#skip(child);
    }
    return false;
  }

  /** Past what is dead in the stretch. */
  #skip(child: InternalIterator): boolean {
    const end = this.#end;
    if (end !== undefined) limit.set(end, 0, end.length);
    const stands = child.skipDead!(limit);
    limit.clear();
    return stands;
  }

  #backward(stands: boolean): boolean {
    const child = this.#child;
    for (let steps = 0; stands; ) {
      const { entry } = child;
      if (!this.#isKnown || this.#isBefore(entry) || this.#isBehind(entry)) {
        this.#look(entry.keyBytes, entry.keyStart, entry.keyEnd);
        steps = 0;
      }
      if (this.#isHole && ++steps > STEPS)
        stands = this.#start !== undefined && child.seekBefore(this.#start);
      else if (this.#isHole) stands = child.prev();
      else if (entry.sequence >= this.#own) return true;
      else {
        stands = child.prev();
        if (stands && ++steps > STEPS && child.skipDeadBefore !== undefined) stands = this.#skipBefore(child);
      }
    }
    return false;
  }

  #skipBefore(child: InternalIterator): boolean {
    const start = this.#start;
    if (start !== undefined) limit.set(start, 0, start.length);
    const stands = child.skipDeadBefore!(limit);
    limit.clear();
    return stands;
  }

  /** Finds the stretch around a key. */
  #look(keyBytes: Uint8Array, keyStart: number, keyEnd: number): void {
    const { newer, own, sequence } = this.#ranges;
    this.#isKnown = true;
    this.#isHole = false;
    this.#own = 0;
    this.#start = undefined;
    this.#end = undefined;
    for (let i = 0; i < newer.length; i++) {
      const stretch = this.#stretches[i]!;
      newer[i]!.stretchAt(keyBytes, keyStart, keyEnd, sequence, stretch);
      if (stretch.sequence > 0) {
        this.#isHole = true;
        this.#start = stretch.start;
        this.#end = stretch.end;
        return;
      }
      this.#narrow(stretch);
    }
    if (own === undefined) return;
    const stretch = this.#stretches[newer.length]!;
    own.stretchAt(keyBytes, keyStart, keyEnd, sequence, stretch);
    this.#own = stretch.sequence;
    this.#narrow(stretch);
  }

  #narrow({ start, end }: Stretch): void {
    if (start !== undefined && (this.#start === undefined || compare(start, this.#start) > 0))
      this.#start = start;
    if (end !== undefined && (this.#end === undefined || compare(end, this.#end) < 0)) this.#end = end;
  }

  #isBehind({ keyBytes, keyStart, keyEnd }: Entry): boolean {
    const end = this.#end;
    return end !== undefined && compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) >= 0;
  }

  #isBefore({ keyBytes, keyStart, keyEnd }: Entry): boolean {
    const start = this.#start;
    return start !== undefined && compareBytes(keyBytes, keyStart, keyEnd, start, 0, start.length) < 0;
  }
}

/** Whether the row comes before the end of a stretch. */
function isInside({ keyBytes, rows }: EntryBatch, row: number, end: Uint8Array | undefined): boolean {
  if (end === undefined) return true;
  const at = row * ROW_FIELDS;
  return compareBytes(keyBytes, rows[at]!, rows[at + 1]!, end, 0, end.length) < 0;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  return compareBytes(a, 0, a.length, b, 0, b.length);
}
