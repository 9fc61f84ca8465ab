/**
 * What is behind an open StorageEngine: the steps that ask the parts of the store for something. With all that it
 * imports it is the code of a store, and is loaded by the first open(): importing the package loads what engine.ts names alone,
 * which is a tenth of it.
 *
 *   get, has, getMany   engine-reads.ts                compact, verify, stats   scheduler, verify-store.ts, store-stats.ts
 *   scan                user-iterator.ts, scan.ts
 *
 * Invariants: nothing here is awaited between a call of the application and its read.
 * Thread:     main.     Owns: nothing; the parts are Runtime's.
 */
import {
  type CompactRange,
  resolveCompactRange,
  resolveScan,
  resolveSync,
  type WriteOptions,
} from '../shared/read/read-options.ts';
import { Scan } from '../shared/read/scan.ts';
import { type OpenInternals, openStore } from './open/open-store.ts';
import { Runtime } from './running-store.ts';
import type { EngineStats } from './store/counters.ts';
import type { TellEvent } from './store/events.ts';
import type { EngineOptions } from './store/open-request.ts';
import type { ScanOptions } from './store/read-options.ts';
import type { Snapshot } from './store/snapshot.ts';
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

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  scan(range: ScanOptions | undefined): Scan {
    this.runtime.checkReadable();
    const options = resolveScan(range);
    const core = this.runtime.openScan(options, this.runtime.reads.sequenceOf(options.snapshot));
    const scan = new Scan(core, options);
    this.runtime.scans.watch(scan, core, options);
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
