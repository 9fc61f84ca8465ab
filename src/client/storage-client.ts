/**
 * StorageClient: an open store, used from another thread. Reads happen here; writes go to the owner.
 *
 *   get, getMany, has     client-reads.ts, by the moment of view-follower.ts, with this thread's own caches
 *   scan                  the same moment, pinned; open-scans.ts
 *   snapshot              client-snapshot.ts
 *   put, delete, write    turn-writer.ts
 *   transaction           client-transactions.ts
 *   changes               client-changes.ts: pages come from the owner, and are taken apart here
 *   flush, compact        a call each (calls.ts)
 *   ingest                ingest-writer.ts: runs are built here, merged and committed by the owner
 *
 * Invariants: a read never waits for the owner's event loop, nor makes it do anything. It sees every write that was
 *             acknowledged before it began, to anyone.
 *             It ends once: by close(), with the store, or when the owner's thread is gone. Every promise then settles.
 * Thread:     the one that attached.     Owns: the ports, this thread's descriptors and cached blocks.
 * Long:       the whole public face in one place; most of it are contracts.
 */

import { type CompactRange, ownedCompactRange } from '../shared/base/compact-range.ts';
import { EntryKind } from '../shared/base/entry.ts';
import { invalidArgument, StorageError } from '../shared/base/errors.ts';
import { momentAfter, prependExpiry } from '../shared/base/expiry.ts';
import { ForgottenWarning } from '../shared/base/forgotten.ts';
import type { FileNumber } from '../shared/base/ids.ts';
import { type Bytes, InputBytes } from '../shared/base/input-bytes.ts';
import { INSPECT, type Inspect, inspected } from '../shared/base/inspected.ts';
import type { AllKeys, KeyRange } from '../shared/base/key-range.ts';
import { throwIfAborted } from '../shared/base/signals.ts';
import { ChangeIterator } from '../shared/changes/change-iterator.ts';
import type { ChangeBatch } from '../shared/changes/changes.ts';
import { type ChangesOptions, resolveChanges } from '../shared/changes/changes-options.ts';
import { History } from '../shared/changes/history.ts';
import { PageDecoder } from '../shared/changes/page-decoder.ts';
import { encodePosition } from '../shared/changes/position.ts';
import {
  type IngestOptions,
  type IngestReport,
  type IngestSource,
  resolveIngest,
} from '../shared/ingest/ingest-options.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import {
  type PutOptions,
  type PutTerms,
  resolvePut,
  resolveSync,
  type WriteOptions,
} from '../shared/log/write-options.ts';
import { FixedTime, timeOfRead } from '../shared/read/found-entry.ts';
import { OpenScans } from '../shared/read/open-scans.ts';
import { type ResolvedScan, resolveScan, type ScanOptionsOf } from '../shared/read/read-options.ts';
import { newestFirst } from '../shared/read/readable-memtables.ts';
import { readerStats } from '../shared/read/reader-stats.ts';
import { Scan } from '../shared/read/scan.ts';
import type { ScanCore } from '../shared/read/scan-core.ts';
import type { OwnSource } from '../shared/read/scan-sources.ts';
import type { Calls } from '../shared/threads/calls.ts';
import { ControlBlock } from '../shared/threads/control-block.ts';
import type { OwnerCalls } from '../shared/threads/share-protocol.ts';
import { SharedClock } from '../shared/threads/shared-clock.ts';
import { ViewSlots } from '../shared/threads/view-slots.ts';
import {
  resolveTransaction,
  type TransactionFunction,
  type TransactionOptions,
} from '../shared/transact/run-transaction.ts';
import { type Attached, type AttachOptions, attachTo } from './attach.ts';
import { ClientChanges } from './client-changes.ts';
import { type ClientReadOptions, ClientReads } from './client-reads.ts';
import { ClientSnapshot } from './client-snapshot.ts';
import type { ClientStats } from './client-stats.ts';
import { ClientTransactions } from './client-transactions.ts';
import { IngestWriter } from './ingest-writer.ts';
import type { WriterHost } from './run-store.ts';
import { TurnWriter } from './turn-writer.ts';
import { ViewFollower } from './view-follower.ts';

export type { ClientReadOptions } from './client-reads.ts';

/** Whether it is this module that makes a client: the application's `new StorageClient(port)` would be none. */
let isMaking = false;

