/**
 * The memtables of an open store: one active, and the frozen ones waiting to be flushed, oldest first.
 *
 *   freezeActive    active -> last of `frozen`; there is no active one until the next write activates it
 *   removeOldest    the oldest frozen one leaves, once the edit that adds its table is installed
 *   dropFrom        those leave of which nothing came into a log: their writes were refused
 *
 * Scans hold the memtables that they read, views those that clients may read (view-publisher.ts). One that has left the list and
 * is held by nobody gives its memory back (arena-pool.ts). Reads that end within their call need not hold what they read.
 *
 * Invariants: every acknowledged write is in the active memtable, a frozen one, or a table of the current version, at every
 *             moment. `frozen` is replaced, never changed, so a read view may keep it.
 *             A memtable's memory is given back once, when nothing can read it any more: not the list, so no flush and no log
 *             write, and no holder.
 * Thread:     main.     Owns: the memtables and their log writers.
 */
import { assert } from '../../shared/base/assert.ts';
import { compareKeys, copyBytes } from '../../shared/base/bytes.ts';
import type { Entry } from '../../shared/base/entry.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import type { InternalIterator } from '../../shared/base/iterator.ts';
import { START_RECORD_BYTES } from '../../shared/log/log-format.ts';
import { capacityFor, MemtableArena } from '../../shared/memtable/arena.ts';
import { Memtable } from '../../shared/memtable/memtable.ts';
import { MemtableIterator } from '../../shared/memtable/memtable-iterator.ts';
import { newestFirst } from '../../shared/read/readable-memtables.ts';
import type { InclusiveRange } from '../../shared/read/version.ts';
import type { LogWriter } from './log-writer.ts';

/** A log that holds a memtable's writes, with the length that counts. */
export interface LogExtent {
  readonly number: FileNumber;
  readonly sizeBytes: number;
  /** Of its first entry, or of the next one to come. */
  readonly firstSequence: number;
  readonly startedAtMs: number;
  /** It says where each write begins and ends: releases that drew no ids left that open. */
  readonly hasBorders: boolean;
}

/** A memtable and what it came from: the log being written beside it, or the logs it was recovered from. */
export class LiveMemtable {
  readonly memtable: Memtable;
  /** undefined for a recovered memtable. */
  readonly writer: LogWriter | undefined;
  readonly #recovered: readonly LogExtent[];
  /** Groups encoded here whose log write has not completed. A flush must wait for them. */
  pendingGroups = 0;
  /** Of the log beside it. */
  startedAtMs = 0;
  /** The time that was last noted in its log: what follows was not written before it. */
  notedMs = 0;
  /** Open scans that read it. */
  scanHolds = 0;
  /** Views that clients may read it by. */
  viewHolds = 0;
  /** Why it was frozen: it had no room for the next write. false: somebody asked. */
  isFull = false;
  #isFrozen = false;

