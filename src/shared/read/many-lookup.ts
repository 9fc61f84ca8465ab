/**
 * Many keys looked up at once, all of one moment.
 *
 * A lookup spends most of its time waiting for memory: for the index of a block, then for the entry, then for the value, one
 * after the other. Many lookups can wait at the same time, so each step is made for all keys before the next one:
 *
 *   1 locate    memtables; for a key that none of them has the first table that may have it, and the block there
 *   2 touch     what these blocks begin with: of cached ones the index, of others the bytes on disk
 *   3 position  cached blocks: where the entry is; then touch that
 *   4 take      cached blocks: the value
 *   5 load      the other blocks, each looked into as it is loaded; and cached ones that have to be walked
 *   6 retry     keys that were not there (a filter's false positive, versions that go on in the next block): all over, the
 *               ordinary way
 *
 * Where tables delete ranges of keys, all is done the ordinary way, step 6.
 *
 * A key that can't be answered without waiting for the disk (would-wait.ts) is left, and looked up by itself: lookupOne.
 *
 * Measured: 100 keys at random, of which the cache has 60 % of the blocks, take 1.0 us each instead of 1.4.
 *
 * Invariants: the same answers as lookup (lookup.ts), key by key.
 * Thread:     any; within one synchronous call.
 * Not chosen: sorting the keys, so that neighbours share a block: among 100 of a million there are none.
 */

import { Entry, EntryKind } from '../base/entry.ts';
import { expiryOf, settle } from '../base/expiry.ts';
import { type Bytes, lookupKeyBytes, ownedKeyBytes } from '../base/input-bytes.ts';
import { WouldWait } from '../disk/would-wait.ts';
import { hashKey } from '../table/bloom-filter.ts';
import type { TableReader } from '../table/table-reader.ts';
import type { Clock } from '../threads/shared-clock.ts';
import { lookupMemtables, lookupTables, TableSearch } from './lookup.ts';
import { takeValue } from './read-options.ts';
import type { ReadableMemtables } from './readable-memtables.ts';
import type { TableCache } from './table-cache.ts';
import type { Version } from './version.ts';

/** Keys under way at once: few enough that what they touch stays in the nearest caches until it is used. */
const CHUNK_KEYS = 128;

/** What is left to do for a key. */
const DONE = 0;
const CACHED = 1;
const ON_DISK = 2;
const RETRY = 3;

const NO_KEYS: readonly Uint8Array[] = [];
const ZERO_COPY = { zeroCopy: true };

/** What is read, of one moment. */
export interface ManySources {
  readonly memtables: ReadableMemtables;
  readonly version: Version;
  readonly tables: TableCache;
  /** The time by which entries expire: timeOfRead() of found-entry.ts. */
  readonly nowMs: number;
}

/** What one call asks for, and how far it has come. */
export interface ManyJob {
  readonly keys: Uint8Array[];
  /** Each in its key's place. */
  readonly values: (Buffer | undefined)[];
  readonly zeroCopy: { readonly zeroCopy: boolean } | undefined;
  /** Keys before this one were looked up. */
  next: number;
  /** Of those, the ones whose lookup would have had to wait for the disk. */
  readonly blocked: number[];
  /** How many keys no memtable had. */
  tableLookups: number;
  /** Of the values that expire, one after the other: the place, and the moment. */
  readonly expiring: number[];
}

/** The values, without what has expired by now: however long they took, none is handed out after its moment. */
export function valuesNow({ values, expiring }: ManyJob, clock: Clock): (Buffer | undefined)[] {
  if (expiring.length === 0) return values;
  const nowMs = clock.now();
  for (let i = 0; i < expiring.length; i += 2)
    if (expiring[i + 1]! <= nowMs) values[expiring[i]!] = undefined;
  return values;
}

/** Reads all that it needs of `keys`, which are the caller's: see {@link keepKeys}. Throws what a wrong key throws. */
export function manyJob(
  keys: readonly Bytes[],
  options: { readonly zeroCopy: boolean } | undefined,
): ManyJob {
  const ownKeys: Uint8Array[] = [];
  const values: (Buffer | undefined)[] = [];
  // Not map(), which passes over the holes of a sparse array.
  for (let i = 0; i < keys.length; i++) {
    ownKeys.push(keptKeyBytes(keys[i]!));
    values.push(undefined);
  }
  const zeroCopy = options?.zeroCopy === true ? ZERO_COPY : undefined;
  return { keys: ownKeys, values, zeroCopy, next: 0, blocked: [], tableLookups: 0, expiring: [] };
}

/** Makes copies of the keys that are not looked up within the call: from then on the caller's may change. */
export function keepKeys({ keys, next, blocked }: ManyJob): void {
  for (const index of blocked) keys[index] = ownedKeyBytes(keys[index]!);
  for (let index = next; index < keys.length; index++) keys[index] = ownedKeyBytes(keys[index]!);
}

export class ManyLookup {
  /** What it has found last, which may lie in a memtable. */
  readonly scratch: Entry = new Entry();
  readonly #search = new TableSearch();
  /** All of the call; what is under way are those from #base on. */
  #keys: readonly Uint8Array[] = [];
  #job: ManyJob | undefined;
  readonly #readers: (TableReader | undefined)[] = new Array(CHUNK_KEYS).fill(undefined);
  readonly #blocks = new Int32Array(CHUNK_KEYS);
  readonly #positions = new Int32Array(CHUNK_KEYS);
  readonly #states = new Uint8Array(CHUNK_KEYS);
  #base = 0;

