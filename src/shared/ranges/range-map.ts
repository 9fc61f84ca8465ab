/**
 * Deleted ranges, one over the other: which of them is the newest, for each key. A value that never changes: with one range more
 * it is another RangeMap, which shares nearly all memory with the one before.
 *
 *   assign [b, h) 30     b:30 h:0
 *   assign [e, p) 50     b:30 e:50 p:0                a boundary, and the sequence of the keys from it to the next one
 *   assign [a, -) 60     a:60
 *
 * Boundaries lie in chunks (boundary-chunk.ts); what changes is copied: one chunk, and the list of chunks. So a reader that goes
 * on for long keeps what it began with, at no cost for writers, and 100,000 ranges are searched by two bisections in small
 * arrays.
 *
 * Invariants: boundaries rise strictly. Each range is newer than those before it. The first sequence of a map is not 0.
 * Thread:     any. Pure.
 * Not chosen: all sequences over each key (RocksDB's fragments): a range that grows with each delete, as retention makes them,
 *             would have as many as there were deletes. Who reads an older moment has a map of that moment.
 */
import { headOf, sharedPrefixLength } from '../base/bytes.ts';
import { ROW_FIELDS } from '../base/entry-batch.ts';
import { BoundaryChunk, type BoundaryPiece, compareHead, countByHead } from './boundary-chunk.ts';
import { type SweptRange, sweep } from './range-sweep.ts';
import type { RangeSource, RowsToCover, Stretch } from './stretch.ts';

/** Ranges are taken one by one where that costs less than a sweep over all: each copies a chunk and the list of chunks. */
const SWEEP_COST = 10;

const NO_HEADS = new Uint32Array(0);

export class RangeMap implements RangeSource {
  /** Nothing is deleted. */
  static empty(): RangeMap {
    return new RangeMap([], 0, NO_HEADS, 0);
  }

  readonly #chunks: readonly BoundaryChunk[];
  /** How many boundaries there are. */
  readonly length: number;
  /** Of the first keys of the chunks: the four bytes behind the `#prefix` that all of them share. */
  readonly #heads: Uint32Array;
  readonly #prefix: number;

  private constructor(chunks: readonly BoundaryChunk[], length: number, heads: Uint32Array, prefix: number) {
    this.#chunks = chunks;
    this.length = length;
    this.#heads = heads;
    this.#prefix = prefix;
  }

