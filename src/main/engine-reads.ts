/**
 * The engine's point reads: get, has, getMany, and the forms without a promise.
 *
 *   getSync, hasSync     memtables, then tables (lookup.ts), waiting for the disk where that is where the answer is
 *   get, has             the same without waiting in the call; what memory has not is fetched (awaited-reads.ts)
 *   getMany              many-lookup.ts, likewise
 *
 * Invariants: options and keys are read before anything else, as that may run code of the application. A read is of the moment of
 *             its call: what it goes on with later is pinned in the call.
 * Thread:     main.     Owns: the reads that wait.
 */

import { readU64 } from '../shared/base/bytes.ts';
import { Entry } from '../shared/base/entry.ts';
import type { StorageError } from '../shared/base/errors.ts';
import { invalidArgument } from '../shared/base/errors.ts';
import type { SequenceNumber } from '../shared/base/ids.ts';
import { type Bytes, lookupKeyBytes, ownedKeyBytes } from '../shared/base/input-bytes.ts';
import type { Disk } from '../shared/disk/disk.ts';
import { WouldWait } from '../shared/disk/would-wait.ts';
import { AwaitedReads, type PinnedTables } from '../shared/read/awaited-reads.ts';
import { answerOf, timeOfRead, type Wanted } from '../shared/read/found-entry.ts';
import { lookupMemtables, lookupTables } from '../shared/read/lookup.ts';
import { type ManyJob, ManyLookup, manyJob, valuesNow } from '../shared/read/many-lookup.ts';
import { type ResolvedRead, resolveRead } from '../shared/read/read-options.ts';
import { ReadTurns } from '../shared/read/read-turns.ts';
import { newestFirst } from '../shared/read/readable-memtables.ts';
import type { TableCache } from '../shared/read/table-cache.ts';
import type { BlockCache } from '../shared/table/block-cache.ts';
import type { Clock, SharedClock } from '../shared/threads/shared-clock.ts';
import type { ReadPressure } from './compaction/read-pressure.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { ReadOptions } from './store/read-options.ts';
import type { SnapshotList } from './store/snapshot.ts';
import { Snapshot } from './store/snapshot.ts';
import type { ArenaPool } from './write/arena-pool.ts';
import type { MemtableList } from './write/memtable-list.ts';

type Options = ResolvedRead<Snapshot> | undefined;
type Found = Buffer | undefined;
/** Of a moment that is known. */
type ReadAt = Omit<ResolvedRead<never>, 'snapshot'> | undefined;

/** What point reads need of a store. */
export interface ReadParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
  readonly tables: TableCache;
  readonly blocks: BlockCache;
  readonly disk: Disk;
  readonly snapshots: SnapshotList;
  readonly arenas: ArenaPool;
  readonly readPressure: ReadPressure;
  readonly clock: SharedClock;
  visibleSequence(): SequenceNumber;
}

export class EngineReads {
  readonly turns: ReadTurns = new ReadTurns();
  readonly #parts: ReadParts;
  readonly #checkReadable: () => void;
  readonly #entry = new Entry();
  readonly #many = new ManyLookup();
  /** For scans as well, which wait in the same way. */
  readonly awaited: AwaitedReads;

