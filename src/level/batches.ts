/**
 * Batches of StrataLevel, over the engine's WriteBatch: what abstract-level has encoded goes into the bytes of the log at once.
 *
 *   ChainedBatch        db.batch().put().del().write()
 *   batchOf             the operations of db.batch([...])
 *
 * Invariants: all of a batch is written, or nothing; keys and values are copied in put() and del().
 * Thread:     that of the database.     Owns: the WriteBatch.
 */
import { AbstractChainedBatch } from 'abstract-level';
import type { Bytes } from '../shared/base/input-bytes.ts';
import type { WriteBatch } from '../shared/log/write-batch.ts';
import type { WriteOptions } from '../shared/log/write-options.ts';
import { inputOf } from './formats.ts';
import { levelErrorOf } from './level-error.ts';

/** An operation as abstract-level hands it on. */
export interface LevelOperation {
  readonly type: 'put' | 'del';
  readonly key: Bytes;
  readonly value?: Bytes;
  readonly ttl?: number | undefined;
}

/** Appends a put to `batch`. */
function put(batch: WriteBatch, key: Bytes, value: Bytes, ttl: number | undefined): void {
  if (ttl === undefined) batch.put(inputOf(key), inputOf(value));
  else batch.put(inputOf(key), inputOf(value), { ttl });
}

/** Fills `batch` with `operations`. */
export function fillBatch(batch: WriteBatch, operations: readonly LevelOperation[]): void {
  batch.clear();
  for (const { type, key, value, ttl } of operations) {
    if (type === 'put') put(batch, key, value!, ttl);
    else batch.delete(inputOf(key));
  }
}

/** Writes a batch, with the options of the call. */
export type WriteBatches = (batch: WriteBatch, options: WriteOptions | undefined) => Promise<void>;

export class ChainedBatch<TDatabase, K, V> extends AbstractChainedBatch<TDatabase, K, V> {
  readonly #batch: WriteBatch;
  readonly #writeBatch: WriteBatches;
  readonly #giveBack: (batch: WriteBatch) => void;

  /** `batch` is empty, and this one's until it is given back. */
  constructor(
    db: TDatabase,
    batch: WriteBatch,
    writeBatch: WriteBatches,
    giveBack: (batch: WriteBatch) => void,
  ) {
    super(db);
    this.#batch = batch;
    this.#writeBatch = writeBatch;
    this.#giveBack = giveBack;
  }

  /** @internal */
  _put(key: Bytes, value: Bytes, options: { readonly ttl?: number | undefined }): void {
    try {
      put(this.#batch, key, value, options.ttl);
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** @internal */
  _del(key: Bytes): void {
    try {
      this.#batch.delete(inputOf(key));
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** @internal */
  _clear(): void {
    this.#batch.clear();
  }

  /** @internal */
  _write(options: { readonly sync?: boolean | undefined } | undefined): Promise<void> {
    return this.#writeBatch(this.#batch, options);
  }

  /** @internal */
  _close(): Promise<void> {
    this.#giveBack(this.#batch);
    return Promise.resolve();
  }
}
