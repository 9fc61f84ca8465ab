/**
 * StorageEngine: the public face of a store, and its table of contents. Each method validates and hands on:
 *
 *   open, close      open-store.ts, running-store.ts            get, has, getMany   engine-reads.ts
 *   put, write       commit-pipeline.ts                   scan                user-iterator.ts, scan.ts
 *   flush, compact   scheduler.ts                         snapshot            snapshot.ts
 *   verify           verify-store.ts                      stats               store-stats.ts
 *   destroy          destroy-store.ts                     repair              repair/repair-store.ts
 *   ingest           ingest/ingester.ts                 approximateSize     range-size.ts
 *   share            share/shares.ts                      changes             changes/change-source.ts
 *   checkpoint       copy/checkpoint.ts
 *
 * What is imported here is loaded with the package; all else is by the first open() (destroy(), repair()), as loading it takes
 * twice as long as starting Node, and many a program that imports the package opens no store. What has to be there before that
 * is named here: the functions of timers.ts, before a test of the application puts false ones in their place, and the channels
 * of events.ts and trace.ts, before somebody subscribes.
 *
 * Invariants: open(), destroy() and repair() read what they are given within the call (open-request.ts).
 * Thread:     main (the thread that opened the store).     Owns: nothing; the parts are RunningStore's.
 * Long:       the whole public face in one place; most of it are contracts.
 */
import { EventEmitter } from 'node:events';
import type { MessagePort } from 'node:worker_threads';
import type { CompactRange } from '../shared/base/compact-range.ts';
import { EntryKind } from '../shared/base/entry.ts';
import { invalidArgument, isError, StorageError } from '../shared/base/errors.ts';
import { momentAfter, prependExpiry, userBytesOf } from '../shared/base/expiry.ts';
import { type Bytes, InputBytes } from '../shared/base/input-bytes.ts';
import { INSPECT, type Inspect, inspected } from '../shared/base/inspected.ts';
import type { AllKeys, KeyRange } from '../shared/base/key-range.ts';
import { refuseOldNode } from '../shared/base/node-version.ts';
import { awaited } from '../shared/base/process-keeper.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import type { ChangeBatch } from '../shared/changes/changes.ts';
import type { ChangesOptions } from '../shared/changes/changes-options.ts';
import type { IngestOptions, IngestReport, IngestSource } from '../shared/ingest/ingest-options.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import type { PutOptions, WriteOptions } from '../shared/log/write-options.ts';
import type { Scan } from '../shared/read/scan.ts';
import type { TransactionFunction, TransactionOptions } from '../shared/transact/run-transaction.ts';
import type { CheckpointReport } from './copy/checkpoint.ts';
import type { EngineCore, MakeCore } from './engine-core.ts';
import type { OpenInternals } from './open/open-store.ts';
import type { RepairOptions, RepairReport } from './repair/repair-report.ts';
import { readRepairOptions } from './repair/repair-report.ts';
import type { RunningStore } from './running-store.ts';
import type { EngineStats, EngineStatus } from './store/counters.ts';
import { type EngineEvents, report } from './store/events.ts';
import type { EngineOptions } from './store/open-request.ts';
import { readOpenOptions, resolveDirectory } from './store/open-request.ts';
import type { ReadOptions, ScanOptions } from './store/read-options.ts';
import type { Snapshot } from './store/snapshot.ts';
import { openTrace } from './store/trace-sinks.ts';
import type { UpdateFunction } from './transact/updater.ts';
import type { VerifyOptions, VerifyReport } from './verify-store.ts';

/** Whether it is this module that makes an engine: the application's `new StorageEngine(path)` would be none. */
let isMaking = false;