/** What a client's scan covers and gives. */
export type ClientScanOptions = ScanOptionsOf<ClientSnapshot>;

/**
 * A store that another thread has open. Keys, values, options and errors are those of {@link StorageEngine}; methods that
 * return a promise never throw. Everything is STRATA_CLOSED once the client or the store is closed.
 *
 * @example
 * // In the thread that opened the store:
 * const port = engine.share();
 * new Worker('./reader.js', { workerData: { port }, transferList: [port] });
 * // In reader.js:
 * import { workerData } from 'node:worker_threads';
 * import { StorageClient } from 'stratakv/worker';
 * const client = await StorageClient.attach(workerData.port);
 * console.log(client.getSync('user:1')?.toString());
 */
export class StorageClient {
  readonly #directory: string;
  readonly #control: ControlBlock;
  readonly #releaseFiles: () => void;
  readonly #calls: Calls<OwnerCalls>;
  readonly #views: ViewFollower;
  readonly #writer: TurnWriter;
  readonly #scans: OpenScans;
  readonly #forgottenSnapshots: ForgottenWarning;
  readonly #writerHost: WriterHost;
  readonly #ingests = new Set<IngestWriter>();
  readonly #changes = new Set<ClientChanges>();
  readonly #history: History;
  readonly #cacheBytes: number;
  /** What a put without options is. */
  readonly #plainPut: PutTerms;
  readonly #clock: SharedClock;
  readonly #key = new InputBytes();
  readonly #value = new InputBytes();
  readonly #reads: ClientReads;
  readonly #transactions: ClientTransactions;
  #openSnapshots = 0;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closing: Promise<void> | undefined;