  constructor(parts: ReadParts, checkReadable: () => void) {
    this.#parts = parts;
    this.#checkReadable = checkReadable;
    const { disk, tables, blocks } = parts;
    const waiting = { disk, tables, blocks, turns: this.turns, many: this.#many, entry: this.#entry };
    this.awaited = new AwaitedReads(waiting);
    for (const entry of [this.#entry, this.#many.scratch]) parts.arenas.addScratch(entry);
  }

  getSync(key: Bytes, options: ReadOptions | undefined): Buffer | undefined {
    const read = this.#resolve(options);
    return this.#look(lookupKeyBytes(key), read, 'value');
  }

  hasSync(key: Bytes, options: ReadOptions | undefined): boolean {
    const read = this.#resolve(options);
    return this.#look(lookupKeyBytes(key), read, 'presence') !== undefined;
  }

  /** When the value of a key expires. */
  async expiresAt(key: Bytes): Promise<number | undefined> {
    const moment = await this.look(key, undefined, 'expiry');
    return moment === undefined ? undefined : readU64(moment, 0);
  }

  /** The answer as {@link answerOf} gives it. */
  async look(key: Bytes, options: ReadOptions | undefined, wanted: Wanted): Promise<Buffer | undefined> {
    return this.lookNow(key, options, wanted);
  }

  /** As {@link look}, without a promise where memory has the answer. */
  lookNow(key: Bytes, options: ReadOptions | undefined, wanted: Wanted): Found | Promise<Found> {
    const read = this.#resolve(options);
    const sequence = this.sequenceOf(read?.snapshot);
    return this.getAt(sequence, this.clockOf(read?.snapshot), lookupKeyBytes(key), read, wanted);
  }

  /** As {@link look}, of a moment that is kept. */
  getAt(
    sequence: number,
    clock: Clock,
    key: Uint8Array,
    read: ReadAt,
    wanted: Wanted,
  ): Found | Promise<Found> {
    const { disk } = this.#parts;
    let found: Buffer | undefined;
    disk.mayWait = false;
    try {
      found = this.getSyncAt(sequence, clock, key, read, wanted);
    } catch (error) {
      if (!(error instanceof WouldWait)) throw error;
      disk.mayWait = true;
      const pin = { ...this.#pinTables(sequence), clock };
      return this.awaited.lookup(error.needed, ownedKeyBytes(key), pin, read, wanted);
    } finally {
      disk.mayWait = true;
    }
    return this.turns.after(1, found);
  }

  /** The same, waiting for the disk. */
  getSyncAt(sequence: number, clock: Clock, key: Uint8Array, read: ReadAt, wanted: Wanted): Found {
    const isFound =
      read?.fillCache === false
        ? this.#parts.blocks.bypassed(() => this.#find(key, sequence))
        : this.#find(key, sequence);
    return isFound ? answerOf(this.#entry, wanted, clock, read) : undefined;
  }

  async getMany(keys: readonly Bytes[], options: ReadOptions | undefined): Promise<(Buffer | undefined)[]> {
    this.#checkReadable();
    if (!Array.isArray(keys)) throw invalidArgument('getMany takes an array of keys');
    const read = this.#resolve(options);
    const job = manyJob(keys, read);
    return await this.#lookMany(this.sequenceOf(read?.snapshot), this.clockOf(read?.snapshot), job, read);
  }

  getManyAt(sequence: number, clock: Clock, keys: readonly Uint8Array[], read: ReadAt): Promise<Found[]> {
    return this.#lookMany(sequence, clock, manyJob(keys, read), read);
  }

  async #lookMany(sequence: number, clock: Clock, job: ManyJob, read: ReadAt): Promise<Found[]> {
    const { memtables, versions, tables, readPressure } = this.#parts;
    const version = versions.current;
    const nowMs = timeOfRead(newestFirst(memtables), version, clock);
    this.awaited.manyNow(job, { memtables, version, tables, nowMs }, sequence, read);
    readPressure.noteLookups(version, job.tableLookups);
    if (job.next === job.keys.length && job.blocked.length === 0)
      return this.turns.after(job.keys.length, valuesNow(job, clock));
    const { held, ...pin } = this.#pinMoment(sequence);
    const sources = { memtables: held, version: pin.version, tables, nowMs };
    await this.awaited.manyLater(job, sources, pin, read);
    return valuesNow(job, clock);
  }

  /** The last value of `key` that has entered, published or not. */
  newest(key: Uint8Array): Found {
    return this.getSyncAt(Number.MAX_SAFE_INTEGER, this.#parts.clock, key, undefined, 'value');
  }

  /** Rejects what waits for the disk. */
  close(reason: StorageError): void {
    this.awaited.pending.closeAll(reason);
  }

  sequenceOf(snapshot: Snapshot | undefined): SequenceNumber {
    const { visibleSequence, snapshots } = this.#parts;
    return snapshot === undefined ? visibleSequence() : Snapshot.sequenceOf(snapshot, snapshots);
  }

  /** By which what is read expires. */
  clockOf(snapshot: Snapshot | undefined): Clock {
    return snapshot === undefined ? this.#parts.clock : Snapshot.clockOf(snapshot);
  }

  #resolve(options: ReadOptions | undefined): Options {
    this.#checkReadable();
    if (options === undefined) return undefined;
    const read = resolveRead(options);
    // Reading them may have run code of the application, which may have closed the store.
    this.#checkReadable();
    return read;
  }

  #look(key: Uint8Array, read: Options, wanted: Wanted): Found {
    const sequence = this.sequenceOf(read?.snapshot);
    return this.getSyncAt(sequence, this.clockOf(read?.snapshot), key, read, wanted);
  }

  /** Leaves the visible version of `key` in #entry; false when there is none. */
  #find(key: Uint8Array, sequence: number): boolean {
    const { memtables, versions, tables, readPressure } = this.#parts;
    const entry = this.#entry;
    if (!lookupMemtables(memtables, key, sequence, entry)) {
      const version = versions.current;
      readPressure.noteLookups(version, 1);
      return lookupTables(version, tables, key, sequence, entry);
    }
    return true;
  }

  #pinTables(sequence: number): Omit<PinnedTables, 'clock'> {
    const pin = this.#parts.versions.pin();
    return { version: pin.version, sequence, release: () => pin.release() };
  }

  #pinMoment(sequence: number): Omit<PinnedTables, 'clock'> & {
    readonly held: {
      readonly active: undefined;
      readonly frozen: ReturnType<MemtableList['holdForScan']>;
    };
  } {
    const { memtables } = this.#parts;
    const tables = this.#pinTables(sequence);
    const held = memtables.holdForScan();
    return {
      ...tables,
      held: { active: undefined, frozen: held.toReversed() },
      release: () => {
        tables.release();
        memtables.releaseFromScan(held);
      },
    };
  }
}