/**
 * An embedded, ordered, persistent key-value store.
 *
 * Keys and values are bytes; a string means its UTF-8 bytes. Keys are ordered by unsigned bytes, and have at most 64 KiB;
 * values at most 256 MiB; both may be empty. Buffers handed in are copied before a call returns, buffers handed out belong
 * to the caller.
 *
 * A write that resolved survives the death of the process; with `sync: true`, power loss as well. Every error is a
 * {@link StorageError} with a `code`. Methods that return a promise never throw.
 *
 * Events: `flush`, `compaction`, `stall` (when writes are slowed or held, and when that ends), `backgroundError`.
 *
 * @example
 * import { StorageEngine } from 'stratakv';
 * const engine = await StorageEngine.open('./db_data');
 * await engine.put('user:1', 'Alice');
 * console.log((await engine.get('user:1'))?.toString()); // Alice
 * await engine.close();
 */
export class StorageEngine extends EventEmitter<EngineEvents> {
  /** The absolute path of the store's directory. */
  readonly path: string;
  readonly #core: EngineCore;
  readonly #store: RunningStore;
  readonly #key = new InputBytes();
  readonly #value = new InputBytes();

  private constructor(core: EngineCore) {
    if (!isMaking)
      throw invalidArgument('a store is opened by StorageEngine.open(path), which gives a promise of it');
    super();
    this.#core = core;
    this.#store = core.store;
    this.path = core.store.parts.path;
    core.offerTo(this);
  }

  /**
   * Opens the store in the directory `path`, creating it if there is none and `createIfMissing` is not false. One owner at
   * a time, across processes and threads.
   *
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_LOCKED (names the holder), STRATA_NO_DATABASE,
   * STRATA_EXISTS, STRATA_CORRUPTION (names the file), STRATA_UNSUPPORTED (a newer format, a codec that is not installed),
   * STRATA_IO.
   * @example
   * const engine = await StorageEngine.open('./db_data', { sync: true, cacheSize: 256 * 1024 * 1024 });
   */
  static async open(path: string, options?: EngineOptions): Promise<StorageEngine> {
    return await openEngine(path, options, {});
  }

  /**
   * Deletes a store: its own files only, and the directory if nothing else is in it. No store there: nothing happens.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_LOCKED when it is open, STRATA_IO.
   * @example
   * await StorageEngine.destroy('./db_data');
   */
  static async destroy(path: string): Promise<void> {
    const directory = resolveDirectory(path);
    await awaited(
      loaded(import('./open/destroy-store.ts')).then(({ destroyStore }) => destroyStore(directory)),
    );
  }

  /**
   * Makes a damaged store open again, with everything that still verifies: rebuilds a lost or damaged manifest, keeps the
   * sound blocks of damaged tables and the sound records of damaged logs. Says what was kept and what was lost; where lost
   * entries may have been deletions or newer versions, a warning says that older ones may be back. A sound store is not
   * changed. Damaged files are kept in its directory as `NAME.set-aside`.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_LOCKED when the store is open, STRATA_NO_DATABASE,
   * STRATA_CORRUPTION when nothing shows that this is a store, STRATA_UNSUPPORTED, STRATA_IO (repair again).
   * @example
   * const report = await StorageEngine.repair('./db_data');
   * for (const warning of report.warnings) log(warning);
   */
  static async repair(path: string, options?: RepairOptions): Promise<RepairReport> {
    const asked = readRepairOptions(options);
    const directory = resolveDirectory(path);
    const repaired = loaded(import('./repair/repair-store.ts')).then(({ repairStore }) =>
      repairStore(directory, asked),
    );
    return await awaited(repaired);
  }

  /** @internal */
  static fromCore(make: MakeCore): StorageEngine {
    let engine: StorageEngine | undefined;
    const pending = new EventEmitter<EngineEvents>();
    isMaking = true;
    try {
      engine = new StorageEngine(make((name, ...payload) => report(engine ?? pending, name, ...payload)));
    } finally {
      isMaking = false;
    }
    engine.#core.openDoor(engine);
    return engine;
  }

  /** Whether the store takes writes (`open`), only reads (`read-only`), or nothing any more. Never throws. */
  get status(): EngineStatus {
    return this.#store.status;
  }

  /**
   * The place behind the last acknowledged write: opaque, printable, for changes() of this store, now or after reopening.
   * @example
   * await saveElsewhere(engine.position);
   */
  get position(): string {
    return this.#store.positionOf(this.#store.parts.visibleSequence());
  }

