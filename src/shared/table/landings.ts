/**
 * Blocks of one table that were read for somebody who waits: between the disk and the attempt that uses them.
 *
 *   fetch(first, last)     one read for all of the blocks that nobody has asked for; those under way are waited for
 *   bytesOf(index)         what an attempt finds
 *   release                of the last one who wanted a block: it is gone; a read none of whose blocks is wanted is withdrawn
 *
 * Invariants: a block is read once, however many wait for it. The table stays open while any of them is wanted or under way.
 * Owns:       the bytes, as long as somebody wants them. How much that is bounds the disk's queue, and whoever reads ahead.
 * Thread:     the reader's.
 */
import { QueueTicket } from '../disk/disk-queue.ts';
import type { Fetched } from '../disk/would-wait.ts';
import type { BlockSource } from './block-source.ts';
import type { SparseIndex } from './sparse-index.ts';

/** A read of one or more blocks. */
class Read {
  readonly ticket: QueueTicket = new QueueTicket();
  ready: Promise<void> = Promise.resolve();
  /** How many of its blocks somebody wants. */
  wanted = 0;
}

class Landing {
  readonly read: Read;
  users = 0;
  bytes: Uint8Array | undefined;

  constructor(read: Read) {
    this.read = read;
  }
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
    const landings = new Map<number, Landing>();
    const reads = new Set<Read>();
    for (let index = first; index <= last; index++) {
      const landing = this.#blocks.get(index) ?? this.#readFrom(index, last, isUrgent);
      landing.users++;
      landings.set(index, landing);
      reads.add(landing.read);
    }
    if (isUrgent) for (const read of reads) read.ticket.hurry();
    const release = this.#hold();
    const ready = Promise.all([...reads].map((read) => read.ready)).then(() => undefined);
    // Whoever reads ahead may never ask.
    ready.catch(() => undefined);
    return {
      ready,
      release: () => {
        for (const [index, landing] of landings) this.#drop(index, landing);
        release();
      },
    };
  }

  /** Begins to read block `first` and those behind it, up to `last`, that nobody has asked for. */
  #readFrom(first: number, last: number, isUrgent: boolean): Landing {
    const blocks = this.#blocks!;
    const read = new Read();
    const landings: [number, Landing][] = [];
    for (let index = first; index <= last && !blocks.has(index); index++) {
      const landing = new Landing(read);
      blocks.set(index, landing);
      landings.push([index, landing]);
    }
    read.wanted = landings.length;
    const end = first + landings.length - 1;
    const start = this.#index.blockOffset(first);
    const length = this.#index.blockOffset(end) + this.#index.blockSize(end) - start;
    const release = this.#hold();
    read.ready = this.#source
      .readLater(start, length, isUrgent, read.ticket)
      .then((bytes) => {
        for (const [index, landing] of landings) {
          const at = this.#index.blockOffset(index) - start;
          landing.bytes = bytes.subarray(at, at + this.#index.blockSize(index));
        }
      })
      .catch((error: unknown) => {
        // The next one who wants it has it read again: the disk may be better by then.
        for (const [index, landing] of landings) this.#forget(index, landing);
        throw error;
      })
      .finally(release);
    read.ready.catch(() => undefined);
    return landings[0]![1];
  }

  #drop(index: number, landing: Landing): void {
    if (--landing.users > 0) return;
    this.#forget(index, landing);
    if (--landing.read.wanted === 0) landing.read.ticket.withdraw();
  }

  #forget(index: number, landing: Landing): void {
    if (this.#blocks!.get(index) === landing) this.#blocks!.delete(index);
  }
}
