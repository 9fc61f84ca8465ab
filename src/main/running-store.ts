/**
 * A running store: its parts (assemble-store.ts) and their lifecycle.
 *
 *   close   1. new calls are refused; compactions, ingestions and verify() are cancelled, those that were asked for as well;
 *              accepted writes and flushes complete
 *           2. what is in memory goes to tables, unless it is little: so the next open has little to replay. If that fails,
 *              the logs have it
 *           3. logs are synced and measured in the manifest: any later damage to them can be told from a crash
 *           4. scans end, threads end, files are closed, the lock is given up
 *
 *   A disk that does not answer (close-limit.ts): every promise is rejected, and close() as well. What is under way on the disk
 *   can't be taken back, so steps 1, 2 and 4 go on by themselves as it ends: the lock is not given up while anything may write.
 *
 *   becomeReadOnly   the first failure that ends all writing: writes are refused, background work is cancelled, ingestions end
 *
 * Invariants: every promise ever given out settles by the time close() settles.
 * Thread:     main.     Owns: all parts.
 */
import type { MessagePort } from 'node:worker_threads';
import { invalidArgument, StorageError } from '../shared/base/errors.ts';
import { readOnlyAfter, toStorageError } from '../shared/base/failures.ts';
import { ForgottenWarning } from '../shared/base/forgotten.ts';
import { fileNumber, type SequenceNumber, sequenceNumber } from '../shared/base/ids.ts';
import { setImmediate } from '../shared/base/timers.ts';
import { encodePosition } from '../shared/changes/position.ts';
import { timeOfRead } from '../shared/read/found-entry.ts';
import { OpenScans } from '../shared/read/open-scans.ts';
import type { ResolvedScan } from '../shared/read/read-options.ts';
import { newestFirst } from '../shared/read/readable-memtables.ts';
import type { ScanCore } from '../shared/read/scan-core.ts';
import type { OwnSource } from '../shared/read/scan-sources.ts';
import type { Clock } from '../shared/threads/shared-clock.ts';
import { assembleStore, type StoreHost } from './assemble-store.ts';
import { ChangeSource } from './changes/change-source.ts';
import { trimKept } from './changes/trim-kept.ts';
import { CLOSE_LIMIT_MS, closePulse, unlessStuck } from './close-limit.ts';
import { Scheduler } from './compaction/scheduler.ts';
import { Upkeep } from './compaction/upkeep.ts';
import { EngineMoment } from './engine-moment.ts';
import { EngineReads } from './engine-reads.ts';
import { reportDeletion } from './files/job-outputs.ts';
import type { Ownership } from './files/ownership.ts';
import { Ingester } from './ingest/ingester.ts';
import { clientChunkBytes } from './ingest/pool-sorter.ts';
import type { Opened, OpenInternals } from './open/open-store.ts';
import { Operations } from './operations.ts';
import type { IngestReceiver } from './share/client-ingestions.ts';
import type { ClientService } from './share/client-session.ts';
import { Shares } from './share/shares.ts';
import type { ViewStats } from './share/view-publisher.ts';
import type { EngineStatus } from './store/counters.ts';
import type { TellEvent } from './store/events.ts';
import type { StoreParts } from './store-parts.ts';
import { Transactions } from './transact/transactions.ts';

export class RunningStore {
  readonly parts: StoreParts;
  readonly scheduler: Scheduler;
  readonly scans: OpenScans;
  readonly reads: EngineReads;
  readonly ingester: Ingester;
  readonly transactions: Transactions;
  readonly changes: ChangeSource;
  readonly lock: Opened['lock'];
  readonly #ownership: Ownership;
  readonly #upkeep: Upkeep;
  readonly #operations = new Operations();
  readonly #closeLimitMs: number;
  #status: EngineStatus;
  #visibleSequence: SequenceNumber;
  #closing: Promise<void> | undefined;
  #hasGivenUp = false;
  #isRefusing = false;
  /** The first failure that ended all writing, and the error that writers get for it. */
  #failure: { readonly error: StorageError; readonly refusal: StorageError } | undefined;
  #shares: Shares | undefined;

