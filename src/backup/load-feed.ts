/**
 * Hands the records of an archived load to an ingestion, part by part, as they are read from the target.
 *
 *   add(part) waits until the ingestion has taken the part before: no more than two are in memory
 *
 * Thread: main.     Owns: an ingestion under way.
 */

import { Deferred } from '../shared/base/deferred.ts';

export type LoadedRecord = readonly [key: Uint8Array, value: Uint8Array];

/** What is asked of the store. */
export interface LoadedStore {
  ingest(source: AsyncIterable<LoadedRecord>): Promise<unknown>;
}

export class LoadFeed {
  /** Of all its records. */
  readonly sequence: number;
  /** How many were added. */
  parts = 0;
  readonly #ingested: Promise<unknown>;
  #waiting: readonly LoadedRecord[] | undefined;
  #isAtEnd = false;
  #hasFailed = false;
  #failure: unknown;
  #news = new Deferred();
  #taken = new Deferred();

  constructor(engine: LoadedStore, sequence: number) {
    this.sequence = sequence;
    this.#ingested = engine.ingest(this.#records());
    // Heard of in end(); a part that waits for its turn is not to wait for ever.
    this.#ingested.catch(() => {
      this.#hasFailed = true;
      this.#taken.resolve();
    });
  }

  async add(records: readonly LoadedRecord[]): Promise<void> {
    if (this.#waiting !== undefined) await this.#taken.promise;
    // Nobody would take it: the ingestion's own failure is the answer.
    if (this.#hasFailed) await this.#ingested;
    this.#taken = new Deferred();
    this.parts++;
    this.#waiting = records;
    this.#news.resolve();
  }

  /** Resolves when all of it is in the store. */
  async end(): Promise<void> {
    this.#isAtEnd = true;
    this.#news.resolve();
    await this.#ingested;
  }

  /** Nothing of it comes into the store. */
  async abort(reason: Error): Promise<void> {
    this.#failure = reason;
    this.#news.resolve();
    await this.#ingested.catch(() => undefined);
  }

  async *#records(): AsyncGenerator<LoadedRecord> {
    for (;;) {
      while (this.#waiting === undefined && !this.#isAtEnd && this.#failure === undefined) {
        await this.#news.promise;
        this.#news = new Deferred();
      }
      if (this.#failure !== undefined) throw this.#failure;
      const records = this.#waiting;
      if (records === undefined) return;
      this.#waiting = undefined;
      this.#taken.resolve();
      yield* records;
    }
  }
}
