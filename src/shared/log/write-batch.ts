/**
 * WriteBatch: writes that become visible and durable together or not at all.
 *
 * It holds its entries encoded as in the log (log-format.ts), ordinals left zero, so that writing it is one
 * copy into the memtable's arena and an index insert per entry.
 *
 * Invariants: what the caller handed in is copied in `put`/`delete`; the engine copies the batch in `write`, so a batch
 *             may be changed, cleared and written again at any time.
 * Expiry:     counts from the call of `put`, by the time of the store that the batch will be written to, which may be another
 *             than the wall clock's: so the moments are filled in by `settle`, when that is known.
 * Thread:     any.
 */

import { EntryKind } from '../base/entry.ts';
import { invalidArgument } from '../base/errors.ts';
import { momentAfter, prependExpiry, userBytesOf, writeExpiry } from '../base/expiry.ts';
import { type Bytes, InputBytes } from '../base/input-bytes.ts';
import { INSPECT, type Inspect, inspected } from '../base/inspected.ts';
import { type AllKeys, type KeyRange, resolveDeleteRange } from '../base/key-range.ts';
import { MAX_BATCH_BYTES } from '../base/limits.ts';
import { rangeDeleteValue } from '../base/range-delete.ts';
import { processClock, wallClock } from '../base/timers.ts';
import { encodedEntryBytes, encodeEntry, tagOf } from './entry-codec.ts';
import { type ExpiryOptions, resolveTtl } from './write-options.ts';

/**
 * How a batch of another copy of the package is read: by a method of this name, which gives its parts. A new FORMAT for whatever
 * changes in them, or in how entries are encoded.
 */
const PARTS: unique symbol = Symbol.for('stratakv.WriteBatch');
const FORMAT = 1;
const NO_BATCH = 'write takes a WriteBatch';

const INITIAL_BYTES = 512;
/** A batch is mostly written once and dropped: fewer copies are worth more than the room that is left over. */
const GROWTH = 4;
/** Beyond this, room left over is worth more. */
const GROWTH_DOUBLES_AT = 262144;
const NOTHING = new Uint8Array(0);
const key = new InputBytes();
const value = new InputBytes();

/** What knows the time of a store (SharedClock). */
interface PastClock {
  at(processMs: number): number;
}

/** An entry that expires: where its moment stands, when it was put by the process's clock, and for how long. */
interface Expiring {
  readonly at: number;
  readonly putAt: number;
  readonly ttl: number;
}

interface BatchParts {
  readonly format: number;
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly dataByteLength: number;
  readonly expiring: Expiring[];
}

/**
 * A list of puts, deletes and range deletes applied atomically by {@link StorageEngine.write}; later ones win over earlier ones.
 *
 * @example
 * const batch = new WriteBatch().put('user:2', 'Bob').put('user:3', 'Charlie').delete('user:1');
 * await engine.write(batch);
 */
export class WriteBatch {
  #bytes: Uint8Array = NOTHING;
  #end = 0;
  #count = 0;
  #dataBytes = 0;
  #expiring: Expiring[] = [];

  /**
   * Adds a put. Copies both arguments. With `ttl` the value is gone that many milliseconds from now, whenever the batch is
   * written.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT: wrong type, lone surrogates, a key over 64 KiB, a value over
   * 256 MiB, another ttl than an integer above 0, or a batch over 1 GiB. The batch is unchanged then.
   */
  put(keyInput: Bytes, valueInput: Bytes, options?: ExpiryOptions): this {
    const ttl = resolveTtl(options);
    key.setKey(keyInput);
    value.setValue(valueInput);
    if (ttl === 0) this.#append(EntryKind.Put);
    else this.#appendExpiring(ttl);
    return this;
  }

  /** Adds a delete of a key, which need not exist. Throws as {@link WriteBatch.put} does. */
  delete(keyInput: Bytes): this {
    key.setKey(keyInput);
    value.end = 0;
    this.#append(EntryKind.Delete);
    return this;
  }

  /**
   * Adds the delete of all keys in a range, those that this batch has put before among them; what it puts after stands. One
   * entry, however many keys. A range without a key adds nothing. Throws as {@link WriteBatch.put} does; also for a range
   * without any bound that is defined, which has to be `{ all: true }`.
   * @example
   * batch.deleteRange({ prefix: 'session:' }).deleteRange({ gte: 'log:2023', lt: 'log:2024' });
   */
  deleteRange(rangeInput: KeyRange | AllKeys): this {
    const range = resolveDeleteRange(rangeInput);
    if (range === undefined) return this;
    key.setKey(range.start);
    value.setValue(rangeDeleteValue(range.end));
    this.#append(EntryKind.RangeDelete);
    return this;
  }

  /** Forgets all operations. */
  clear(): this {
    this.#end = 0;
    this.#count = 0;
    this.#dataBytes = 0;
    this.#expiring = [];
    return this;
  }

