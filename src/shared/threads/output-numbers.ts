/**
 * The file numbers that a job has taken for its outputs: a number is spent when a file is about to bear it, and not before.
 *
 *   Int32 word 0       how many numbers follow
 *              1..     the numbers, in the order in which they were taken
 *
 * The worker takes a number (control-block.ts) and notes it here, then makes the file. So main knows every file that a job may
 * have begun, also of a worker that died, and that what a worker answers is about its own files.
 *
 * Invariants: a file of the job bears a number that is noted. No number is taken twice in a store.
 * Thread:     any: the worker writes; main reads, while it does or later. Words are only touched through Atomics.
 * Not chosen: numbers that main reserves, as many as a job can need at most. What is left of them is lost, or has to be kept
 *             for others; and a merge whose outputs outgrow what was thought of has none left.
 */
import { assert } from '../base/assert.ts';
import { type FileNumber, fileNumber } from '../base/ids.ts';
import type { ControlBlock } from './control-block.ts';

export class OutputNumbers {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Main: for a job that makes at most `count` files. */
  static create(count: number): OutputNumbers {
    assert(Number.isSafeInteger(count) && count > 0, 'a job needs room for at least one output');
    return new OutputNumbers(new SharedArrayBuffer((1 + count) * 4));
  }

  /** How many may be taken. */
  get capacity(): number {
    return this.#words.length - 1;
  }

  /**
   * Worker: the number of the file that it makes next.
   * @throws {@link StorageError} STRATA_READ_ONLY when there is none left.
   */
  take(control: ControlBlock): FileNumber {
    const count = Atomics.load(this.#words, 0);
    assert(count < this.capacity, 'a job must not make more files than it has room to note');
    const number = control.takeFileNumbers(1);
    Atomics.store(this.#words, 1 + count, number);
    Atomics.store(this.#words, 0, count + 1);
    return number;
  }

  /** In the order in which they were taken. */
  get taken(): FileNumber[] {
    const count = Math.min(this.capacity, Math.max(0, Atomics.load(this.#words, 0)));
    return Array.from({ length: count }, (_, i) => fileNumber(Atomics.load(this.#words, 1 + i)));
  }
}
