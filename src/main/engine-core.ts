/**
 * What is behind an open StorageEngine: the steps that ask the parts of the store for something. With all that it
 * imports it is the code of a store, and is loaded by the first open(): importing the package loads what engine.ts names alone,
 * which is a tenth of it.
 *
 *   get, has, getMany   engine-reads.ts                compact, verify, stats   scheduler, verify-store.ts, store-stats.ts
 *   scan                user-iterator.ts, scan.ts      approximateSize         range-size.ts
 *
 * Invariants: nothing here is awaited between a call of the application and its read.
 * Thread:     main.     Owns: nothing; the parts are RunningStore's.
 */
import { type CompactRange, resolveCompactRange } from '../shared/base/compact-range.ts';
import type { Bytes } from '../shared/base/input-bytes.ts';
import { isEmptyRange, type KeyRange, resolveKeyRange } from '../shared/base/key-range.ts';
import { ChangeIterator } from '../shared/changes/change-iterator.ts';
import { type ChangesOptions, resolveChanges } from '../shared/changes/changes-options.ts';
import { PageDecoder } from '../shared/changes/page-decoder.ts';
import { decodePosition } from '../shared/changes/position.ts';
import {
  type PutOptions,
  type PutTerms,
  resolvePut,
  resolveSync,
  type WriteOptions,
} from '../shared/log/write-options.ts';
import { resolveScan } from '../shared/read/read-options.ts';
import { Scan } from '../shared/read/scan.ts';
import {
  resolveTransaction,
  type TransactionFunction,
  type TransactionOptions,
} from '../shared/transact/run-transaction.ts';
import { type Capture, captureStore } from './copy/capture.ts';
import { offerCapture } from './copy/capture-source.ts';
import { type CheckpointReport, checkpoint } from './copy/checkpoint.ts';
import type { ServedStore } from './door/commands.ts';
import { openDoor } from './door/open-door.ts';
import { type OpenInternals, openStore } from './open/open-store.ts';
import { approximateSize } from './range-size.ts';
import { RunningStore } from './running-store.ts';
import type { EngineStats } from './store/counters.ts';
import type { TellEvent } from './store/events.ts';
import { type EngineOptions, resolveDirectory } from './store/open-request.ts';
import type { ScanOptions } from './store/read-options.ts';
import type { Snapshot } from './store/snapshot.ts';
import type { Trace } from './store/trace.ts';
import { storeStats } from './store-stats.ts';
import { type UpdateFunction, Updater } from './transact/updater.ts';
import { type VerifyOptions, type VerifyReport, verifyStore } from './verify-store.ts';

/** Makes the core of an engine that tells its events by `tell`. */
export type MakeCore = (tell: TellEvent) => EngineCore;

/** Opens a store; returns what `start` makes of it. */
export function openCore<T>(
  path: string,
  options: EngineOptions,
  internals: OpenInternals,
  trace: Trace,
  start: (make: MakeCore) => T,
): Promise<T> {
  return openStore(path, options, internals, trace, (opened) =>
    start((tell) => new EngineCore(new RunningStore(opened, internals, tell))),
  );
}

export class EngineCore {
  readonly store: RunningStore;
  /** What a put without options is. */
  readonly #plainPut: PutTerms;
  readonly #updater: Updater;

