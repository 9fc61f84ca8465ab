/**
 * Blocks of one table that were read for somebody who waits: between the disk and the attempt that uses them.
 *
 *   fetch(first, last)     one read for all of the blocks that nobody has asked for; those under way are waited for
 *   bytesOf(index)         what an attempt finds
 *   release                of the last one who wanted a block: it is gone
 *
 * Invariants: a block is read once, however many wait for it. The table stays open while any of them is wanted or under way.
 * Owns:       the bytes, as long as somebody wants them. How much that is bounds the disk's queue, and whoever reads ahead.
 * Thread:     the reader's.
 */
import type { Fetched } from '../disk/would-wait.ts';
import type { BlockSource } from './block-source.ts';
import type { SparseIndex } from './sparse-index.ts';

class Landing {
  users = 0;
  bytes: Uint8Array | undefined;
  ready: Promise<void> = Promise.resolve();
}

export class Landings {
  readonly #source: BlockSource;
  readonly #index: SparseIndex;
  readonly #hold: () => () => void;
  /** Made when first needed: most tables are never waited for. */
  #blocks: Map<number, Landing> | undefined;

  constructor(source: BlockSource, index: SparseIndex, hold: () => () => void) {
    this.#source = source;
    this.#index = index;
    this.#hold = hold;
  }

  /** The sealed bytes of a block that has landed. */
  bytesOf(index: number): Uint8Array | undefined {
    return this.#blocks?.get(index)?.bytes;
  }

  fetch(first: number, last: number, isUrgent: boolean): Fetched {
    this.#blocks ??= new Map();
    const wanted = new Map<number, Landing>();
    let missing: number[] = [];
    for (let index = first; index <= last; index++) {
      let landing = this.#blocks.get(index);
      if (landing === undefined) {
        landing = new Landing();
        this.#blocks.set(index, landing);
        missing.push(index);
      } else if (missing.length > 0) {
        this.#read(missing, isUrgent);
        missing = [];
      }
      landing.users++;
      wanted.set(index, landing);
    }
    if (missing.length > 0) this.#read(missing, isUrgent);
    const release = this.#hold();
    const ready = Promise.all([...wanted.values()].map((landing) => landing.ready)).then(() => undefined);
    // Whoever reads ahead may never ask.
    ready.catch(() => undefined);
    return {
      ready,
      release: () => {
        for (const [index, landing] of wanted) this.#drop(index, landing);
        release();
      },
    };
  }

  /** Consecutive blocks, all of which have a landing. */
  #read(indexes: readonly number[], isUrgent: boolean): void {
    const blocks = this.#blocks!;
    const start = this.#index.blockOffset(indexes[0]!);
    const last = indexes[indexes.length - 1]!;
    const end = this.#index.blockOffset(last) + this.#index.blockSize(last);
    const release = this.#hold();
    const landings = indexes.map((index) => [index, blocks.get(index)!] as const);
    const ready = this.#source.readLater!(start, end - start, isUrgent)
      .then((bytes) => {
        for (const [index, landing] of landings) {
          const at = this.#index.blockOffset(index) - start;
          landing.bytes = bytes.subarray(at, at + this.#index.blockSize(index));
        }
      })
      .catch((error: unknown) => {
        // The next one who wants it has it read again: the disk may be better by then.
        for (const [index, landing] of landings) if (blocks.get(index) === landing) blocks.delete(index);
        throw error;
      })
      .finally(release);
    ready.catch(() => undefined);
    for (const [, landing] of landings) landing.ready = ready;
  }

  #drop(index: number, landing: Landing): void {
    if (--landing.users === 0 && this.#blocks!.get(index) === landing) this.#blocks!.delete(index);
  }
}