  /** How many operations the batch holds. */
  get length(): number {
    return this.#count;
  }

  /** What the batch takes in the log, in bytes. */
  get byteLength(): number {
    return this.#end;
  }

  /** @internal Bytes of keys and values alone. */
  get dataByteLength(): number {
    return this.#dataBytes;
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    return inspected('WriteBatch', { length: this.#count, byteLength: this.#end }, depth, options, inspect);
  }

  /** @internal For another copy of the package: valid until the batch changes. */
  [PARTS](): BatchParts {
    if (!(#bytes in this)) throw invalidArgument(NO_BATCH);
    return {
      format: FORMAT,
      bytes: WriteBatch.encoded(this),
      count: this.#count,
      dataByteLength: this.#dataBytes,
      expiring: this.#expiring,
    };
  }

  /**
   * @internal The same operations, over the same bytes, as a plain batch: valid until `value` changes. What a class derived from
   * WriteBatch says of itself is not relied on. Throws for what is no batch, and not merely something with its prototype.
   */
  static plain(value: unknown): WriteBatch {
    const isOwn = typeof value === 'object' && value !== null && #bytes in value;
    const { bytes, count, dataByteLength, expiring } = isOwn
      ? WriteBatch.prototype[PARTS].call(value as WriteBatch)
      : partsOfForeign(value);
    const plain = WriteBatch.fromEncoded(bytes, count, dataByteLength);
    plain.#expiring = expiring;
    return plain;
  }

  /** @internal The encoded entries: for the engine, valid until the batch changes. */
  static encoded(batch: WriteBatch): Uint8Array {
    return batch.#bytes.subarray(0, batch.#end);
  }

  /** @internal What {@link encoded} is a view of: what it holds of the batch never changes; it may be another one later. */
  static memory(batch: WriteBatch): Uint8Array {
    return batch.#bytes;
  }

  /** @internal Fills in when entries expire, by the time of the store that the batch is about to be written to. */
  static settle(batch: WriteBatch, clock: PastClock): void {
    for (const { at, putAt, ttl } of batch.#expiring)
      writeExpiry(batch.#bytes, at, Math.min(clock.at(putAt) + ttl, Number.MAX_SAFE_INTEGER));
  }

  /** @internal A batch over entries encoded already, which it takes over: what a client in another thread sent. */
  static fromEncoded(bytes: Uint8Array, count: number, dataByteLength: number): WriteBatch {
    const batch = new WriteBatch();
    batch.#bytes = bytes;
    batch.#end = bytes.length;
    batch.#count = count;
    batch.#dataBytes = dataByteLength;
    return batch;
  }

  /** @internal A batch of its own with the same operations. */
  static copy(batch: WriteBatch): WriteBatch {
    const copy = new WriteBatch();
    copy.#bytes = batch.#bytes.slice(0, batch.#end);
    copy.#end = batch.#end;
    copy.#count = batch.#count;
    copy.#dataBytes = batch.#dataBytes;
    copy.#expiring = [...batch.#expiring];
    return copy;
  }

  #appendExpiring(ttl: number): void {
    prependExpiry(value, momentAfter(Math.floor(wallClock()), ttl));
    this.#append(EntryKind.ExpiringPut);
    this.#expiring.push({ at: this.#end - value.end, putAt: processClock(), ttl });
  }

  #append(kind: EntryKind): void {
    const needed = encodedEntryBytes(key.end, value.end, kind);
    if (this.#end + needed > MAX_BATCH_BYTES)
      throw invalidArgument(`a batch has at most ${MAX_BATCH_BYTES} bytes`);
    this.#grow(this.#end + needed);
    encodeEntry(this.#bytes, this.#end, tagOf(kind), key.bytes, 0, key.end, value.bytes, 0, value.end);
    this.#end += needed;
    this.#count++;
    this.#dataBytes += userBytesOf(kind, key.end, value.end);
  }

  #grow(needed: number): void {
    if (needed <= this.#bytes.length) return;
    const size = this.#bytes.length;
    const next = size < GROWTH_DOUBLES_AT ? size * GROWTH : size * 2;
    const grown = new Uint8Array(Math.min(MAX_BATCH_BYTES, Math.max(needed, next, INITIAL_BYTES)));
    grown.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = grown;
  }
}

/** The parts of a batch of another copy of the package; throws for what is none. */
function partsOfForeign(value: unknown): BatchParts {
  const read: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, PARTS) : undefined;
  if (typeof read !== 'function') throw invalidArgument(NO_BATCH);
  const parts = Reflect.apply(read, value, []) as BatchParts;
  if (parts.format !== FORMAT)
    throw invalidArgument(
      'the WriteBatch is of another version of stratakv, whose batches this one cannot read: import both from one',
    );
  return parts;
}