  constructor(store: RunningStore) {
    this.store = store;
    this.#plainPut = { sync: store.parts.options.sync, ttl: 0 };
    const { pipeline, counters, clock } = store.parts;
    this.#updater = new Updater({
      pipeline,
      counters,
      clock,
      newest: (key) => store.reads.newest(key),
      checkWritable: () => store.checkWritable(),
      refusingWrites: (fn) => store.refusingWrites(fn),
    });
  }

  /** Copies of the store are made of `engine` from here on. */
  offerTo(engine: object): void {
    const { store } = this;
    offerCapture(engine, {
      fs: store.parts.fs,
      capture: () => this.capture(),
      checkOpen: () => store.checkReadable(),
      checkWritable: () => store.checkWritable(),
      history: {
        storeId: store.parts.versions.storeId,
        branch: store.parts.versions.branch,
        changes: store.changes,
        sequence: store.parts.visibleSequence,
        time: () => store.parts.clock.now(),
      },
      syncLogs: () => store.operation(store.parts.pipeline.syncAll()),
    });
  }

  update(key: Bytes, fn: UpdateFunction, options: PutOptions | undefined): Promise<Buffer | undefined> {
    try {
      return this.#updater.run(key, fn, this.putTerms(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  transaction<T>(fn: TransactionFunction<T>, options: TransactionOptions | undefined): Promise<T> {
    try {
      const { store } = this;
      store.checkReadable();
      const resolved = resolveTransaction(fn, options, store.parts.options.sync);
      store.checkReadable();
      store.checkOutsideUpdate();
      return store.transactions.run(fn, resolved);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  scan(range: ScanOptions | undefined): Scan {
    this.store.checkReadable();
    const options = resolveScan(range);
    const { reads } = this.store;
    const sequence = reads.sequenceOf(options.snapshot);
    const core = this.store.openScan(options, sequence, reads.clockOf(options.snapshot));
    const scan = new Scan(core, options);
    this.store.scans.watch(scan, core, options);
    return scan;
  }

  changes(options: ChangesOptions | undefined): ChangeIterator {
    const { store } = this;
    store.checkReadable();
    const { after, range, signal } = resolveChanges(options);
    store.checkReadable();
    const source = store.changes;
    const consumer = source.consumer(after === undefined ? undefined : decodePosition(after));
    return new ChangeIterator(consumer, new PageDecoder(source.history, range), signal);
  }

  snapshot(isWatched = true): Snapshot {
    this.store.checkReadable();
    const { parts } = this.store;
    return parts.snapshots.take(parts.visibleSequence(), parts.clock.now(), isWatched);
  }

  /** Whether a write waits for the disk. Reading options may run code of the application, which may have closed the store. */
  syncFor(options: WriteOptions | undefined): boolean {
    const store = this.store;
    store.checkWritable();
    if (options === undefined) return store.parts.options.sync;
    const sync = resolveSync(options, store.parts.options.sync);
    store.checkWritable();
    return sync;
  }

  /** Likewise for a put, with how long its value is there. */
  putTerms(options: PutOptions | undefined): PutTerms {
    const store = this.store;
    store.checkWritable();
    if (options === undefined) return this.#plainPut;
    const terms = resolvePut(options, store.parts.options.sync);
    store.checkWritable();
    return terms;
  }

  async compact(range: KeyRange | CompactRange | undefined): Promise<void> {
    const store = this.store;
    store.checkWritable();
    const resolved = resolveCompactRange(range);
    // Reading the range may have run code of the application.
    store.checkWritable();
    if (!isEmptyRange(resolved)) await store.operation(store.scheduler.compact(resolved));
  }

  async approximateSize(range: KeyRange): Promise<number> {
    const store = this.store;
    store.checkReadable();
    const resolved = resolveKeyRange(range);
    store.checkReadable();
    return await store.operation(approximateSize(store.parts, resolved));
  }

  /** A moment of the store as files, for whoever copies it: to be released. close() does not wait for the release. */
  async capture(): Promise<Capture> {
    const { store } = this;
    store.checkReadable();
    if (!store.parts.options.readOnly) store.checkWritable();
    return await store.operation(captureStore(store.parts, store.scheduler));
  }

  async checkpoint(directory: string): Promise<CheckpointReport> {
    const { store } = this;
    const target = resolveDirectory(directory);
    store.checkReadable();
    if (!store.parts.options.readOnly) store.checkWritable();
    return await store.operation(checkpoint(store.parts, store.scheduler, target));
  }

  /** Other processes of this user may ask `engine` for something. */
  openDoor(engine: ServedStore): void {
    openDoor(this.store.lock, engine);
  }

  stats(): EngineStats {
    this.store.checkReadable();
    return storeStats(this.store);
  }

  async verify(options: VerifyOptions | undefined): Promise<VerifyReport> {
    this.store.checkReadable();
    return await this.store.operation(verifyStore(this.store.parts, options));
  }
}
