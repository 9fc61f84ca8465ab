/**
 * A client's point reads: get, has, getMany, and the forms without a promise; and the moments that all of its reads are of.
 *
 *   getSync, hasSync     the view that the client is at (view-follower.ts), through lookup.ts, waiting for the disk where that is
 *                        where the answer is
 *   get, has             the same without waiting in the call; what memory has not is fetched (awaited-reads.ts)
 *   getMany              many-lookup.ts, likewise
 *   pinMoment            for what goes on after the call: scans, snapshots
 *
 * Invariants: options and keys are read before anything else, as that may run code of the application. A read is of the moment of
 *             its call: what it goes on with later is pinned in the call.
 * Thread:     the client's.     Owns: its descriptors, cached blocks and disk, the reads that wait.
 */

import { readU64 } from '../shared/base/bytes.ts';
import { Entry } from '../shared/base/entry.ts';
import { invalidArgument, type StorageError } from '../shared/base/errors.ts';
import { type Bytes, lookupKeyBytes, ownedKeyBytes } from '../shared/base/input-bytes.ts';
import { Disk, type DiskOptions } from '../shared/disk/disk.ts';
import { type Needed, WouldWait } from '../shared/disk/would-wait.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import { AwaitedReads } from '../shared/read/awaited-reads.ts';
import { answerOf, timeOfRead, type Wanted } from '../shared/read/found-entry.ts';
import { lookup } from '../shared/read/lookup.ts';
import { ManyLookup, manyJob, valuesNow } from '../shared/read/many-lookup.ts';
import { type ReadOptionsOf, type ResolvedRead, resolveRead } from '../shared/read/read-options.ts';
import { ReadTurns } from '../shared/read/read-turns.ts';
import { newestFirst } from '../shared/read/readable-memtables.ts';
import { TableCache } from '../shared/read/table-cache.ts';
import { BlockCache } from '../shared/table/block-cache.ts';
import type { Clock, SharedClock } from '../shared/threads/shared-clock.ts';
import { ClientSnapshot, type SnapshotHold } from './client-snapshot.ts';
import { readsWhileOpen } from './owned-files.ts';
import type { ClientView, ViewFollower } from './view-follower.ts';

type Read = ResolvedRead<ClientSnapshot> | undefined;
type Found = Buffer | undefined;

/** Options of a client's get, getMany and has. */
export type ClientReadOptions = ReadOptionsOf<ClientSnapshot>;
/** A moment that is kept until it is released. */
export type Moment = Pick<SnapshotHold, 'view' | 'sequence' | 'clock' | 'release'>;

/** Whose reads they are. */
export interface ReadingClient {
  /** Snapshots of it are asked for with this. */
  readonly self: object;
  checkOpen(): void;
}

/** Where its tables are, and how they are read. */
export interface ReadSettings {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly maxOpenFiles: number;
  readonly mmap: boolean;
  readonly cacheBytes: number;
  readonly clock: SharedClock;
  readonly use: DiskOptions['use'];
}

export class ClientReads {
  readonly turns: ReadTurns = new ReadTurns();
  readonly tables: TableCache;
  readonly blocks: BlockCache;
  /** For scans as well, which wait in the same way. */
  readonly awaited: AwaitedReads;
  readonly #client: ReadingClient;
  readonly #views: ViewFollower;
  readonly #disk: Disk;
  readonly #clock: SharedClock;
  readonly #entry = new Entry();
  readonly #many = new ManyLookup();

