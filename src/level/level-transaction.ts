/**
 * LevelTransaction: what the function of db.transaction() reads and writes by: the engine's transaction, with the encodings of
 * the database.
 *
 * Invariants: as the engine's: reads are of one moment and its own writes; nothing is visible before the commit.
 * Thread:     that of the database.     Owns: nothing.
 */
import type { AbstractLevel } from 'abstract-level';
import type { Bytes } from '../shared/base/input-bytes.ts';
import type { Transaction } from '../shared/transact/transaction.ts';
import { type Format, inputOf, type LevelRange, outputOf, rangeOf } from './formats.ts';
import { levelErrorOf } from './level-error.ts';

/** Encodings other than the database's, by name. */
export interface TransactionEncodings {
  readonly keyEncoding?: string | undefined;
  readonly valueEncoding?: string | undefined;
}

/** A range of keys, as an iterator takes it. */
export interface TransactionRange<K> {
  readonly gt?: K | undefined;
  readonly gte?: K | undefined;
  readonly lt?: K | undefined;
  readonly lte?: K | undefined;
}

interface Codec {
  readonly format: Format;
  encode(data: unknown): Bytes;
  decode(data: Bytes): unknown;
}

type AnyLevel = Pick<AbstractLevel<string | Buffer | Uint8Array, unknown, unknown>, 'prefixKey'> & {
  keyEncoding(encoding?: string): unknown;
  valueEncoding(encoding?: string): unknown;
};

export class LevelTransaction<K, V> {
  readonly #db: AnyLevel;
  readonly #tx: Transaction;

  /** @internal */
  constructor(db: AnyLevel, tx: Transaction) {
    this.#db = db;
    this.#tx = tx;
  }

  /** The value of a key, or undefined. */
  async get(key: K, encodings?: TransactionEncodings): Promise<V | undefined> {
    return this.#decoded(await levelled(() => this.#tx.get(this.#key(key, encodings))), encodings);
  }

  /** As {@link get}, without a promise. */
  getSync(key: K, encodings?: TransactionEncodings): V | undefined {
    try {
      return this.#decoded(this.#tx.getSync(this.#key(key, encodings)), encodings);
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** The values of many keys, in their order. */
  async getMany(keys: readonly K[], encodings?: TransactionEncodings): Promise<(V | undefined)[]> {
    const found = await levelled(() => this.#tx.getMany(keys.map((key) => this.#key(key, encodings))));
    return found.map((value) => this.#decoded(value, encodings));
  }

  /** Whether a key exists. */
  has(key: K, encodings?: TransactionEncodings): Promise<boolean> {
    return levelled(() => this.#tx.has(this.#key(key, encodings)));
  }

  /** Writes a value when the transaction commits. */
  put(key: K, value: V, options: TransactionEncodings & { readonly ttl?: number | undefined } = {}): void {
    const codec = this.#db.valueEncoding(options.valueEncoding) as Codec;
    try {
      const { ttl } = options;
      const terms = ttl === undefined ? undefined : { ttl };
      this.#tx.put(this.#key(key, options), inputOf(codec.encode(value)), terms);
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** Removes a key when the transaction commits. */
  del(key: K, encodings?: TransactionEncodings): void {
    try {
      this.#tx.delete(this.#key(key, encodings));
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** Removes a range when the transaction commits; all keys without one. */
  clear(range: TransactionRange<K> = {}, encodings?: TransactionEncodings): void {
    try {
      this.#tx.deleteRange(this.#range(range, encodings) ?? { all: true });
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** The entries of a range, in the order of keys. */
  async *entries(
    range: TransactionRange<K> & { readonly reverse?: boolean; readonly limit?: number } = {},
    encodings?: TransactionEncodings,
  ): AsyncGenerator<[K, V], void, undefined> {
    const { reverse, limit } = range;
    const codec = this.#db.keyEncoding(encodings?.keyEncoding) as Codec;
    try {
      for await (const [key, value] of this.#tx.scan({ ...this.#range(range, encodings), reverse, limit }))
        yield [codec.decode(outputOf(key, codec.format)) as K, this.#decoded(value, encodings) as V];
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  #key(key: unknown, encodings: TransactionEncodings | undefined): Bytes {
    const codec = this.#db.keyEncoding(encodings?.keyEncoding) as Codec;
    return inputOf(codec.encode(key));
  }

  #range(range: TransactionRange<K>, encodings: TransactionEncodings | undefined): LevelRange | undefined {
    const bound = (key: K | undefined): Bytes | undefined =>
      key === undefined ? undefined : this.#key(key, encodings);
    return rangeOf({
      gt: bound(range.gt),
      gte: bound(range.gte),
      lt: bound(range.lt),
      lte: bound(range.lte),
    });
  }

  #decoded(value: Buffer | undefined, encodings: TransactionEncodings | undefined): V | undefined {
    if (value === undefined) return undefined;
    const codec = this.#db.valueEncoding(encodings?.valueEncoding) as Codec;
    return codec.decode(outputOf(value, codec.format)) as V;
  }
}

async function levelled<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw levelErrorOf(error);
  }
}