  constructor(opened: Opened, internals: OpenInternals, report: TellEvent) {
    // Not all of `opened`: it has the recovered memtables, whose memory is given up when they are flushed.
    this.lock = opened.lock;
    this.#closeLimitMs = internals.closeLimitMs ?? CLOSE_LIMIT_MS;
    this.#status = opened.options.readOnly ? 'read-only' : 'open';
    this.#visibleSequence = sequenceNumber(opened.recovered.lastSequence);
    opened.control.publishSequence(this.#visibleSequence);
    const { parts, ownership } = assembleStore(opened, internals, report, this.#host());
    this.parts = parts;
    this.#ownership = ownership;
    this.scheduler = new Scheduler(this.parts);
    this.#upkeep = new Upkeep(this.parts, this.scheduler, internals.restMs);
    this.reads = new EngineReads(this.parts, () => this.checkReadable());
    this.scans = new OpenScans(
      this.parts.tables,
      this.reads.awaited,
      new ForgottenWarning('scan', opened.path),
    );
    this.ingester = new Ingester({
      store: this.parts,
      scheduler: this.scheduler,
      sequenceHeadroom: internals.ingestHeadroom,
      lastSequence: () => this.#encodedSequence(),
      committed: (load) => this.changes.noteLoad(load),
      publish: (sequence) => this.#publish(sequence, 0),
      checkWritable: () => this.checkWritable(),
    });
    this.transactions = new Transactions({
      ...this.parts,
      lastSequence: () => this.#encodedSequence(),
      checkReadable: () => this.checkReadable(),
      checkWritable: () => this.checkWritable(),
      readsAt: (sequence, timeMs) => new EngineMoment(this, sequence, timeMs),
    });
    this.changes = new ChangeSource(this.parts);
    // Later, when the caller of open() has had the chance to listen.
    for (const error of opened.deletionErrors)
      setImmediate(() => reportDeletion(this.parts.report, error)).unref();
    if (opened.options.readOnly) this.parts.pipeline.refuse(readOnlyError());
    else {
      trimKept(this.parts);
      this.scheduler.update();
      this.#upkeep.start();
    }
  }

  #host(): StoreHost {
    return {
      views: () => this.#shares?.views,
      lastSequence: () => this.#encodedSequence(),
      visibleSequence: () => this.#visibleSequence,
      isClosing: () => this.#closing !== undefined,
      publish: (sequence, logBytes) => this.#publish(sequence, logBytes),
      workMayBeDue: () => this.scheduler.update(),
      readersSuffer: () => {
        if (this.#status === 'open') this.scheduler.update();
      },
      snapshotReleased: () => this.#upkeep.noteRelease(),
      unreadAfter: () => this.changes.unreadAfter,
      becomeReadOnly: (operation, error) => this.#becomeReadOnly(operation, error),
    };
  }

  get status(): EngineStatus {
    return this.#status;
  }

  /** The position behind `sequence`. */
  positionOf(sequence: number): string {
    return encodePosition(this.parts.versions.history.placeAt(sequence));
  }

  /** The last sequence given to any write, published or not. */
  #encodedSequence(): number {
    const { memtables } = this.parts;
    const newest = memtables.active ?? memtables.frozen.at(-1);
    return newest === undefined ? this.#visibleSequence : newest.memtable.nextSequence - 1;
  }

  #publish(sequence: number, logBytes: number): void {
    this.#visibleSequence = sequenceNumber(sequence);
    this.parts.control.publishSequence(this.#visibleSequence);
    this.parts.counters.walBytes += logBytes;
    this.#ownership.noteWrite();
    this.#upkeep.noteWrite();
    this.changes.noteNews();
  }

  /** Returns the error for writers: of the first failure, whatever fails after it. */
  #becomeReadOnly(operation: string, cause: unknown): StorageError {
    if (this.#failure !== undefined) return this.#failure.refusal;
    const error = toStorageError(cause, `the ${operation} failed`);
    const refusal = readOnlyAfter(operation, error);
    this.#failure = { error, refusal };
    if (this.#status === 'open') this.#status = 'read-only';
    this.parts.pipeline.refuse(refusal);
    this.scheduler.halt(refusal);
    this.#upkeep.stop();
    this.ingester.stop(refusal);
    this.parts.report('backgroundError', { error, operation, willRetry: false });
    return refusal;
  }

  checkReadable(): void {
    if (this.#status === 'closing' || this.#status === 'closed') throw closedError();
  }

  checkWritable(): void {
    if (this.#status === 'open' && !this.#isRefusing) return;
    this.checkReadable();
    this.checkOutsideUpdate();
    throw this.#failure?.refusal ?? readOnlyError();
  }

  /** Throws within the function of an update. */
  checkOutsideUpdate(): void {
    if (!this.#isRefusing) return;
    throw invalidArgument('nothing can be written from inside the function of an update');
  }

  /** What `fn` returns; every write is refused meanwhile. */
  refusingWrites<T>(fn: () => T): T {
    this.#isRefusing = true;
    try {
      return fn();
    } finally {
      this.#isRefusing = false;
    }
  }

  /** The last failure of background work that has not been overcome. */
  get backgroundError(): StorageError | undefined {
    return this.#failure?.error ?? this.scheduler.error;
  }

  /** Runs on behalf of a caller: keeps the process alive, and close() waits for it. */
  operation<T>(work: Promise<T>): Promise<T> {
    return this.#operations.run(work);
  }

  /** Pins the current moment for a scan, which is to be passed to `scans.watch` in the same turn. */
  openScan(
    options: Pick<ResolvedScan<unknown>, 'range' | 'reverse' | 'limit' | 'fillCache'>,
    sequence: SequenceNumber,
    clock: Clock,
    own?: OwnSource,
  ): ScanCore {
    const { memtables, versions } = this.parts;
    const pin = versions.pin();
    this.parts.readPressure.noteScan(pin.version);
    const held = memtables.holdForScan();
    const { fillCache } = options;
    const nowMs = timeOfRead(held, pin.version, clock);
    const sources = { memtables: held, version: pin.version, sequence, own, fillCache, nowMs };
    return this.scans.open(sources, options, () => {
      pin.release();
      memtables.releaseFromScan(held);
    });
  }

  /** A port through which another thread can attach. */
  share(owner: ClientService): MessagePort {
    this.#shares ??= new Shares(
      this.parts,
      this.#ingestReceiver(),
      this.transactions,
      this.changes,
      (write) => {
        this.checkWritable();
        const { pipeline, counters } = this.parts;
        const written = pipeline.appendEncoded(write, true);
        counters.userBytes += write.dataBytes;
        return written;
      },
    );
    return this.#shares.open(owner);
  }

  #ingestReceiver(): IngestReceiver {
    return {
      begin: () => {
        this.checkWritable();
        return this.ingester.receive();
      },
      chunkBytes: clientChunkBytes(this.parts),
    };
  }

  get clientCount(): number {
    return this.#shares?.clientCount ?? 0;
  }

  get queuedClientBytes(): number {
    return this.#shares?.queuedBytes ?? 0;
  }

  get clientViews(): ViewStats {
    return this.#shares?.viewStats ?? { kept: 0, unread: 0 };
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeTraced();
    return this.#closing;
  }

  async #closeTraced(): Promise<void> {
    const { trace, memtables } = this.parts;
    const counts = { operations: this.#operations.count, frozenMemtables: memtables.frozen.length };
    const span = trace.wants('close') ? trace.begin('close', counts) : undefined;
    try {
      await this.#close();
      span?.end({ hasGivenUp: this.#hasGivenUp });
    } catch (error) {
      span?.fail(error);
      throw error;
    }
  }

  async #close(): Promise<void> {
    const { parts, scheduler } = this;
    const canSync = !parts.options.readOnly;
    this.#status = 'closing';
    this.reads.close(closedError());
    this.transactions.close(closedError());
    this.changes.close(closedError());
    this.#upkeep.stop();
    this.lock.noteClosing();
    parts.control.diskUse.beginClose();
    parts.jobs.beginClose();
    this.ingester.stop(closedError());
    scheduler.cancelCompactions(closedError());
    parts.jobs.cancel('ordinary');
    const orderly = this.#closeInOrder(canSync);
    await unlessStuck(
      orderly,
      () => closePulse(parts, this.#operations.count),
      this.#closeLimitMs,
      (error) => this.#giveUp(error),
    );
  }

  async #closeInOrder(canSync: boolean): Promise<void> {
    const { parts, scheduler } = this;
    const { pipeline, versions } = parts;
    try {
      const stuck = scheduler.flushError;
      if (stuck !== undefined) pipeline.rejectHeld(stuck);
      // Operations first: they may need the scheduler to make room for held writes.
      const settling = [this.#operations.settled(), this.ingester.settled(), this.changes.settled()];
      await Promise.allSettled([...settling, pipeline.drain()]);
      if (canSync && this.#failure === undefined && !this.#hasGivenUp) await scheduler.flushBeforeClose();
      await scheduler.stop(closedError());
      // A log whose write or sync has failed is not to be synced again or measured: nobody knows what of it is on the disk.
      if (canSync && !pipeline.hasFailed && !this.#hasGivenUp) {
        await pipeline.syncAll();
        if (this.#failure === undefined && !versions.isPoisoned && !this.#hasGivenUp) await this.#sealLogs();
      }
    } finally {
      await this.#release();
    }
  }

  /** The disk does not answer. #closeInOrder() goes on when it does; nothing that it does by then starts anything new. */
  #giveUp(error: StorageError): void {
    const { parts } = this;
    this.#hasGivenUp = true;
    this.#status = 'closed';
    parts.control.markClosed();
    parts.pipeline.abandon(error);
    this.scheduler.halt(error);
    parts.jobs.cancel('all');
    this.#operations.abandon(error);
    this.scans.closeAll(closedError());
    parts.disk.close();
    // comlink posts an answer some microtasks after its call has settled.
    setImmediate(() => this.#shares?.end());
  }

  /** Step 3. A store whose logs are measured already, or has none, writes nothing, unless it has something that expires. */
  async #sealLogs(): Promise<void> {
    const { memtables, versions, clock } = this.parts;
    const known = new Set(versions.sealedLogs.map((log) => log.number));
    const sealedLogs = memtables
      .logs()
      .filter((log) => log.sizeBytes > 0 && !known.has(log.number))
      .map((log) => ({ number: fileNumber(log.number), sizeBytes: log.sizeBytes }));
    // By this time entries were judged: it is not to be before the next opening's.
    const mayExpire = timeOfRead(newestFirst(memtables), versions.current, clock) > versions.lastTime;
    if (sealedLogs.length === 0 && !mayExpire) return;
    const extra = { lastSequence: this.#visibleSequence, lastTime: clock.now(), sealedLogs };
    await versions.apply({ added: [], removed: [] }, extra);
  }

  async #release(): Promise<void> {
    const { parts } = this;
    this.#ownership.stop();
    parts.snapshots.end();
    parts.control.markClosed();
    parts.pipeline.refuse(closedError());
    this.scans.closeAll(closedError());
    for (const live of [...parts.memtables.frozen, parts.memtables.active]) live?.writer?.retire();
    try {
      await this.#shares?.close();
      await parts.jobs.close();
    } finally {
      parts.disk.close();
      parts.tables.close();
      parts.blocks.clear();
      parts.memtables.close();
      parts.arenas.close();
      await parts.deletions.done().finally(() => this.lock.release());
      this.#status = 'closed';
    }
  }
}

function closedError(): StorageError {
  return new StorageError('STRATA_CLOSED', 'the store is closed');
}

function readOnlyError(): StorageError {
  return new StorageError('STRATA_READ_ONLY', 'the store is read-only');
}
