/**
 * Transaction: what the function of a transaction reads and writes by. Reads are of one moment, plus its own writes; writes stay
 * here until it commits.
 *
 *   a read    own writes first (own-writes.ts); else it is noted (read-set.ts), and made at the moment (MomentReads)
 *   a write   into the batch that the commit will be
 *
 * Invariants: a key or range is noted before it is read, so nothing is read that is not judged.
 *             Once it has ended everything is STRATA_CLOSED, its scans as well.
 * Thread:     the one that reads: the owner's or a client's.     Owns: what was read and written; its scans.
 */
import { Entry } from '../base/entry.ts';
import { invalidArgument, StorageError } from '../base/errors.ts';
import { NOTHING_EXPIRES } from '../base/expiry.ts';
import { type Bytes, lookupKeyBytes } from '../base/input-bytes.ts';
import { INSPECT, type Inspect, inspected } from '../base/inspected.ts';
import type { AllKeys, KeyRange } from '../base/key-range.ts';
import type { ExpiryOptions } from '../log/write-options.ts';
import { answerOf, FixedTime, type Wanted } from '../read/found-entry.ts';
import {
  type ReadOptionsOf,
  type ResolvedRead,
  type ResolvedScan,
  resolveRead,
  resolveScan,
  type ScanOptionsOf,
} from '../read/read-options.ts';
import type { Scan } from '../read/scan.ts';
import type { ScanCore } from '../read/scan-core.ts';
import type { OwnSource } from '../read/scan-sources.ts';
import { OwnWrites } from './own-writes.ts';
import { ReadSet } from './read-set.ts';
import type { TransactionClock } from './transaction-clock.ts';

/** Options of a transaction's get, getMany and has. */
export type TransactionReadOptions = Omit<ReadOptionsOf<never>, 'snapshot'>;
/** What a transaction's scan covers and gives. */
export type TransactionScanOptions = Omit<ScanOptionsOf<never>, 'snapshot'>;

type Read = ResolvedRead<never> | undefined;

/** The moment that it reads: a reader's, whose own writes are none. */
export interface MomentReads {
  /** Of everything whose sequence is higher nothing is seen. */
  readonly sequence: number;
  /** By which what it reads expires. */
  readonly clock: TransactionClock;
  /** Throws when the store, or the way to it, is closed. */
  checkReadable(): void;
  checkWritable(): void;
  /** The answer as answerOf() of found-entry.ts gives it. */
  getSync(key: Uint8Array, read: Read, wanted: Wanted): Buffer | undefined;
  /** The same, without waiting for the disk within the call. */
  get(key: Uint8Array, read: Read, wanted: Wanted): Buffer | undefined | Promise<Buffer | undefined>;
  getMany(keys: readonly Uint8Array[], read: Read): Promise<(Buffer | undefined)[]>;
  scan(
    options: ResolvedScan<never>,
    own: OwnSource | undefined,
  ): { readonly scan: Scan; readonly core: ScanCore };
}

/** What a transaction has written itself is there as long as it runs. */
const OWN_TIME = new FixedTime(NOTHING_EXPIRES);
/** From so many scans on, those that have ended are forgotten. */
const SWEPT_SCANS = 32;

/** Used within one call. */
const entry = new Entry();

/** What a transaction has done so far: apart from the object that the function is given, which says nothing of it. */
export class TransactionState {
  readonly moment: MomentReads;
  readonly reads: ReadSet = new ReadSet();
  readonly own: OwnWrites = new OwnWrites();
  #scans: ScanCore[] | undefined;
  #sweepAt = SWEPT_SCANS;
  #isOpen = true;