  /** Looks up the next keys of `job` at `sequence`, as many as are looked up together. Throws what a bad block throws. */
  runChunk(job: ManyJob, sources: ManySources, sequence: number): void {
    const length = Math.min(CHUNK_KEYS, job.keys.length - job.next);
    this.#job = job;
    this.#keys = job.keys;
    this.#base = job.next;
    try {
      this.#runChunk(sources, sequence, length, (i) => this.#take(job, this.#base + i, sources.nowMs));
      job.next += length;
    } finally {
      // Neither keys nor tables are kept alive.
      this.#job = undefined;
      this.#keys = NO_KEYS;
      this.#readers.fill(undefined);
    }
  }

  /** Looks up a key that was blocked, in the tables. */
  lookupOne(job: ManyJob, index: number, sources: ManySources, sequence: number): void {
    if (lookupTables(sources.version, sources.tables, job.keys[index]!, sequence, this.scratch))
      this.#take(job, index, sources.nowMs);
  }

  #take(job: ManyJob, index: number, nowMs: number): void {
    if (this.scratch.kind === EntryKind.ExpiringPut) {
      job.expiring.push(index, expiryOf(this.scratch));
      settle(this.scratch, nowMs);
    }
    if (this.scratch.kind === EntryKind.Put) job.values[index] = takeValue(this.scratch, job.zeroCopy);
  }

  #runChunk(sources: ManySources, sequence: number, length: number, take: (i: number) => void): void {
    this.#locate(sources, sequence, length, take);
    for (let i = 0; i < length; i++)
      if (this.#states[i] === CACHED || this.#states[i] === ON_DISK)
        this.#readers[i]!.touch(this.#blocks[i]!);
    this.#takeCached(sequence, length, take);
    for (let i = 0; i < length; i++) if (this.#states[i] === ON_DISK) this.#load(i, sequence, take);
    for (let i = 0; i < length; i++) if (this.#states[i] === RETRY) this.#retry(i, sources, sequence, take);
  }

  #retry(i: number, { version, tables }: ManySources, sequence: number, take: (i: number) => void): void {
    try {
      if (lookupTables(version, tables, this.#keys[this.#base + i]!, sequence, this.scratch)) take(i);
    } catch (error) {
      this.#block(i, error);
    }
  }

  /** What would have had to wait is for later. */
  #block(i: number, error: unknown): void {
    if (!(error instanceof WouldWait)) throw error;
    this.#states[i] = DONE;
    this.#job!.blocked.push(this.#base + i);
  }

  #locate(sources: ManySources, sequence: number, length: number, take: (i: number) => void): void {
    const { memtables, version, tables } = sources;
    const search = this.#search;
    const { evictions } = tables;
    for (let i = 0; i < length; i++) {
      const key = this.#keys[this.#base + i]!;
      this.#states[i] = DONE;
      if (lookupMemtables(memtables, key, sequence, this.scratch)) {
        take(i);
        continue;
      }
      this.#job!.tableLookups++;
      if (version.rangeTables > 0) {
        this.#states[i] = RETRY;
        continue;
      }
      try {
        if (!search.locate(version, tables, key, hashKey(key, 0, key.length))) continue;
      } catch (error) {
        this.#block(i, error);
        continue;
      }
      this.#readers[i] = search.reader;
      this.#blocks[i] = search.block;
      this.#states[i] = search.reader!.hasCached(search.block) ? CACHED : ON_DISK;
    }
    // Readers that had to make room for others are closed.
    if (tables.evictions !== evictions)
      for (let i = 0; i < length; i++) if (this.#states[i] !== DONE) this.#states[i] = RETRY;
  }

  /** Nothing comes into the cache meanwhile, so that positions stay good. */
  #takeCached(sequence: number, length: number, take: (i: number) => void): void {
    for (let i = 0; i < length; i++)
      if (this.#states[i] === CACHED)
        this.#positions[i] = this.#readers[i]!.positionInCached(
          this.#blocks[i]!,
          this.#keys[this.#base + i]!,
        );
    for (let i = 0; i < length; i++)
      if (this.#states[i] === CACHED) this.#readers[i]!.touchCached(this.#blocks[i]!, this.#positions[i]!);
    for (let i = 0; i < length; i++) {
      if (this.#states[i] !== CACHED) continue;
      const isHere = this.#readers[i]!.readCached(
        this.#blocks[i]!,
        this.#positions[i]!,
        this.#keys[this.#base + i]!,
        sequence,
        this.scratch,
      );
      if (isHere) take(i);
      this.#states[i] = isHere === undefined ? ON_DISK : isHere ? DONE : RETRY;
    }
  }

  #load(i: number, sequence: number, take: (i: number) => void): void {
    let isHere: boolean;
    try {
      const key = this.#keys[this.#base + i]!;
      isHere = this.#readers[i]!.lookupFrom(this.#blocks[i]!, key, sequence, this.scratch);
    } catch (error) {
      this.#block(i, error);
      return;
    }
    if (isHere) take(i);
    this.#states[i] = isHere ? DONE : RETRY;
  }
}

/** A key's bytes, for as long as the caller's key; a string's bytes are copied, as the next string comes to the same place. */
function keptKeyBytes(key: Bytes): Uint8Array {
  return typeof key === 'string' ? ownedKeyBytes(key) : lookupKeyBytes(key);
}