  /**
   * Writes one value. Resolves when the write is in the log: handed to the operating system or, with `sync`, on the disk.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_READ_ONLY (its message and `cause` say what failed),
   * STRATA_CLOSED; STRATA_IO when the log can't be written: the write is then indeterminate, and the store read-only until it
   * is opened again. Also STRATA_IO, but surely not in the store, when there was no room, descriptor or memory for a new log,
   * or flush or compaction went on failing while the write was held back; the store stays open. STRATA_BUSY when writes of more
   * than `maxHeldBytes` wait already, as they do when nobody awaits them: this one is surely not in the store.
   *
   * With `ttl` the value is gone that many milliseconds from this call: see {@link StorageEngine.expiresAt}.
   * @example
   * await engine.put('user:1', 'Alice', { sync: true });
   * await engine.put('session:1', token, { ttl: 30 * 60_000 });
   */
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<void> {
    try {
      const { sync, ttl } = this.#core.putTerms(options);
      this.#key.setKey(key);
      this.#value.setValue(value);
      if (ttl === 0) return this.#append(EntryKind.Put, sync);
      prependExpiry(this.#value, momentAfter(this.#store.parts.clock.now(), ttl));
      return this.#append(EntryKind.ExpiringPut, sync);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Removes a key, which need not exist. Resolves and fails as {@link StorageEngine.put} does.
   * @example
   * await engine.delete('user:1');
   */
  delete(key: Bytes, options?: WriteOptions): Promise<void> {
    try {
      const sync = this.#core.syncFor(options);
      this.#key.setKey(key);
      this.#value.end = 0;
      return this.#append(EntryKind.Delete, sync);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #append(kind: EntryKind, sync: boolean): Promise<void> {
    const { pipeline, counters } = this.#store.parts;
    const byteLength = userBytesOf(kind, this.#key.end, this.#value.end);
    const written = pipeline.append(kind, this.#key, this.#value, sync);
    counters.userBytes += byteLength;
    return written;
  }

  /**
   * Applies a batch: all of it or nothing, now and after any crash. Resolves and fails as {@link StorageEngine.put} does.
   * @example
   * await engine.write(new WriteBatch().put('a', '1').delete('b'));
   */
  write(batch: WriteBatch, options?: WriteOptions): Promise<void> {
    try {
      const sync = this.#core.syncFor(options);
      const { pipeline, counters, clock } = this.#store.parts;
      const plain = WriteBatch.plain(batch);
      if (plain.length === 0) return Promise.resolve();
      WriteBatch.settle(plain, clock);
      const written = pipeline.appendBatch(plain, sync);
      counters.userBytes += plain.dataByteLength;
      return written;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Deletes all keys in a range: one record, however many there are; atomic. What is written later stands; snapshots and scans
   * keep what they saw. The room on the disk comes back by itself. Resolves and fails as {@link StorageEngine.put} does; a range
   * without any bound that is defined is refused, as an undefined prefix must not empty a store: say `{ all: true }`.
   * @example
   * await engine.deleteRange({ prefix: 'session:' });
   */
  deleteRange(range: KeyRange | AllKeys, options?: WriteOptions): Promise<void> {
    try {
      return this.write(new WriteBatch().deleteRange(range), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Reads a key, and writes what `fn` makes of its value; undefined deletes. `fn` is called once, within the call, and sees every
   * write made before it, awaited or not; it must not write itself. Resolves with the stored value, and fails as
   * {@link StorageEngine.put} does; what `fn` throws rejects, and nothing is written.
   * @example
   * const count = await engine.update('visits', (current) => String(Number(current ?? 0) + 1));
   */
  update(key: Bytes, fn: UpdateFunction, options?: PutOptions): Promise<Buffer | undefined> {
    return this.#core.update(key, fn, options);
  }

  /**
   * Runs `fn`, which reads one moment of the store and its own writes, and commits what it writes: all of it at once, and only if
   * nothing of what it read, be it a key, the absence of one, or a range as far as a scan went, was written by others meanwhile.
   * If something was, it is run again, `retries` times. So it should do nothing that must not be done twice.
   * @throws {@link StorageError} STRATA_CONFLICT when the last run had read what others wrote; what `fn` throws; and as
   * {@link StorageEngine.put}. Nothing of it is in the store then.
   * @example
   * await engine.transaction(async (tx) => {
   *   if (await tx.has('email:alice@example.org')) throw new Error('taken');
   *   tx.put('email:alice@example.org', 'user:1');
   *   tx.put('user:1', 'Alice');
   * });
   */
  transaction<T>(fn: TransactionFunction<T>, options?: TransactionOptions): Promise<T> {
    return this.#core.transaction(fn, options);
  }

  /**
   * Resolves when a write would not be refused with STRATA_BUSY: at once, as a rule, and after such a refusal when half of
   * `maxHeldBytes` is free again. For whoever writes without awaiting each write.
   * @throws {@link StorageError} STRATA_READ_ONLY, STRATA_CLOSED.
   * @example
   * for (const [key, value] of records) {
   *   await engine.writable();
   *   engine.put(key, value).catch(onError);
   * }
   */
  async writable(): Promise<void> {
    this.#store.checkWritable();
    await this.#store.parts.pipeline.writable();
  }

  /** @internal The next write would be refused with STRATA_BUSY. */
  get isBusy(): boolean {
    return this.#store.parts.pipeline.isBusy;
  }

  /** @internal The live tables, level by level. */
  get tables(): readonly (readonly TableInfo[])[] {
    this.#store.checkReadable();
    return this.#store.parts.versions.current.levels;
  }

  /**
   * Bulk loading: stores the records of an iterable, sync or async, in any order and number, on all cores. All become visible and
   * durable at once, at the end, newer than whatever was written by then; of equal keys the last one counts.
   * @throws {@link StorageError} as {@link StorageEngine.put}; also what the source throws, or the signal's reason. Nothing
   * of the load is in the store then.
   * @example
   * await engine.ingest([['b', '2'], ['a', '1']], { onProgress: ({ phase, records }) => log(phase, records) });
   */
  async ingest(source: IngestSource, options?: IngestOptions): Promise<IngestReport> {
    this.#store.checkWritable();
    return await this.#store.operation(this.#store.ingester.run(source, options));
  }

  /**
   * The writes of the store, one batch each, in the order in which they were committed: those behind the position `after`, or
   * from now on, and on and on as they are made. Ends with the signal's reason, or with the store. An iterator holds nothing of
   * the store: how far it may fall behind is what `retainChanges` says.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_CLOSED. The first next() rejects with STRATA_POSITION_LOST when
   * `after` is no longer retained, was lost, lies ahead or is of another store; a later one when the iterator has fallen behind;
   * with STRATA_CORRUPTION when a log is damaged. Nothing is ever left out.
   * @example
   * for await (const { position, changes } of engine.changes({ after: saved })) {
   *   for (const change of changes) apply(change);
   *   save(position);
   * }
   */
  changes(options?: ChangesOptions): AsyncIterableIterator<ChangeBatch, undefined> {
    return this.#core.changes(options);
  }

  /**
   * The value of a key, or undefined, of the moment of the call: sees every write that was acknowledged before. What memory has
   * is read in the call; the disk is read without holding the event loop. With `signal` a read that waits ends when it is
   * aborted.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_CLOSED, STRATA_CORRUPTION (names file and offset),
   * STRATA_IO.
   */
  get(key: Bytes, options?: ReadOptions): Promise<Buffer | undefined> {
    return this.#store.reads.look(key, options, 'value');
  }

  /**
   * As {@link StorageEngine.get}, without a promise: waits for the disk where the value is there; throws what that rejects with.
   * @example
   * const name = engine.getSync('user:1')?.toString();
   */
  getSync(key: Bytes, options?: ReadOptions): Buffer | undefined {
    return this.#store.reads.getSync(key, options);
  }

  /** @internal As {@link StorageEngine.get}, without a promise where memory has the answer; may throw. */
  getNow(key: Bytes, options?: ReadOptions): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#store.reads.lookNow(key, options, 'value');
  }

  /**
   * The values of many keys, in their order, undefined for those that don't exist; all of one moment. What the disk has to be
   * asked for is asked for together.
   * @throws {@link StorageError} as {@link StorageEngine.get}: all values or none.
   * @example
   * const [a, b] = await engine.getMany(['a', 'b']);
   */
  getMany(keys: readonly Bytes[], options?: ReadOptions): Promise<(Buffer | undefined)[]> {
    return this.#store.reads.getMany(keys, options);
  }

  /** Whether a key exists; reads no more than {@link StorageEngine.get}, fails as it does, and copies nothing. */
  async has(key: Bytes, options?: ReadOptions): Promise<boolean> {
    return (await this.#store.reads.look(key, options, 'presence')) !== undefined;
  }

  /**
   * When the value of a key will be gone, in milliseconds since 1970; undefined: there is no such key, or its value stays. From
   * that moment on no read of the present returns it; a snapshot or scan goes on to show what was there when it was made. The
   * store's time is the system's when it was opened, and what has passed since: a clock that is set later changes nothing.
   * @throws {@link StorageError} as {@link StorageEngine.get}.
   * @example
   * await engine.put('session:1', token, { ttl: 60_000 });
   * new Date((await engine.expiresAt('session:1')) ?? 0);
   */
  expiresAt(key: Bytes): Promise<number | undefined> {
    return this.#store.reads.expiresAt(key);
  }

  /** As {@link StorageEngine.has}, without a promise: waits for the disk; throws what that rejects with. */
  hasSync(key: Bytes, options?: ReadOptions): boolean {
    return this.#store.reads.hasSync(key, options);
  }

  /**
   * The entries of a range, in key order, lazily, all of the moment of this call. `for await` reads the disk without holding the
   * event loop, and reads ahead; `for` and `nextMany` wait for the disk in the call.
   * @throws {@link StorageError} as {@link StorageEngine.get}, from the call or from the iteration.
   * @example
   * for await (const [key, value] of engine.scan({ prefix: 'user:', limit: 10 })) use(key, value);
   */
  scan(range?: ScanOptions): Scan {
    return this.#core.scan(range);
  }

  /**
   * A frozen moment to read from: the writes acknowledged so far. Close it when done: old versions are kept for it.
   * @throws {@link StorageError} STRATA_CLOSED.
   */
  snapshot(): Snapshot {
    return this.#core.snapshot();
  }

  /** @internal A snapshot of whose closing its owner makes sure: it is not looked after should it be forgotten. */
  hold(): Snapshot {
    return this.#core.snapshot(false);
  }

  /**
   * Writes what is in memory to tables. Resolves when everything written before the call is in one, durably.
   * @throws {@link StorageError} STRATA_READ_ONLY, STRATA_CLOSED, STRATA_IO; after a full disk the store goes on trying by
   * itself.
   */
  async flush(): Promise<void> {
    this.#store.checkWritable();
    await this.#store.operation(this.#store.scheduler.flush());
  }

  /**
   * Merges everything in a range (all without) down to the bottom level: tombstones and shadowed versions are gone afterwards,
   * except what open snapshots need. Flushes first. Takes as long as rewriting the range does. close() cancels it. A
   * {@link CompactRange} has both bounds inclusive.
   * @throws {@link StorageError} as {@link StorageEngine.flush}, STRATA_INVALID_ARGUMENT, STRATA_CORRUPTION (nothing is lost).
   * @example
   * await engine.compact({ prefix: 'log:2023' });
   */
  async compact(range?: KeyRange | CompactRange): Promise<void> {
    await this.#core.compact(range);
  }

  /**
   * Makes an openable store of one moment in `directory`, while writes go on: everything acknowledged before the call is in it.
   * Its tables are hard links where the file system has them, which take no room until the store drops its own, and copies where
   * it has not. Flushes first. Durable when it resolves; one that fails leaves nothing. Parents of `directory` are made; it must
   * not exist itself. close() ends it.
   * @throws {@link StorageError} STRATA_EXISTS, STRATA_INVALID_ARGUMENT, STRATA_IO, STRATA_CORRUPTION (a table that is copied is
   * checked); as {@link StorageEngine.flush}, but that a store opened with `readOnly` has one, too.
   * @example
   * const { position, linked } = await engine.checkpoint('./snapshots/monday');
   */
  async checkpoint(directory: string): Promise<CheckpointReport> {
    return await this.#core.checkpoint(directory);
  }

  /**
   * About how many bytes on disk the keys of a range take, old versions and tombstones included: of tables, compressed as they
   * are, and of the logs of what is in no table yet, in proportion to the range. Files kept for snapshots alone don't count.
   * Reads the index of tables that a bound cuts, and no data: good to some percent of a large range, to a block (4 KiB) of each
   * level for a small one. `{}` is the whole store.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_CLOSED, STRATA_CORRUPTION, STRATA_IO.
   * @example
   * const bytes = await engine.approximateSize({ prefix: 'user:' });
   */
  async approximateSize(range: KeyRange): Promise<number> {
    return await this.#core.approximateSize(range);
  }

  /**
   * What the store holds and has done since it was opened: a plain object, safe for JSON. Reads no disk.
   * @throws {@link StorageError} STRATA_CLOSED.
   */
  stats(): EngineStats {
    return this.#core.stats();
  }

  /**
   * Reads every block of every live table, on the pool, and the logs, and checks them against all checksums.
   * @throws {@link StorageError} STRATA_CORRUPTION for the first damage found, with file and offset.
   * @example
   * const report = await engine.verify({ onProgress: ({ doneBytes, totalBytes }) => bar(doneBytes / totalBytes) });
   */
  async verify(options?: VerifyOptions): Promise<VerifyReport> {
    return await this.#core.verify(options);
  }

  /**
   * A port to be transferred to another thread of the process, for one `StorageClient.attach(port)` there (`stratakv/worker`).
   * The client reads in its own thread; close() ends it. A port that is not used should be closed.
   * @throws {@link StorageError} STRATA_CLOSED.
   * @example
   * const port = engine.share();
   * new Worker('./reader.js', { workerData: { port }, transferList: [port] });
   */
  share(): MessagePort {
    this.#store.checkReadable();
    return this.#store.share(this);
  }

  /**
   * Closes the store. Idempotent. Writes that were accepted and flushes complete, except writes held back while flushes fail,
   * which are rejected; compactions, ingestions and verify() are cancelled. What is in memory goes to tables when it is 1 MiB or
   * more; less stays in the logs.
   * @throws {@link StorageError} STRATA_IO when the logs can't be synced or measured; all is released even then. Also when
   * the disk has not answered for 30 s: all promises are settled, and the store stays locked until it does.
   */
  close(): Promise<void> {
    const closing = this.#store.close();
    const reads = this.#store.reads.turns.settled();
    return awaited(reads === undefined ? closing : Promise.allSettled([closing, reads]).then(() => closing));
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    return inspected('StorageEngine', { path: this.path, status: this.status }, depth, options, inspect);
  }

  /** {@link StorageEngine.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** @internal {@link StorageEngine.open} with parts replaced, for tests. */
export async function openEngine(
  path: string,
  options: EngineOptions | undefined,
  internals: OpenInternals,
): Promise<StorageEngine> {
  const asked = readOpenOptions(options);
  const directory = resolveDirectory(path);
  const trace = openTrace(directory, asked.logger);
  const opened = loaded(import('./engine-core.ts')).then(({ openCore }) =>
    openCore(directory, asked, internals, trace, StorageEngine.fromCore),
  );
  return await awaited(opened);
}

/** The code of a store. */
async function loaded<T>(code: Promise<T>): Promise<T> {
  try {
    const exports = await code;
    refuseOldNode();
    return exports;
  } catch (error) {
    refuseOldNode();
    // No descriptors, or the package was removed or replaced since the import. Node keeps such a failure for good.
    const reason = isError(error) ? error.message : String(error);
    throw new StorageError('STRATA_IO', `cannot load the code of the store: ${reason}`, { cause: error });
  }
}
