/**
 * What is behind an open StorageEngine: reads, and the steps that ask the parts of the store for something. With all that it
 * imports it is the code of a store, and is loaded by the first open(): importing the package loads what engine.ts names alone,
 * which is a tenth of it.
 *
 *   getSync, hasSync, getMany   read-view.ts, many-lookup.ts       compact, verify, stats   scheduler, verify-store.ts,
 *   scan                        user-iterator.ts, scan.ts                                   store-stats.ts
 *
 * Invariants: nothing here is awaited between a call of the application and its read.
 * Thread:     main.     Owns: the scratch that lookups leave what they found in.
 */
import { StorageError } from '../shared/errors.ts';
import type { SequenceNumber } from '../shared/ids.ts';
import { type Bytes, lookupKeyBytes } from '../shared/input-bytes.ts';
import { Entry, EntryKind } from '../shared/iterator.ts';
import { ManyLookup } from '../shared/read/many-lookup.ts';
import {
  type CompactRange,
  type ResolvedRead,
  resolveCompactRange,
  resolveRead,
  resolveScan,
  resolveSync,
  takeValue,
  type WriteOptions,
} from '../shared/read/read-options.ts';
import { ReadTurns } from '../shared/read/read-turns.ts';
import { lookupMemtables, lookupTables } from '../shared/read/read-view.ts';
import { Scan } from '../shared/read/scan.ts';
import type { EngineStats } from './counters.ts';
import type { TellEvent } from './events.ts';
import { type OpenInternals, openStore } from './open-store.ts';
import type { EngineOptions } from './options.ts';
import type { ReadOptions, ScanOptions } from './read-options.ts';
import { Runtime } from './runtime.ts';
import { Snapshot } from './snapshot.ts';
import { storeStats } from './store-stats.ts';
import { type VerifyOptions, type VerifyReport, verifyStore } from './verify-store.ts';

/** Makes the core of an engine that tells its events by `tell`. */
export type MakeCore = (tell: TellEvent) => EngineCore;

/** Opens a store; returns what `start` makes of it. */
export function openCore<T>(
  path: string,
  options: EngineOptions,
  internals: OpenInternals,
  start: (make: MakeCore) => T,
): Promise<T> {
  return openStore(path, options, internals, (opened) =>
    start((tell) => new EngineCore(new Runtime(opened, internals, tell))),
  );
}

export class EngineCore {
  readonly runtime: Runtime;
  readonly turns: ReadTurns = new ReadTurns();
  readonly #entry = new Entry();
  readonly #many = new ManyLookup();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    for (const entry of [this.#entry, this.#many.scratch]) runtime.store.arenas.addScratch(entry);
  }

  getSync(key: Bytes, options: ReadOptions | undefined): Buffer | undefined {
    this.runtime.checkReadable();
    const read = resolveRead(options);
    return this.#findAs(key, read) ? takeValue(this.#entry, read) : undefined;
  }

  hasSync(key: Bytes, options: ReadOptions | undefined): boolean {
    this.runtime.checkReadable();
    return this.#findAs(key, resolveRead(options));
  }

  getMany(keys: readonly Bytes[], options: ReadOptions | undefined): (Buffer | undefined)[] {
    this.runtime.checkReadable();
    if (!Array.isArray(keys))
      throw new StorageError('STRATA_INVALID_ARGUMENT', 'getMany takes an array of keys');
    const read = resolveRead(options);
    const sequence = this.#sequenceOf(read?.snapshot);
    const { memtables, versions, tables, blocks, readPressure } = this.runtime.store;
    const version = versions.current;
    const sources = { memtables, version, tables };
    const values =
      read?.fillCache === false
        ? blocks.bypassed(() => this.#many.values(sources, sequence, keys, read))
        : this.#many.values(sources, sequence, keys, read);
    readPressure.noteLookups(version, this.#many.tableLookups);
    return values;
  }

  /** As {@link #find}, as the options of the read have it. */
  #findAs(key: Bytes, read: ResolvedRead<Snapshot> | undefined): boolean {
    const sequence = this.#sequenceOf(read?.snapshot);
    if (read?.fillCache !== false) return this.#find(key, sequence);
    return this.runtime.store.blocks.bypassed(() => this.#find(key, sequence));
  }

  #sequenceOf(snapshot: Snapshot | undefined): SequenceNumber {
    const { store } = this.runtime;
    return snapshot === undefined ? store.visibleSequence() : Snapshot.sequenceOf(snapshot, store.snapshots);
  }

  /** Leaves the visible version of `key` in #entry; false when there is none or it is a tombstone. */
  #find(key: Bytes, sequence: SequenceNumber): boolean {
    const { memtables, versions, tables, readPressure } = this.runtime.store;
    const bytes = lookupKeyBytes(key);
    const entry = this.#entry;
    if (!lookupMemtables(memtables, bytes, sequence, entry)) {
      const version = versions.current;
      readPressure.noteLookups(version, 1);
      if (!lookupTables(version, tables, bytes, sequence, entry)) return false;
    }
    return entry.kind === EntryKind.Put;
  }

  scan(range: ScanOptions | undefined): Scan {
    this.runtime.checkReadable();
    const options = resolveScan(range);
    const core = this.runtime.openScan(options, this.#sequenceOf(options.snapshot));
    const scan = new Scan(core, options);
    this.runtime.scans.watch(scan, core, options.signal);
    return scan;
  }

  snapshot(): Snapshot {
    this.runtime.checkReadable();
    const { store } = this.runtime;
    return store.snapshots.take(store.visibleSequence());
  }

  /** Whether a write waits for the disk. Reading options may run code of the application, which may have closed the store. */
  syncFor(options: WriteOptions | undefined): boolean {
    const runtime = this.runtime;
    runtime.checkWritable();
    if (options === undefined) return runtime.store.options.sync;
    const sync = resolveSync(options, runtime.store.options.sync);
    runtime.checkWritable();
    return sync;
  }

  async compact(range: CompactRange | undefined): Promise<void> {
    const runtime = this.runtime;
    runtime.checkWritable();
    const resolved = resolveCompactRange(range);
    // Reading the range may have run code of the application.
    runtime.checkWritable();
    await runtime.operation(runtime.scheduler.compact(resolved));
  }

  stats(): EngineStats {
    this.runtime.checkReadable();
    return storeStats(this.runtime);
  }

  async verify(options: VerifyOptions | undefined): Promise<VerifyReport> {
    this.runtime.checkReadable();
    return await this.runtime.operation(verifyStore(this.runtime.store, options));
  }
}