  constructor(moment: MomentReads) {
    this.moment = moment;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  checkOpen(): void {
    if (!this.#isOpen) throw endedError();
    this.moment.checkReadable();
  }

  /** Nothing is read or written by it any more. Idempotent. */
  end(): void {
    this.#isOpen = false;
    const scans = this.#scans;
    if (scans === undefined) return;
    for (const core of scans) core.close(endedError());
    this.#scans = undefined;
  }

  addScan(core: ScanCore): void {
    this.#scans ??= [];
    if (this.#scans.length >= this.#sweepAt) {
      this.#scans = this.#scans.filter(({ isOpen }) => isOpen);
      this.#sweepAt = SWEPT_SCANS + 2 * this.#scans.length;
    }
    this.#scans.push(core);
  }
}

/**
 * What the function of {@link StorageEngine.transaction} reads and writes by: one moment of the store, plus its own writes, which
 * nobody else sees before the commit. Good until the function has ended; STRATA_CLOSED from then on.
 *
 * @example
 * await engine.transaction(async (tx) => {
 *   const stock = Number(await tx.get('stock'));
 *   if (stock === 0) throw new Error('sold out');
 *   tx.put('stock', String(stock - 1));
 *   tx.put('order:17', 'one');
 * });
 */
export class Transaction {
  readonly #state: TransactionState;

  /** @internal Use {@link StorageEngine.transaction}. */
  constructor(state: TransactionState) {
    this.#state = state;
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    const status = this.#state.isOpen ? 'open' : 'ended';
    return inspected('Transaction', { status }, depth, options, inspect);
  }

  /** As {@link StorageEngine.get}, of the moment and with the writes of this transaction. */
  async get(key: Bytes, options?: TransactionReadOptions): Promise<Buffer | undefined> {
    const read = this.#resolve(options);
    const bytes = lookupKeyBytes(key);
    if (this.#state.own.lookup(bytes, entry)) return takeOwn(read, 'value');
    this.#state.reads.addKey(bytes);
    return this.#state.moment.get(bytes, read, 'value');
  }

  /** As {@link StorageEngine.getSync}. */
  getSync(key: Bytes, options?: TransactionReadOptions): Buffer | undefined {
    return this.#look(key, options, 'value');
  }

  /** As {@link StorageEngine.getMany}. */
  async getMany(keys: readonly Bytes[], options?: TransactionReadOptions): Promise<(Buffer | undefined)[]> {
    const read = this.#resolve(options);
    if (!Array.isArray(keys)) throw invalidArgument('getMany takes an array of keys');
    const { own, reads, moment } = this.#state;
    const values: (Buffer | undefined)[] = [];
    const others: Uint8Array[] = [];
    const places: number[] = [];
    for (let i = 0; i < keys.length; i++) {
      const bytes = lookupKeyBytes(keys[i] as Bytes);
      if (own.lookup(bytes, entry)) values.push(takeOwn(read, 'value'));
      else {
        values.push(undefined);
        others.push(bytes.slice());
        places.push(i);
      }
    }
    for (const key of others) reads.addKey(key);
    const found = others.length === 0 ? [] : await moment.getMany(others, read);
    for (let i = 0; i < places.length; i++) values[places[i]!] = found[i];
    return values;
  }

  /** As {@link StorageEngine.has}. */
  async has(key: Bytes, options?: TransactionReadOptions): Promise<boolean> {
    const read = this.#resolve(options);
    const bytes = lookupKeyBytes(key);
    if (this.#state.own.lookup(bytes, entry)) return takeOwn(read, 'presence') !== undefined;
    this.#state.reads.addKey(bytes);
    return (await this.#state.moment.get(bytes, read, 'presence')) !== undefined;
  }

  /** As {@link StorageEngine.hasSync}. */
  hasSync(key: Bytes, options?: TransactionReadOptions): boolean {
    return this.#look(key, options, 'presence') !== undefined;
  }

  /**
   * As {@link StorageEngine.scan}: of the moment, with what this transaction has written until this call. What counts as read is
   * the range as far as its entries were taken.
   */
  scan(range?: TransactionScanOptions): Scan {
    const state = this.#state;
    state.checkOpen();
    refuseSnapshot(range);
    const options = resolveScan<never>(range);
    state.checkOpen();
    const witness = state.reads.addScan(options.range, options.reverse);
    const { scan, core } = state.moment.scan(
      { ...options, witness },
      state.own.source(options.range, state.moment.sequence),
    );
    state.addScan(core);
    return scan;
  }

  /** Writes a value, when the transaction commits; with `ttl` it is gone that many milliseconds from this call. Throws what
   * {@link WriteBatch.put} does. */
  put(key: Bytes, value: Bytes, options?: ExpiryOptions): void {
    this.#checkWritable();
    this.#state.own.put(key, value, options);
  }

  /** Removes a key, which need not exist, when the transaction commits. */
  delete(key: Bytes): void {
    this.#checkWritable();
    this.#state.own.delete(key);
  }

  /** Removes all keys in a range, when the transaction commits, as {@link StorageEngine.deleteRange} does. */
  deleteRange(range: KeyRange | AllKeys): void {
    this.#checkWritable();
    this.#state.own.deleteRange(range);
  }

  #look(key: Bytes, options: TransactionReadOptions | undefined, wanted: Wanted): Buffer | undefined {
    const read = this.#resolve(options);
    const bytes = lookupKeyBytes(key);
    const { own, reads, moment } = this.#state;
    if (own.lookup(bytes, entry)) return takeOwn(read, wanted);
    reads.addKey(bytes);
    return moment.getSync(bytes, read, wanted);
  }

  #resolve(options: TransactionReadOptions | undefined): Read {
    this.#state.checkOpen();
    if (options === undefined) return undefined;
    refuseSnapshot(options);
    const read = resolveRead<never>(options);
    // Reading them may have run code of the application.
    this.#state.checkOpen();
    return read;
  }

  #checkWritable(): void {
    this.#state.checkOpen();
    this.#state.moment.checkWritable();
  }
}

/** What #own has left in `entry`. */
function takeOwn(read: Read, wanted: Wanted): Buffer | undefined {
  try {
    return answerOf(entry, wanted, OWN_TIME, read);
  } finally {
    entry.release();
  }
}

function refuseSnapshot(options: object | undefined): void {
  if (typeof options === 'object' && options !== null && Reflect.get(options, 'snapshot') !== undefined)
    throw invalidArgument('a transaction reads its own moment, and takes no snapshot');
}

function endedError(): StorageError {
  return new StorageError('STRATA_CLOSED', 'the transaction has ended');
}