  private constructor(attached: Attached) {
    if (!isMaking)
      throw invalidArgument('a client is made by StorageClient.attach(port), which gives a promise of it');
    const { attachment, calls, viewPort, fs, releaseFiles, ...options } = attached;
    this.#directory = attachment.directory;
    this.#releaseFiles = releaseFiles;
    this.#control = new ControlBlock(attachment.control);
    this.#calls = calls;
    const { storeId, closed, id } = attachment.history;
    this.#history = new History(storeId, closed, id);
    this.#writer = new TurnWriter(calls, attachment);
    const sent = (): Promise<void> | undefined => this.#writer.sent();
    this.#writerHost = { calls, fs, directory: attachment.directory, sent };
    this.#plainPut = { sync: attachment.sync, ttl: 0 };
    this.#clock = new SharedClock(this.#control);
    this.#cacheBytes = options.cacheBytes;
    const slots = new ViewSlots(attachment.slots);
    this.#views = new ViewFollower(viewPort, this.#control, slots, attachment.view, {
      obsolete: (numbers: readonly FileNumber[]) => {
        for (const number of numbers) this.#reads.tables.evict(number);
      },
      reclaim: () => this.#reads.reclaim(),
      ended: (error) => this.#end(error),
    });
    const { directory } = attachment;
    const checkOpen = (): void => this.#checkOpen();
    const settings = { ...options, fs, directory, clock: this.#clock, use: this.#control.diskUse };
    this.#reads = new ClientReads({ self: this, checkOpen }, this.#views, settings);
    const { tables, awaited } = this.#reads;
    this.#scans = new OpenScans(tables, awaited, new ForgottenWarning('scan', directory), checkOpen);
    this.#transactions = new ClientTransactions({
      self: this,
      calls,
      reads: this.#reads,
      clock: this.#clock,
      checkOpen,
      sent,
      openScan: (scanOptions, own) => this.#openScan(scanOptions, own),
    });
    this.#forgottenSnapshots = new ForgottenWarning('snapshot', attachment.directory);
  }

  /**
   * Attaches to the store behind `port`, which came from `engine.share()` and serves one client.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT (not such a port, or one that was used), STRATA_CLOSED when the store
   * is closed by now, STRATA_UNSUPPORTED.
   * @example
   * const client = await StorageClient.attach(workerData.port, { cacheSize: 32 * 1024 * 1024 });
   */
  static async attach(port: unknown, options: AttachOptions = {}): Promise<StorageClient> {
    return await attachTo(port, options, (attached) => {
      isMaking = true;
      try {
        const client = new StorageClient(attached);
        attached.whenGone(() => client.#end(closedError()));
        return client;
      } finally {
        isMaking = false;
      }
    });
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    return inspected(
      'StorageClient',
      { directory: this.#directory, status: this.#state },
      depth,
      options,
      inspect,
    );
  }

  /**
   * The value of a key, or undefined. Sees every write that was acknowledged, to anyone, before the call. What memory has is read
   * in the call; the disk is read without holding this thread. With `signal` a read that waits ends when it is aborted.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_CLOSED, STRATA_CORRUPTION (names file and offset), STRATA_IO.
   */
  get(key: Bytes, options?: ClientReadOptions): Promise<Buffer | undefined> {
    return this.#reads.look(key, options, 'value');
  }

  /** @internal The next write would be refused with STRATA_BUSY. */
  get isBusy(): boolean {
    return this.#writer.isBusy;
  }

  /** @internal As {@link StorageClient.get}, without a promise where memory has the answer; may throw. */
  getNow(key: Bytes, options?: ClientReadOptions): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#reads.lookNow(key, options, 'value');
  }

  /** As {@link StorageClient.get}, without a promise: waits for the disk where the value is there; throws what that rejects
   * with. */
  getSync(key: Bytes, options?: ClientReadOptions): Buffer | undefined {
    return this.#reads.getSync(key, options);
  }

  /** The values of many keys, in their order, undefined for those that don't exist; all of one moment. */
  getMany(keys: readonly Bytes[], options?: ClientReadOptions): Promise<(Buffer | undefined)[]> {
    return this.#reads.getMany(keys, options);
  }

  /** Whether a key exists; fails as {@link StorageClient.get} does, and copies nothing. */
  async has(key: Bytes, options?: ClientReadOptions): Promise<boolean> {
    return (await this.#reads.look(key, options, 'presence')) !== undefined;
  }

  /** When the value of a key will be gone, as {@link StorageEngine.expiresAt} says it. */
  expiresAt(key: Bytes): Promise<number | undefined> {
    return this.#reads.expiresAt(key);
  }

  /** As {@link StorageClient.has}, without a promise: waits for the disk. */
  hasSync(key: Bytes, options?: ClientReadOptions): boolean {
    return this.#reads.hasSync(key, options);
  }

  /**
   * The entries of a range, in key order, lazily, all of the moment of this call; across flush, compaction and the deletion of
   * files by the owner. `for await` reads the disk without holding this thread, and reads ahead; `for` and `nextMany` wait in the
   * call.
   * @throws {@link StorageError} as {@link StorageClient.get}, from the call or from the iteration.
   * @example
   * for await (const [key, value] of client.scan({ prefix: 'user:', limit: 10 })) use(key, value);
   */
  scan(range?: ClientScanOptions): Scan {
    this.#checkOpen();
    return this.#openScan(resolveScan(range), undefined).scan;
  }

  #openScan(
    options: ResolvedScan<ClientSnapshot>,
    own: OwnSource | undefined,
  ): { readonly scan: Scan; readonly core: ScanCore } {
    const { view, sequence, clock, release } = this.#reads.pinMoment(options);
    const { fillCache } = options;
    const memtables = newestFirst(view.memtables);
    const nowMs = timeOfRead(memtables, view.version, clock);
    const sources = { memtables, version: view.version, sequence, own, fillCache, nowMs };
    const core = this.#scans.open(sources, options, release);
    const scan = new Scan(core, options);
    this.#scans.watch(scan, core, options);
    return { scan, core };
  }

  /**
   * A frozen moment to read from. Close it when done: files are kept on disk for it.
   * @throws {@link StorageError} STRATA_CLOSED.
   */
  snapshot(): ClientSnapshot {
    this.#checkOpen();
    const { view, sequence, clock, release } = this.#reads.pinMoment(undefined);
    this.#openSnapshots++;
    const giveUp = (): void => {
      this.#openSnapshots--;
      release();
    };
    const forget = (): void => {
      this.#forgottenSnapshots.tell();
      giveUp();
    };
    const time = new FixedTime(clock.now());
    return new ClientSnapshot(this, { view, sequence, clock: time, release: giveUp, forget });
  }

  /** @internal As the engine's. */
  hold(): ClientSnapshot {
    return this.snapshot();
  }

  /**
   * Writes one value, as {@link StorageEngine.put} does: resolves when the owner has it in the log or, with `sync`, on the disk.
   * What is on its way is bounded: further writes wait in this thread, and when more than the engine's `maxHeldBytes` wait here,
   * the next one is refused.
   * @throws {@link StorageError} as {@link StorageEngine.put}. STRATA_CLOSED for a write under way when the owner's thread ends
   * means that it is indeterminate.
   */
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<void> {
    try {
      const { sync, ttl } = this.#putTerms(options);
      this.#key.setKey(key);
      this.#value.setValue(value);
      if (ttl > 0) prependExpiry(this.#value, momentAfter(this.#clock.now(), ttl));
      const kind = ttl > 0 ? EntryKind.ExpiringPut : EntryKind.Put;
      return this.#writer.append(kind, this.#key, this.#value, sync);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Removes a key, which need not exist. Resolves and fails as {@link StorageClient.put} does. */
  delete(key: Bytes, options?: WriteOptions): Promise<void> {
    try {
      const sync = this.#syncFor(options);
      this.#key.setKey(key);
      this.#value.end = 0;
      return this.#writer.append(EntryKind.Delete, this.#key, this.#value, sync);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Applies a batch: all of it or nothing. Resolves and fails as {@link StorageClient.put} does.
   * @example
   * await client.write(new WriteBatch().put('a', '1').delete('b'));
   */
  write(batch: WriteBatch, options?: WriteOptions): Promise<void> {
    try {
      const sync = this.#syncFor(options);
      const plain = WriteBatch.plain(batch);
      WriteBatch.settle(plain, this.#clock);
      return plain.length === 0 ? Promise.resolve() : this.#writer.appendBatch(plain, sync);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Deletes all keys in a range, as {@link StorageEngine.deleteRange} does. */
  deleteRange(range: KeyRange | AllKeys, options?: WriteOptions): Promise<void> {
    try {
      return this.write(new WriteBatch().deleteRange(range), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * As {@link StorageEngine.transaction}: `fn` reads in this thread, and the owner judges and writes what it has written.
   * @throws {@link StorageError} as {@link StorageEngine.transaction}.
   * @example
   * await client.transaction((tx) => {
   *   tx.put('visits', String(Number(tx.getSync('visits') ?? 0) + 1));
   * });
   */
  transaction<T>(fn: TransactionFunction<T>, options?: TransactionOptions): Promise<T> {
    try {
      this.#checkOpen();
      const resolved = resolveTransaction(fn, options, this.#plainPut.sync);
      this.#checkOpen();
      return this.#transactions.run(fn, resolved);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Resolves when a write would not be refused with STRATA_BUSY, as {@link StorageEngine.writable} does.
   * @throws {@link StorageError} STRATA_CLOSED.
   * @example
   * await client.writable();
   * client.put('user:1', 'Alice').catch(onError);
   */
  async writable(): Promise<void> {
    this.#checkOpen();
    await this.#writer.writable();
    this.#checkOpen();
  }

  #syncFor(options: WriteOptions | undefined): boolean {
    this.#checkOpen();
    const { sync: fallback } = this.#plainPut;
    if (options === undefined) return fallback;
    const sync = resolveSync(options, fallback);
    // Reading them may have run code of the application.
    this.#checkOpen();
    return sync;
  }

  #putTerms(options: PutOptions | undefined): PutTerms {
    this.#checkOpen();
    if (options === undefined) return this.#plainPut;
    const terms = resolvePut(options, this.#plainPut.sync);
    this.#checkOpen();
    return terms;
  }

  /**
   * As {@link StorageEngine.ingest}, with the same options and report: the records are taken, sorted and written here,
   * in this thread, and merged by the owner. Threads that ingest share the work of reading and sorting. With a source that is
   * ready at once this thread's event loop stands still for some tens of milliseconds every few megabytes.
   * @throws {@link StorageError} as {@link StorageEngine.ingest}; also what the source throws, or the signal's reason. Nothing of
   * the load is in the store then.
   * @example
   * await client.ingest(parse(text), { onProgress: ({ phase, records }) => log(phase, records) });
   */
  async ingest(source: IngestSource, options?: IngestOptions): Promise<IngestReport> {
    this.#checkOpen();
    const resolved = resolveIngest(source, options);
    this.#checkOpen();
    throwIfAborted(resolved.signal);
    const writer = await this.ingestWriter();
    return await writer.ingest(source, resolved);
  }

  /**
   * An ingestion record by record: {@link IngestWriter}.
   * @throws {@link StorageError} STRATA_READ_ONLY, STRATA_CLOSED.
   * @example
   * const writer = await client.ingestWriter();
   * writer.put('user:1', 'Alice');
   * await writer.finish();
   */
  async ingestWriter(): Promise<IngestWriter> {
    this.#checkOpen();
    const terms = await this.#calls.call('ingestBegin', []);
    // Whoever closed it meanwhile could not end a writer that was not there yet.
    this.#checkOpen();
    const writer: IngestWriter = new IngestWriter(this.#writerHost, terms, () =>
      this.#ingests.delete(writer),
    );
    this.#ingests.add(writer);
    return writer;
  }

  /** {@link StorageEngine.flush}, after what this client wrote before. */
  async flush(): Promise<void> {
    this.#checkOpen();
    const sent = this.#writer.sent();
    if (sent !== undefined) await sent;
    await this.#calls.call('flush', []);
  }

  /** {@link StorageEngine.compact}, after what this client wrote before. */
  async compact(range?: KeyRange | CompactRange): Promise<void> {
    this.#checkOpen();
    const owned = ownedCompactRange(range);
    this.#checkOpen();
    const sent = this.#writer.sent();
    if (sent !== undefined) await sent;
    await this.#calls.call('compact', [owned]);
  }

  /** As of the engine: the place behind the last acknowledged write, of whichever thread. */
  get position(): string {
    return encodePosition(this.#history.placeAt(this.#control.visibleSequence));
  }

  /**
   * As of the engine: the writes of the store behind a position, or from now on. The owner reads the log; what is in it is taken
   * apart in this thread.
   * @example
   * for await (const { position, changes } of client.changes({ after: saved, prefix: 'user:' })) await index(changes, position);
   */
  changes(options?: ChangesOptions): AsyncIterableIterator<ChangeBatch, undefined> {
    this.#checkOpen();
    const { after, range, signal } = resolveChanges(options);
    this.#checkOpen();
    const feed = new ClientChanges(this.#calls, after ?? this.position, (ended) =>
      this.#changes.delete(ended),
    );
    this.#changes.add(feed);
    return new ChangeIterator(feed, new PageDecoder(this.#history, range), signal);
  }

  /** What this client holds and has done: a plain object, safe for JSON. */
  stats(): ClientStats {
    this.#checkOpen();
    return {
      ...readerStats(this.#reads.tables, this.#reads.blocks, this.#cacheBytes, this.#reads.awaited),
      openTables: this.#reads.tables.openCount,
      openScans: this.#scans.size,
      openSnapshots: this.#openSnapshots,
      heldWrites: this.#writer.heldWrites,
      heldBytes: this.#writer.heldBytes,
      sentBytes: this.#writer.sentBytes,
    };
  }

  /** Waits for this client's writes and calls, and detaches; ingestions that still take records end. Idempotent. The store
   * stays open. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** {@link StorageClient.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closing';
    const error = new StorageError('STRATA_CLOSED', 'the client is closed');
    this.#transactions.close(error);
    for (const feed of this.#changes) feed.end(error);
    const sent = this.#writer.sent();
    if (sent !== undefined) await sent;
    await this.#calls.settled();
    await this.#reads.turns.settled();
    this.#end(error);
  }

  #checkOpen(): void {
    if (this.#state !== 'open') throw new StorageError('STRATA_CLOSED', 'the client is closed');
    if (!this.#control.isClosedHint) return;
    // Calls are left to the port, where answers may be under way.
    const error = closedError();
    this.#scans.closeAll(error);
    throw error;
  }

  #end(reason: StorageError): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#reads.end(reason);
    this.#calls.end(reason);
    this.#transactions.close(reason);
    for (const feed of this.#changes) feed.end(reason);
    this.#writer.end(reason);
    for (const writer of this.#ingests) writer.stop(reason);
    this.#scans.closeAll(reason);
    this.#forgottenSnapshots.end();
    this.#views.close();
    this.#reads.close();
    this.#releaseFiles();
  }
}

function closedError(): StorageError {
  return new StorageError('STRATA_CLOSED', 'the store is closed');
}