  constructor(memtable: Memtable, writer: LogWriter | undefined, recovered: readonly LogExtent[] = []) {
    this.memtable = memtable;
    this.writer = writer;
    this.#recovered = recovered;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  /** Frozen, and all of it is in its log: what it holds is final. */
  get isSettled(): boolean {
    return this.#isFrozen && this.pendingGroups === 0;
  }

  iterator(maxSequence: number): InternalIterator {
    return new MemtableIterator(this.memtable, maxSequence);
  }

  get isEmpty(): boolean {
    return this.memtable.arena.entryCount === 0;
  }

  /** Of its keys and of what its ranges delete, both inclusive, perhaps a little wider; undefined when it has none. */
  keyRange(): InclusiveRange | undefined {
    const iterator = this.iterator(Number.MAX_SAFE_INTEGER);
    let hull: InclusiveRange | undefined;
    if (iterator.seekToFirst()) {
      const start = keyOf(iterator.entry);
      iterator.seekToLast();
      hull = { start, end: keyOf(iterator.entry) };
    }
    const deleted = this.memtable.ranges?.hull();
    return hull === undefined || deleted === undefined ? (hull ?? deleted) : unionOf(hull, deleted);
  }

  /** Its range deletes without an end. */
  endlessDeletes(): { readonly start: Uint8Array; readonly sequence: number }[] {
    const deletes = this.memtable.ranges?.list(Number.MAX_SAFE_INTEGER) ?? [];
    return deletes.filter(({ end }) => end === undefined);
  }

  /** The logs behind this memtable, ascending. For the active one, with the length encoded so far. */
  logs(): readonly LogExtent[] {
    if (this.writer === undefined) return this.#recovered;
    const { arena } = this.memtable;
    return [this.#written(this.writer.number, arena.dataEnd - arena.dataStart)];
  }

  /** The same, with the length that is in the files: less, while writes are under way or have failed. */
  writtenLogs(): readonly LogExtent[] {
    if (this.writer === undefined) return this.#recovered;
    const { number, writtenUpTo } = this.writer;
    return writtenUpTo === 0 ? [] : [this.#written(number, writtenUpTo)];
  }

  #written(number: FileNumber, sizeBytes: number): LogExtent {
    const { firstSequence } = this.memtable.arena;
    return { number, sizeBytes, firstSequence, startedAtMs: this.startedAtMs, hasBorders: true };
  }
}

function unionOf(a: InclusiveRange, b: InclusiveRange): InclusiveRange {
  const { start: aStart, end: aEnd } = a;
  const { start: bStart, end: bEnd } = b;
  return {
    start: aStart === undefined || bStart === undefined || compareKeys(aStart, bStart) <= 0 ? aStart : bStart,
    end: aEnd === undefined || (bEnd !== undefined && compareKeys(aEnd, bEnd) >= 0) ? aEnd : bEnd,
  };
}

function keyOf({ keyBytes, keyStart, keyEnd }: Entry): Uint8Array {
  return copyBytes(keyBytes, keyStart, keyEnd);
}

/** Who keeps memory of memtables, now. What several keep counts for the first of them. */
export interface MemtableMemory {
  /** Active, or waiting for their flush. */
  readonly memtables: number;
  readonly scans: number;
  readonly clients: number;
}

/** Frozen memtables that may wait for their flush before writers are held. */
export const MAX_FROZEN_MEMTABLES = 2;

/** Who hears of changes, within the call that makes them: clients in other threads must hear of them first. */
export interface MemtableHost {
  /** It takes writes from now on. */
  activated(live: LiveMemtable): void;
  /** It has left the list: what it holds is in a table. */
  removed(live: LiveMemtable): void;
  /** Nobody can read it any more. */
  unused(live: LiveMemtable): void;
}

const NOBODY: MemtableHost = {
  activated: () => undefined,
  removed: () => undefined,
  unused: () => undefined,
};

export class MemtableList {
  #active: LiveMemtable | undefined;
  #frozen: readonly LiveMemtable[];
  /** Those that have left, and are held. */
  readonly #held = new Set<LiveMemtable>();
  readonly #host: MemtableHost;

  constructor(recovered: readonly LiveMemtable[], host: Partial<MemtableHost> = {}) {
    for (const live of recovered) live.freeze();
    this.#frozen = recovered;
    this.#host = { ...NOBODY, ...host };
  }

  /** undefined until the first write after opening or after a flush of everything. */
  get active(): LiveMemtable | undefined {
    return this.#active;
  }

  /** Oldest first. */
  get frozen(): readonly LiveMemtable[] {
    return this.#frozen;
  }

  /** No more may be frozen: when the active one has no room, writes wait for a flush. */
  get isFull(): boolean {
    return this.#frozen.length >= MAX_FROZEN_MEMTABLES;
  }

  get memoryBytes(): number {
    let total = this.#active?.memtable.arena.usedBytes ?? 0;
    for (const live of this.#frozen) total += live.memtable.arena.usedBytes;
    return total;
  }

  /** Memory that was asked of the system, whether it is filled or not. */
  memory(): MemtableMemory {
    const { frozen } = this;
    const listed = this.#active === undefined ? frozen : [...frozen, this.#active];
    const held = [...this.#held];
    return {
      memtables: capacity(listed),
      scans: capacity(held.filter((live) => live.scanHolds > 0)),
      clients: capacity(held.filter((live) => live.scanHolds === 0)),
    };
  }

  /** The memtables of this moment, newest first, for a scan that gives them back by {@link releaseFromScan}. */
  holdForScan(): readonly LiveMemtable[] {
    const memtables = newestFirst<LiveMemtable>(this);
    for (let i = 0; i < memtables.length; i++) memtables[i]!.scanHolds++;
    return memtables;
  }

  releaseFromScan(memtables: readonly LiveMemtable[]): void {
    for (let i = 0; i < memtables.length; i++) {
      const live = memtables[i]!;
      if (--live.scanHolds === 0 && this.#held.size > 0) this.#releaseUnheld(live);
    }
  }

  /** For a view that gives them back by {@link releaseFromView}. */
  holdForView(memtables: readonly LiveMemtable[]): void {
    for (const live of memtables) live.viewHolds++;
  }

  releaseFromView(memtables: readonly LiveMemtable[]): void {
    for (const live of memtables) {
      live.viewHolds--;
      this.#releaseUnheld(live);
    }
  }

  /** The store is closed: nothing reads or writes any of them. */
  close(): void {
    const all = new Set([...this.#held, ...this.#frozen]);
    if (this.#active !== undefined) all.add(this.#active);
    this.#held.clear();
    this.#frozen = [];
    this.#active = undefined;
    for (const live of all) this.#host.unused(live);
  }

  /** It has left the list. */
  #leave(live: LiveMemtable): void {
    this.#held.add(live);
    this.#host.removed(live);
    this.#releaseUnheld(live);
  }

  #releaseUnheld(live: LiveMemtable): void {
    if (live.scanHolds > 0 || live.viewHolds > 0 || !this.#held.delete(live)) return;
    this.#host.unused(live);
  }

  /** The newest memtable: the next log's start record names its last log. */
  get newest(): LiveMemtable | undefined {
    return this.#active ?? this.#frozen.at(-1);
  }

  /** The oldest log still needed once `flushed` has become a table; undefined: none. */
  oldestLogAfter(flushed: LiveMemtable): FileNumber | undefined {
    const remaining = this.#frozen.filter((live) => live !== flushed);
    const oldest = remaining[0] ?? (this.#active === flushed ? undefined : this.#active);
    return oldest?.logs()[0]?.number;
  }

  /** All logs in use, ascending. */
  logs(): LogExtent[] {
    const all = this.#frozen.flatMap((live) => live.logs());
    if (this.#active !== undefined && !this.#active.isEmpty) all.push(...this.#active.logs());
    return all;
  }

  /** All logs in use, ascending, as far as they are written. */
  writtenLogs(): LogExtent[] {
    const all = this.#active === undefined ? this.#frozen : [...this.#frozen, this.#active];
    return all.flatMap((live) => live.writtenLogs());
  }

  activate(live: LiveMemtable): void {
    assert(this.#active === undefined, 'there is an active memtable already');
    this.#active = live;
    this.#host.activated(live);
  }

  /** Freezes the active memtable. */
  freezeActive(): void {
    const active = this.#active;
    assert(active !== undefined, 'there is no active memtable to freeze');
    active.freeze();
    this.#frozen = [...this.#frozen, active];
    this.#active = undefined;
  }

  /** The oldest frozen memtable has become a table. */
  removeOldest(live: LiveMemtable): void {
    assert(this.#frozen[0] === live, 'memtables are flushed oldest first');
    this.#frozen = this.#frozen.slice(1);
    this.#leave(live);
  }

  /**
   * `first` and all that are newer leave, and their sequences are free again: none of their writes was published. Returns
   * them, newest first.
   */
  dropFrom(first: LiveMemtable): readonly LiveMemtable[] {
    const all = this.#active === undefined ? this.#frozen : [...this.#frozen, this.#active];
    const place = all.indexOf(first);
    assert(place >= 0, 'the memtable to be dropped is not there');
    const dropped = all.slice(place).reverse();
    this.#frozen = all.slice(0, place);
    this.#active = undefined;
    for (const live of dropped) this.#leave(live);
    return dropped;
  }
}

function capacity(memtables: readonly LiveMemtable[]): number {
  return memtables.reduce((sum, { memtable }) => sum + memtable.arena.capacityBytes, 0);
}

/** A new memtable for a log whose start record it reserves; `minimumBytes` of data and index are sure to fit. */
export function createMemtable(
  writeBufferBytes: number,
  minimumBytes: number,
  firstSequence: number,
  allocate: (capacityBytes: number, firstSequence: number) => MemtableArena = MemtableArena.create,
): Memtable {
  const overhead = 4096;
  const capacity = Math.max(writeBufferBytes, capacityFor(minimumBytes + overhead));
  const memtable = new Memtable(allocate(capacity, firstSequence));
  memtable.arena.reserve(START_RECORD_BYTES);
  return memtable;
}
