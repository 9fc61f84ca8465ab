/**
 * Two words between the owner of a store and a client that writes run files into its directory: while the client writes, the
 * owner does not give the directory up; once the owner has ended the ingestion, the client writes no more.
 *
 *   Int32 word 0   state: bit 0 = the client is writing a file, bit 1 = the ingestion has ended
 *              1   how many of the file numbers it was given the client has used, counted before the file is made
 *
 * The client enters by one compare and exchange from "neither": so either the owner, which sets bit 1 and then looks, sees that
 * it writes, or the client sees that it may not.
 *
 * Invariants: a file of the client is made and written between enter() and leave() alone. Nobody enters once it has ended.
 * Thread:     any. Words are only touched through Atomics.
 * Not chosen: a call to the client and its answer. Its event loop may be busy for long, and then it is not writing, which is
 *             all that the owner has to know.
 */
const STATE = 0;
const USED = 1;
const WORDS = 2;
export const LATCH_BYTES: number = WORDS * 4;
const WRITING = 1;
const ENDED = 2;

export class IngestLatch {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(LATCH_BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** The client's, before it makes a file: false when the ingestion has ended. Counts the file's number as used. */
  enter(): boolean {
    if (Atomics.compareExchange(this.#words, STATE, 0, WRITING) !== 0) return false;
    Atomics.add(this.#words, USED, 1);
    return true;
  }

  /** The client's, when the file is written and closed, or given up. */
  leave(): void {
    Atomics.and(this.#words, STATE, ~WRITING);
  }

  /** The owner's. Idempotent. */
  end(): void {
    Atomics.or(this.#words, STATE, ENDED);
  }

  get hasEnded(): boolean {
    return (Atomics.load(this.#words, STATE) & ENDED) !== 0;
  }

  /** Of a client whose thread has ended it says nothing. */
  get isWriting(): boolean {
    return (Atomics.load(this.#words, STATE) & WRITING) !== 0;
  }

  /** At least 0, whatever the client has written there. */
  get usedCount(): number {
    return Math.max(0, Atomics.load(this.#words, USED));
  }
}
