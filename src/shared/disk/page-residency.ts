/**
 * Which parts of a mapped file can be touched without waiting for the disk.
 *
 *   chunk   CHUNK_PAGES pages, asked for at once (mincore(2)) and trusted until the next tick of the reader's PageClock
 *           all of them in memory:     an answer is a comparison of two numbers
 *           some of them:              those are trusted, one by one; the others are asked for again each time
 *
 *   tick    a second. A tenth of that after pages were found cold, as memory is short then, and pages leave it. Longer where
 *           asking would take more than a fiftieth of the time: of a hundred gigabytes of warm data.
 *
 * What is trusted may have left memory in the meantime: then one read of a page is waited for in the call, as it was of every
 * page before.
 *
 * Thread:     the reader's.     Memory: 16 bytes per chunk.
 * Not chosen: asking before each read: a call costs as much as all the rest of a lookup. Reading with preadv2(RWF_NOWAIT) in
 *             place of the mapping: the same, and a copy.
 */

import { clearTimeout, setTimeout } from '../base/timers.ts';
import type { PageMap } from '../files/memory-map.ts';

/** Two words of bits. */
const CHUNK_PAGES = 64;
const WARM_TICK_MS = 1000;
const COLD_TICK_MS = 100;
const LONGEST_TICK_MS = 10_000;
/** A check costs about 0.002 ms, of which the fiftieth part of the time may consist. */
const TICK_MS_PER_CHECK = 0.1;

/** Says when what was found is to be trusted no longer. One per reader. */
export class PageClock {
  /** Counted up by every tick. */
  tick = 1;
  #checks = 0;
  #hasFoundCold = false;
  #timer: NodeJS.Timeout | undefined;

  /** A chunk was asked for. */
  noteCheck(isWarm: boolean): void {
    this.#checks++;
    if (isWarm && this.#timer !== undefined) return;
    if (isWarm) {
      this.#arm(WARM_TICK_MS);
    } else if (!this.#hasFoundCold) {
      this.#hasFoundCold = true;
      clearTimeout(this.#timer);
      this.#arm(COLD_TICK_MS);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#next(), ms);
    this.#timer.unref();
  }

  #next(): void {
    this.tick++;
    this.#timer = undefined;
    const base = this.#hasFoundCold ? COLD_TICK_MS : WARM_TICK_MS;
    const ms = Math.min(LONGEST_TICK_MS, Math.max(base, this.#checks * TICK_MS_PER_CHECK));
    // Without checks nothing is trusted any more, so that nothing grows old.
    if (this.#checks > 0) this.#arm(ms);
    this.#checks = 0;
    this.#hasFoundCold = false;
  }
}

/** Of one mapping. */
export class PageResidency {
  readonly #map: PageMap;
  readonly #clock: PageClock;
  readonly #pageCount: number;
  /** Pages per byte, and chunks: powers of two, so that multiplying is exact. */
  readonly #perByte: number;
  readonly #chunksPerByte: number;
  /** By chunk: the tick in which all of it was found in memory, and that in which it was not. */
  readonly #whole: Uint32Array;
  readonly #partial: Uint32Array;
  /** Two words per chunk: what was found, good in the tick of #partial. */
  readonly #bits: Uint32Array;
  readonly #found = new Uint8Array(CHUNK_PAGES);

  constructor(map: PageMap, byteLength: number, clock: PageClock) {
    this.#map = map;
    this.#clock = clock;
    this.#perByte = 1 / map.pageBytes;
    this.#chunksPerByte = 1 / (map.pageBytes * CHUNK_PAGES);
    this.#pageCount = Math.ceil(byteLength / map.pageBytes);
    const chunks = Math.ceil(this.#pageCount / CHUNK_PAGES);
    this.#whole = new Uint32Array(chunks);
    this.#partial = new Uint32Array(chunks);
    this.#bits = new Uint32Array(2 * chunks);
  }

  /** Whether these bytes of the file, at least one, can be touched. */
  has(offset: number, length: number): boolean {
    const { tick } = this.#clock;
    const end = offset + length - 1;
    const first = Math.floor(offset * this.#chunksPerByte);
    const last = Math.floor(end * this.#chunksPerByte);
    if (first === last && this.#whole[first] === tick) return true;
    const endPage = Math.floor(end * this.#perByte);
    let page = Math.floor(offset * this.#perByte);
    for (let chunk = first; chunk <= last; chunk++) {
      const lastPage = Math.min(endPage, (chunk + 1) * CHUNK_PAGES - 1);
      if (this.#whole[chunk] !== tick && !this.#hasPages(chunk, page, lastPage)) return false;
      page = lastPage + 1;
    }
    return true;
  }

  /** Pages `first` to `last`, of one chunk that isn't known to be there as a whole. */
  #hasPages(chunk: number, first: number, last: number): boolean {
    if (this.#partial[chunk] !== this.#clock.tick) this.#askAll(chunk);
    if (this.#whole[chunk] === this.#clock.tick) return true;
    const start = chunk * CHUNK_PAGES;
    for (let page = first; page <= last; page++) {
      const bit = page - start;
      const word = 2 * chunk + (bit >>> 5);
      const mask = 1 << (bit & 31);
      if ((this.#bits[word]! & mask) !== 0) continue;
      // It may have been read since.
      if (this.#map.residentPages(page, 1, this.#found) !== 1) return false;
      this.#bits[word]! |= mask;
    }
    return true;
  }

  #askAll(chunk: number): void {
    const start = chunk * CHUNK_PAGES;
    const count = Math.min(CHUNK_PAGES, this.#pageCount - start);
    const isWhole = this.#map.residentPages(start, count, this.#found) === count;
    this.#clock.noteCheck(isWhole);
    if (isWhole) {
      this.#whole[chunk] = this.#clock.tick;
      return;
    }
    this.#partial[chunk] = this.#clock.tick;
    for (let half = 0; half < 2; half++) {
      let bits = 0;
      for (let i = 0; i < 32; i++) bits |= (this.#found[32 * half + i]! & 1) << i;
      this.#bits[2 * chunk + half] = bits;
    }
  }
}
