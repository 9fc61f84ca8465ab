/**
 * The async iterator that changes() returns: batches of the pages that a feed gives.
 *
 *   next()     a batch of the page in hand, at once; else of the next page, once there is one
 *   return()   ends the feed, at once, whatever next() waits for
 *   signal     likewise, with its reason
 *
 * Invariants: calls of next() are answered in their order, and settle. After the end, however it came, all answers are `done`;
 *             the failure is told once.
 *             The event loop gets a turn at least every BATCHES_PER_TURN batches.
 * Thread:     the consumer's.     Owns: the page in hand.
 */
import { awaited } from '../base/process-keeper.ts';
import { whenAborted } from '../base/signals.ts';
import { setImmediate } from '../base/timers.ts';
import type { PageFeed } from './change-page.ts';
import type { ChangeBatch } from './changes.ts';
import type { PageDecoder } from './page-decoder.ts';

const BATCHES_PER_TURN = 1000;

type Result = IteratorResult<ChangeBatch, undefined>;

const DONE: Result = { done: true, value: undefined };

export class ChangeIterator implements AsyncIterableIterator<ChangeBatch, undefined> {
  readonly #feed: PageFeed;
  readonly #decoder: PageDecoder;
  readonly #unwatch: () => void;
  #batchesInTurn = 0;
  /** Of the calls that have not been answered. */
  #last: Promise<unknown> | undefined;
  #isOver = false;
  /** To be told by the next call that is answered. */
  #failure: { readonly error: unknown } | undefined;

  constructor(feed: PageFeed, decoder: PageDecoder, signal: AbortSignal | undefined) {
    this.#feed = feed;
    this.#decoder = decoder;
    this.#unwatch = whenAborted(signal, (reason) => this.#fail(reason));
    if (this.#isOver) this.#unwatch();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#last === undefined && !this.#isOver && this.#batchesInTurn < BATCHES_PER_TURN) {
      const value = this.#decoder.next();
      if (value !== undefined) {
        this.#batchesInTurn++;
        return Promise.resolve({ done: false, value });
      }
    }
    const before = this.#last;
    const answer = before === undefined ? this.#answer() : before.then(() => this.#answer());
    const settled = answer.then(
      () => undefined,
      () => undefined,
    );
    this.#last = settled;
    settled.then(() => {
      if (this.#last === settled) this.#last = undefined;
    });
    return awaited(answer);
  }

  return(): Promise<Result> {
    this.#end();
    return Promise.resolve(DONE);
  }

  throw(error: unknown): Promise<Result> {
    this.#end();
    return Promise.reject(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
  }

  async #answer(): Promise<Result> {
    for (;;) {
      if (this.#isOver) return this.#over();
      if (this.#batchesInTurn >= BATCHES_PER_TURN) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        this.#batchesInTurn = 0;
        continue;
      }
      const value = this.#decoder.next();
      if (value !== undefined) {
        this.#batchesInTurn++;
        return { done: false, value };
      }
      try {
        const page = await this.#feed.next();
        if (!this.#isOver) this.#decoder.take(page);
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  #over(): Result {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    return DONE;
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#failure = { error };
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // In the constructor, by a signal that was aborted before.
    this.#unwatch?.();
    this.#feed.end();
  }
}