  /** This, with [start, end) deleted by `sequence`, which is newer than all others. Copies the bounds. */
  assign(start: Uint8Array, end: Uint8Array | undefined, sequence: number): RangeMap {
    const chunks = this.#chunks;
    const first = this.#chunkOf(start, 0, start.length);
    const isBounded = end !== undefined && chunks.length > 0;
    // What comes before all others joins the first chunk.
    const last = isBounded ? Math.max(0, this.#chunkOf(end, 0, end.length)) : chunks.length - 1;
    const pieces: BoundaryPiece[] = [];
    const before = chunks[first];
    if (before !== undefined)
      pieces.push({ chunk: before, from: 0, to: before.countBelow(start, 0, start.length) });
    pieces.push({ key: start, sequence });
    if (end !== undefined) addRest(chunks[last], end, pieces);
    const from = Math.max(0, first);
    let { length } = this;
    for (let i = from; i <= last; i++) length -= chunks[i]!.count;
    const fresh = BoundaryChunk.of(pieces);
    for (const { count } of fresh) length += count;
    return this.#replaced(from, last + 1, fresh, length);
  }

  /** This, with ranges of any order, all of them newer than what is here. */
  assignAll(ranges: readonly SweptRange[]): RangeMap {
    if (ranges.length * SWEEP_COST < this.length) {
      let map: RangeMap = this;
      const byAge = [...ranges].sort((a, b) => a.sequence - b.sequence);
      for (const { start, end, sequence } of byAge) map = map.assign(start, end, sequence);
      return map;
    }
    const all = [...ranges];
    let open: { readonly start: Uint8Array; readonly sequence: number } | undefined;
    for (const [key, sequence] of this) {
      if (open !== undefined && open.sequence > 0) all.push({ ...open, end: key });
      open = { start: key, sequence };
    }
    if (open !== undefined && open.sequence > 0) all.push({ ...open, end: undefined });
    const boundaries = sweep(all);
    if (boundaries.length === 0) return this;
    return RangeMap.empty().#replaced(0, 0, BoundaryChunk.of(boundaries), boundaries.length);
  }

  /** With `fresh` in place of the chunks [from, to). */
  #replaced(from: number, to: number, fresh: readonly BoundaryChunk[], length: number): RangeMap {
    const chunks = [...this.#chunks.slice(0, from), ...fresh, ...this.#chunks.slice(to)];
    const [a, b] = [chunks[0]!, chunks.at(-1)!];
    const prefix = sharedPrefixLength(a.bytes, 0, a.ends[0]!, b.bytes, 0, b.ends[0]!);
    const heads = new Uint32Array(chunks.length);
    const isKept = prefix === this.#prefix;
    if (isKept) {
      heads.set(this.#heads.subarray(0, from));
      heads.set(this.#heads.subarray(to), from + fresh.length);
    }
    const [begin, end] = isKept ? [from, from + fresh.length] : [0, chunks.length];
    for (let i = begin; i < end; i++) {
      const { bytes, ends } = chunks[i]!;
      heads[i] = headOf(bytes, prefix, ends[0]!);
    }
    return new RangeMap(chunks, length, heads, prefix);
  }

  /** The sequence of the newest range that covers bytes[start, end); 0: none does. */
  sequenceAt(bytes: Uint8Array, start: number, end: number): number {
    const chunk = this.#chunks[this.#chunkOf(bytes, start, end)];
    return chunk === undefined ? 0 : chunk.sequences[chunk.countUpTo(bytes, start, end) - 1]!;
  }

  /** All of it is below or at the sequence that the map was made for: `maxSequence` counts for nothing. */
  stretchAt(bytes: Uint8Array, start: number, end: number, _maxSequence: number, into: Stretch): void {
    if (into.origin === this && this.#isBeside(into, bytes, start, end)) return;
    const place = this.#chunkOf(bytes, start, end);
    const chunk = this.#chunks[place];
    into.origin = this;
    this.#show(place, chunk === undefined ? 0 : chunk.countUpTo(bytes, start, end) - 1, into);
  }

  coverRows({ batch, near }: RowsToCover, from: number, to: number, into: Float64Array): void {
    const { keyBytes, rows } = batch;
    const isNear = near.origin === this;
    let chunk = isNear ? this.#chunks[near.place] : undefined;
    let at = isNear && chunk !== undefined ? near.at : -1;
    for (let row = from; row < to; row++) {
      const start = rows[row * ROW_FIELDS]!;
      const end = rows[row * ROW_FIELDS + 1]!;
      if (at >= 0) at = chunk!.walk(at, keyBytes, start, end);
      if (at < 0) {
        chunk = this.#chunks[this.#chunkOf(keyBytes, start, end)];
        at = chunk === undefined ? -1 : chunk.countUpTo(keyBytes, start, end) - 1;
      }
      into[row] = at < 0 ? 0 : chunk!.sequences[at]!;
    }
  }

  /** Moves to the stretch before or behind, if the key lies there, in the same chunk. */
  #isBeside(stretch: Stretch, bytes: Uint8Array, start: number, end: number): boolean {
    const { place, at } = stretch;
    const chunk = this.#chunks[place];
    if (chunk === undefined || at < 0) return false;
    if (chunk.isBetween(at + 1, bytes, start, end)) {
      stretch.goOn(chunk.sequences[at + 1]!, chunk.key(at + 2));
      return true;
    }
    if (at === 0 || !chunk.isBetween(at - 1, bytes, start, end)) return false;
    stretch.goBack(chunk.sequences[at - 1]!, chunk.key(at - 1));
    return true;
  }

  #show(place: number, at: number, into: Stretch): void {
    const chunk = this.#chunks[place];
    const next = this.#chunks[place + 1];
    into.place = place;
    into.at = at;
    if (chunk === undefined) {
      into.sequence = 0;
      into.start = undefined;
      into.end = next?.key(0);
      return;
    }
    into.sequence = chunk.sequences[at]!;
    into.start = chunk.key(at);
    into.end = at + 1 < chunk.count ? chunk.key(at + 1) : next?.key(0);
  }

  /** All boundaries, with the sequence of the keys behind each; the last one has none unless the last range has no end. */
  *[Symbol.iterator](): Generator<readonly [key: Uint8Array, sequence: number]> {
    for (const chunk of this.#chunks)
      for (let i = 0; i < chunk.count; i++) yield [chunk.key(i), chunk.sequences[i]!];
  }

  /** The last chunk that begins at or before the key; -1: there is none. */
  #chunkOf(bytes: Uint8Array, start: number, end: number): number {
    const chunks = this.#chunks;
    if (chunks.length === 0) return -1;
    const prefix = this.#prefix;
    const order = compareHead(chunks[0]!.bytes, prefix, bytes, start, end);
    if (order !== 0) return order < 0 ? -1 : chunks.length - 1;
    const head = headOf(bytes, start + prefix, end);
    let place = countByHead(this.#heads, chunks.length, head) - 1;
    // Those with the same head are told apart by their whole keys.
    while (place >= 0 && this.#heads[place] === head && chunks[place]!.compareFirst(bytes, start, end) > 0)
      place--;
    return place;
  }
}

/** What `chunk`, in which the range ends, has from `end` on. */
function addRest(chunk: BoundaryChunk | undefined, end: Uint8Array, pieces: BoundaryPiece[]): void {
  if (chunk === undefined) {
    pieces.push({ key: end, sequence: 0 });
    return;
  }
  const count = chunk.countBelow(end, 0, end.length);
  // What was there right before the end goes on behind it.
  if (!chunk.isAt(count, end))
    pieces.push({ key: end, sequence: count > 0 ? chunk.sequences[count - 1]! : 0 });
  if (count < chunk.count) pieces.push({ chunk, from: count, to: chunk.count });
}