  constructor(client: ReadingClient, views: ViewFollower, settings: ReadSettings) {
    this.#client = client;
    this.#views = views;
    const { fs, directory, cacheBytes, clock, use } = settings;
    this.#clock = clock;
    this.blocks = new BlockCache(cacheBytes);
    this.#disk = new Disk(fs, { ...(use && { use }), poolSlots: 1 });
    const files = readsWhileOpen(fs, () => client.checkOpen());
    this.tables = new TableCache(files, directory, settings, this.blocks, this.#disk);
    const { turns, tables, blocks } = this;
    const parts = { disk: this.#disk, tables, blocks, turns, many: this.#many, entry: this.#entry };
    this.awaited = new AwaitedReads(parts);
  }

  getSync(key: Bytes, options: ClientReadOptions | undefined): Buffer | undefined {
    return this.#look(lookupKeyBytes(key), resolveRead(options), 'value');
  }

  hasSync(key: Bytes, options: ClientReadOptions | undefined): boolean {
    return this.#look(lookupKeyBytes(key), resolveRead(options), 'presence') !== undefined;
  }

  /** When the value of a key expires. */
  async expiresAt(key: Bytes): Promise<number | undefined> {
    const moment = await this.look(key, undefined, 'expiry');
    return moment === undefined ? undefined : readU64(moment, 0);
  }

  /** The answer as {@link answerOf} gives it. */
  async look(
    key: Bytes,
    options: ClientReadOptions | undefined,
    wanted: Wanted,
  ): Promise<Buffer | undefined> {
    return this.lookNow(key, options, wanted);
  }

  /** As {@link look}, without a promise where memory has the answer. */
  lookNow(key: Bytes, options: ClientReadOptions | undefined, wanted: Wanted): Found | Promise<Found> {
    const read = resolveRead(options);
    return this.getAt(lookupKeyBytes(key), read, wanted);
  }

  /** As {@link look}, of the moment that the options say. */
  getAt(key: Uint8Array, read: Read, wanted: Wanted): Found | Promise<Found> {
    const disk = this.#disk;
    let later: Promise<Found> | undefined;
    const found = this.#look(key, read, wanted, (needed, view, sequence, clock) => {
      const pin = { version: view.version, sequence, clock, release: this.#views.pin(view) };
      disk.mayWait = true;
      later = this.awaited.lookup(needed, ownedKeyBytes(key), pin, read, wanted);
    });
    return later ?? this.turns.after(1, found);
  }

  /** The same, waiting for the disk. */
  getSyncAt(key: Uint8Array, read: Read, wanted: Wanted): Found {
    return this.#look(key, read, wanted);
  }

  async getMany(keys: readonly Bytes[], options: ClientReadOptions | undefined): Promise<Found[]> {
    this.#client.checkOpen();
    if (!Array.isArray(keys)) throw invalidArgument('getMany takes an array of keys');
    return await this.getManyAt(keys, resolveRead(options));
  }

  async getManyAt(keys: readonly Bytes[], read: Read): Promise<Found[]> {
    const job = manyJob(keys, read);
    const { view, sequence, clock, release } = this.pinMoment(read);
    const { version, memtables } = view;
    const nowMs = timeOfRead(newestFirst(memtables), version, clock);
    const sources = { memtables, version, tables: this.tables, nowMs };
    let isLater = false;
    try {
      this.awaited.manyNow(job, sources, sequence, read);
      isLater = job.next < job.keys.length || job.blocked.length > 0;
    } finally {
      if (!isLater) release();
    }
    if (isLater) await this.awaited.manyLater(job, sources, { version, sequence, release }, read);
    const values = valuesNow(job, clock);
    return isLater ? values : this.turns.after(keys.length, values);
  }

  /** The moment to read, kept until it is released: for reads that go on, or in which code of the application may run. */
  pinMoment(options: { readonly snapshot: ClientSnapshot | undefined } | undefined): Moment {
    const moment = this.#momentFor(options);
    const { view, sequence } = moment ?? this.#views;
    const release = this.#views.pin(view);
    if (moment === undefined) this.#views.endRead();
    return { view, sequence, clock: moment?.clock ?? this.#clock, release };
  }

  /** Lets go of what holds memory of memtables without use. */
  reclaim(): void {
    this.#entry.release();
    this.#many.scratch.release();
  }

  /** Rejects what waits for the disk. */
  end(reason: StorageError): void {
    this.awaited.pending.closeAll(reason);
  }

  /** Closes descriptors, and forgets what is cached. */
  close(): void {
    this.#disk.close();
    this.tables.close();
    this.blocks.clear();
  }

  /** The moment to read: undefined for the one that #views is at, which is kept until its endRead(). */
  #momentFor(
    options: { readonly snapshot: ClientSnapshot | undefined } | undefined,
  ): SnapshotHold | undefined {
    this.#client.checkOpen();
    const snapshot = options?.snapshot;
    if (snapshot !== undefined) return ClientSnapshot.holdOf(snapshot, this.#client.self);
    this.#views.beginRead();
    return undefined;
  }

  /**
   * What is wanted of the visible version of `key`. With `whenBlocked` it does
   * not wait for the disk, and tells that what it needs, and of which moment, which is whole until it returns.
   */
  #look(
    key: Uint8Array,
    read: Read,
    wanted: Wanted,
    whenBlocked?: (needed: Needed, view: ClientView, sequence: number, clock: Clock) => void,
  ): Buffer | undefined {
    const moment = this.#momentFor(read);
    const { view, sequence } = moment ?? this.#views;
    const entry = this.#entry;
    const disk = this.#disk;
    disk.mayWait = whenBlocked === undefined;
    try {
      const isFound =
        read?.fillCache === false
          ? this.blocks.bypassed(() =>
              lookup(view.memtables, view.version, this.tables, key, sequence, entry),
            )
          : lookup(view.memtables, view.version, this.tables, key, sequence, entry);
      if (!isFound) return undefined;
      return answerOf(entry, wanted, moment?.clock ?? this.#clock, read);
    } catch (error) {
      if (!(error instanceof WouldWait) || whenBlocked === undefined) throw error;
      whenBlocked(error.needed, view, sequence, moment?.clock ?? this.#clock);
      return undefined;
    } finally {
      disk.mayWait = true;
      if (moment === undefined) this.#views.endRead();
    }
  }
}
