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

import { Entry, EntryKind } from '../shared/base/entry.ts';
import type { StorageError } from '../shared/base/errors.ts';
import { invalidArgument } from '../shared/base/errors.ts';
import type { SequenceNumber } from '../shared/base/ids.ts';
import { type Bytes, lookupKeyBytes, ownedKeyBytes } from '../shared/base/input-bytes.ts';
import type { Disk } from '../shared/disk/disk.ts';
import { WouldWait } from '../shared/disk/would-wait.ts';
import { AwaitedReads, type PinnedTables } from '../shared/read/awaited-reads.ts';
import { lookupMemtables, lookupTables } from '../shared/read/lookup.ts';
import { type ManyJob, ManyLookup, manyJob } from '../shared/read/many-lookup.ts';
import { type ResolvedRead, resolveRead, takeValue } from '../shared/read/read-options.ts';
import { ReadTurns } from '../shared/read/read-turns.ts';
import type { TableCache } from '../shared/read/table-cache.ts';
import type { BlockCache } from '../shared/table/block-cache.ts';
import type { ReadPressure } from './compaction/read-pressure.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { ReadOptions } from './store/read-options.ts';
import type { SnapshotList } from './store/snapshot.ts';
import { Snapshot } from './store/snapshot.ts';
import type { ArenaPool } from './write/arena-pool.ts';
import type { MemtableList } from './write/memtable-list.ts';

const FOUND = Buffer.alloc(0);

type Options = ResolvedRead<Snapshot> | undefined;
type Found = Buffer | undefined;
/** Of a moment that is known. */
type ReadAt = Omit<ResolvedRead<never>, 'snapshot'>;

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
    return this.#look(lookupKeyBytes(key), this.sequenceOf(read?.snapshot), read, true);
  }

  hasSync(key: Bytes, options: ReadOptions | undefined): boolean {
    const read = this.#resolve(options);
    return this.#look(lookupKeyBytes(key), this.sequenceOf(read?.snapshot), read, false) !== undefined;
  }

  /** The last value of `key` that has entered, published or not. */
  newest(key: Uint8Array): Buffer | undefined {
    return this.#look(key, Number.MAX_SAFE_INTEGER, undefined, true);
  }

  /** The value; with `copies` false, anything but undefined where there is one. */
  async look(key: Bytes, options: ReadOptions | undefined, copies: boolean): Promise<Buffer | undefined> {
    const read = this.#resolve(options);
    const sequence = this.sequenceOf(read?.snapshot);
    return this.getAt(sequence, lookupKeyBytes(key), read, copies);
  }

  /** As {@link look}, of the moment at which `sequence` was visible, which is kept. */
  getAt(
    sequence: number,
    key: Uint8Array,
    read: ReadAt | undefined,
    copies: boolean,
  ): Found | Promise<Found> {
    const { disk } = this.#parts;
    let found: Buffer | undefined;
    disk.mayWait = false;
    try {
      found = this.#look(key, sequence, read, copies);
    } catch (error) {
      if (!(error instanceof WouldWait)) throw error;
      disk.mayWait = true;
      return this.awaited.lookup(error.needed, ownedKeyBytes(key), this.#pinTables(sequence), read, copies);
    } finally {
      disk.mayWait = true;
    }
    return this.turns.after(1, found);
  }

  /** The same, waiting for the disk. */
  getSyncAt(
    sequence: number,
    key: Uint8Array,
    read: ReadAt | undefined,
    copies: boolean,
  ): Buffer | undefined {
    return this.#look(key, sequence, read, copies);
  }

  async getMany(keys: readonly Bytes[], options: ReadOptions | undefined): Promise<(Buffer | undefined)[]> {
    this.#checkReadable();
    if (!Array.isArray(keys)) throw invalidArgument('getMany takes an array of keys');
    const read = this.#resolve(options);
    return await this.#lookMany(manyJob(keys, read), this.sequenceOf(read?.snapshot), read);
  }

  getManyAt(
    sequence: number,
    keys: readonly Uint8Array[],
    read: ReadAt | undefined,
  ): Promise<(Buffer | undefined)[]> {
    return this.#lookMany(manyJob(keys, read), sequence, read);
  }

  async #lookMany(job: ManyJob, sequence: number, read: ReadAt | undefined): Promise<(Buffer | undefined)[]> {
    const { memtables, versions, tables, readPressure } = this.#parts;
    const version = versions.current;
    this.awaited.manyNow(job, { memtables, version, tables }, sequence, read);
    readPressure.noteLookups(version, job.tableLookups);
    if (job.next === job.keys.length && job.blocked.length === 0)
      return this.turns.after(job.keys.length, job.values);
    const { held, ...pin } = this.#pinMoment(sequence);
    return await this.awaited.manyLater(job, { memtables: held, version: pin.version, tables }, pin, read);
  }

  /** Rejects what waits for the disk. */
  close(reason: StorageError): void {
    this.awaited.pending.closeAll(reason);
  }

  sequenceOf(snapshot: Snapshot | undefined): SequenceNumber {
    const { visibleSequence, snapshots } = this.#parts;
    return snapshot === undefined ? visibleSequence() : Snapshot.sequenceOf(snapshot, snapshots);
  }

  #resolve(options: ReadOptions | undefined): Options {
    this.#checkReadable();
    if (options === undefined) return undefined;
    const read = resolveRead(options);
    // Reading them may have run code of the application, which may have closed the store.
    this.#checkReadable();
    return read;
  }

  #look(key: Uint8Array, sequence: number, read: ReadAt | undefined, copies: boolean): Buffer | undefined {
    const isFound =
      read?.fillCache === false
        ? this.#parts.blocks.bypassed(() => this.#find(key, sequence))
        : this.#find(key, sequence);
    if (!isFound) return undefined;
    return copies ? takeValue(this.#entry, read) : FOUND;
  }

  /** Leaves the visible version of `key` in #entry; false when there is none or it is a tombstone. */
  #find(key: Uint8Array, sequence: number): boolean {
    const { memtables, versions, tables, readPressure } = this.#parts;
    const entry = this.#entry;
    if (!lookupMemtables(memtables, key, sequence, entry)) {
      const version = versions.current;
      readPressure.noteLookups(version, 1);
      if (!lookupTables(version, tables, key, sequence, entry)) return false;
    }
    return entry.kind === EntryKind.Put;
  }

  #pinTables(sequence: number): PinnedTables {
    const pin = this.#parts.versions.pin();
    return { version: pin.version, sequence, release: () => pin.release() };
  }

  #pinMoment(sequence: number): PinnedTables & {
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
