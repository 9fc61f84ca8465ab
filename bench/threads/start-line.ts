/**
 * The start line: a few words of shared memory between the measuring thread and its reader threads.
 *
 *   word 0      phase: 0 waiting, 1 reading, 2 over
 *   word 1 + i  operations of reader i so far
 *
 * Readers that are ready wait in `wait()`, all of them, before `go()` lets them start within microseconds of each other.
 * The counts are read while they run, so that what one of them does after the others have stopped doesn't count.
 *
 * Invariants: phases only go up. A word has one writer. A count fits: 2^31 operations are minutes of anything measured here.
 * Not chosen: messages. They arrive when a thread's event loop gets to them, which in the measuring thread is what is
 *             being measured, and in a reader is between two rounds of reads.
 */
const PHASE = 0;
const COUNTS = 1;

const WAITING = 0;
const READING = 1;
const OVER = 2;

export class StartLine {
  /** To be handed to the readers, which make a StartLine of it. */
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  static make(readers: number): StartLine {
    return new StartLine(new SharedArrayBuffer((COUNTS + readers) * Int32Array.BYTES_PER_ELEMENT));
  }

  /** Blocks until `go()`; for reader threads. */
  wait(): void {
    Atomics.wait(this.#words, PHASE, WAITING);
  }

  go(): void {
    Atomics.store(this.#words, PHASE, READING);
    Atomics.notify(this.#words, PHASE);
  }

  /** Also lets go those that still wait. */
  end(): void {
    Atomics.store(this.#words, PHASE, OVER);
    Atomics.notify(this.#words, PHASE);
  }

  get isOver(): boolean {
    return Atomics.load(this.#words, PHASE) === OVER;
  }

  publish(reader: number, operations: number): void {
    Atomics.store(this.#words, COUNTS + reader, operations);
  }

  /** Operations of each reader so far. */
  counts(): number[] {
    return Array.from(this.#words.subarray(COUNTS), (_, i) => Atomics.load(this.#words, COUNTS + i));
  }
}
