/**
 * Writes many records through batches, several of them under way at a time.
 *
 * A single batch in flight leaves the log idle while the next one is gathered; hundreds would only fill memory. The
 * engine's own back-pressure (stalls) reaches the caller through `isFull` and `makeRoom`.
 *
 * Owns: the batch being gathered and the promises of those under way.
 */
import { type StorageEngine, WriteBatch } from '../../src/main/index.ts';

const ROWS_PER_BATCH = 1000;
/** Batches of large values are cut by size. */
const BYTES_PER_BATCH = 1024 * 1024;
const BATCHES_IN_FLIGHT = 8;

export class BatchWriter {
  readonly #engine: StorageEngine;
  readonly #underWay: Promise<void>[] = [];
  #batch = new WriteBatch();
  #rowCount = 0;

  constructor(engine: StorageEngine) {
    this.#engine = engine;
  }

  /** Rows of batches that were handed to the engine. */
  get rowCount(): number {
    return this.#rowCount;
  }

  put(key: string | Uint8Array, value: string | Uint8Array): void {
    this.#batch.put(key, value);
    this.#sendIfFull();
  }

  delete(key: string | Uint8Array): void {
    this.#batch.delete(key);
    this.#sendIfFull();
  }

  /** Enough is under way: call `makeRoom` before adding more. */
  get isFull(): boolean {
    return this.#underWay.length >= BATCHES_IN_FLIGHT;
  }

  /** Waits for the oldest batch under way. */
  async makeRoom(): Promise<void> {
    await this.#underWay.shift();
  }

  /** Drops the batch being gathered. */
  discard(): void {
    this.#batch = new WriteBatch();
  }

  /** Sends what is left and waits for everything. */
  async finish(): Promise<void> {
    if (this.#batch.length > 0) this.#send();
    while (this.#underWay.length > 0) await this.#underWay.shift();
  }

  #sendIfFull(): void {
    if (this.#batch.length >= ROWS_PER_BATCH || this.#batch.byteLength >= BYTES_PER_BATCH) this.#send();
  }

  #send(): void {
    const write = this.#engine.write(this.#batch);
    // Awaited later, in order; until then a failure must not count as unhandled.
    write.catch(() => undefined);
    this.#underWay.push(write);
    this.#rowCount += this.#batch.length;
    this.#batch = new WriteBatch();
  }
}
