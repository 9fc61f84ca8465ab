/**
 * What a scan has read ahead: of each sorted run of tables (a level, a table of L0, the tables of one ingestion) a window of
 * blocks around where the scan stands, and the one after it.
 *
 *   run     [ ... passed ... ][ window: stands in it ][ next window, on its way ]
 *
 *   1. as long as memory has the blocks, nothing is read ahead: there are no windows
 *   2. a block that would have to be waited for (would-wait.ts) begins a window, and so do all runs that have none and will need
 *      one, together, tables to be opened included
 *   3. entering a run's last window starts the next one, twice as large, up to MAX_WINDOW_BYTES; at a table's end in the table
 *      behind it
 *   4. of a scan with a limit the first window has all that it is expected to read (scan-reach.ts), and no other follows; one
 *      that comes further goes on as from 2
 *   5. what the scan has passed is let go of, but for one block, which a seek for the first key behind it may have to look into
 *
 * Invariants: a window is one read. What is under way when the scan ends is dropped when it arrives.
 *             Reading ahead fails silently: whoever comes to the block has it read again, alone, and hears why it can't be.
 * Owns:       the windows, until close().
 * Thread:     the reader's.
 * Bound:      two windows per run (one that goes on in the next table counts as one), SCAN_BYTES per scan, and
 *             Disk.readAheadBytes for all scans of a reader: with more than that under way a window is one block.
 */

import type { KeyRange } from '../base/iterator.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { Disk } from '../disk/disk.ts';
import { type Fetched, type Needed, WouldWait } from '../disk/would-wait.ts';
import { firstTableReaching, lastTableStartingBefore } from '../merge/concat-iterator.ts';
import type { TableReader } from '../table/table-reader.ts';
import { expectedBytes, farBlock } from './scan-reach.ts';
import type { TableCache } from './table-cache.ts';
import { meets, runsOf, type TableRun } from './table-runs.ts';
import type { Version } from './version.ts';

/** The first window, of a scan that may end soon. */
const MIN_WINDOW_BYTES = 32 * 1024;
/** That of one with a bound to come to: most go on to it. */
const BOUNDED_WINDOW_BYTES = 128 * 1024;
/** About what a disk hands over in one go. */
const MAX_WINDOW_BYTES = 512 * 1024;
/** All windows of one scan. */
const SCAN_BYTES = 8 * 1024 * 1024;
/** All windows of one reader. */
export const READ_AHEAD_BYTES: number = 32 * 1024 * 1024;
const NOTHING: Promise<void> = Promise.resolve();

interface Window {
  /** The table's place in its run. */
  readonly place: number;
  /** Blocks of it; first > last while the table is still to be opened. */
  first: number;
  last: number;
  bytes: number;
  reader: TableReader | undefined;
  /** Everything that was fetched for it. */
  readonly fetched: Fetched[];
  ready: Promise<void>;
  hasFailed: boolean;
  /** Memory has what it was to read: it keeps the table open, and nothing else. */
  isIdle: boolean;
}

/** Where a table stands among those that a scan reads: run, and place in it. */
export interface ScanPlace {
  readonly order: number;
  readonly place: number;
}

/** The reading ahead in one run of tables. */
class RunReads {
  readonly #scan: ScanReads;
  readonly #order: number;
  readonly #metas: TableRun;
  #windows: Window[] = [];
  #nextBytes: number;
  /** What the scan is still expected to need, besides the windows; undefined: nothing of the run was read yet. */
  #expected: number | undefined;

  constructor(scan: ScanReads, order: number, metas: TableRun) {
    this.#scan = scan;
    this.#order = order;
    this.#metas = metas;
    this.#nextBytes = scan.firstWindowBytes;
  }

  /** The scan stands in block `index` of the table at `place`. */
  entered(place: number, index: number): void {
    const windows = this.#windows;
    if (windows.length === 0) return;
    const step = this.#scan.isReverse ? -1 : 1;
    // What lies behind, except the block before this one.
    while (windows.length > 0 && isPassed(windows[0]!, place, index, step)) this.#drop(windows.shift()!);
    const last = windows.at(-1);
    if (last === undefined) this.#nextBytes = this.#scan.firstWindowBytes;
    else if (contains(last, place, index)) this.#extend(last, step);
  }

  /** Begins where a scan from `key` on (before it, if in reverse; undefined: the end of the run) comes to first. */
  prime(key: Uint8Array | undefined): Promise<void> {
    const idle = this.#windows;
    if (idle.some((window) => !window.isIdle)) return NOTHING;
    const { isReverse, tables } = this.#scan;
    const metas = this.#metas;
    const end = isReverse ? metas.length - 1 : 0;
    const place = key === undefined ? end : isReverse ? lastBefore(metas, key) : firstReaching(metas, key);
    const meta = place < 0 ? undefined : metas.at(place);
    if (meta === undefined) return NOTHING;
    this.#windows = [];
    const window = this.#add(place);
    const ready = this.#open(window, meta, (reader) => {
      const found = key === undefined ? (isReverse ? reader.blockCount - 1 : 0) : reader.index.find(key);
      const index = Math.min(found, reader.blockCount - 1);
      return tables.isOpen(meta) ? this.#firstMissing(reader, meta, index) : index;
    });
    for (const one of idle) this.#drop(one);
    return ready;
  }

  /** The first block from `index` on that the scan is sure to come to and memory has not; undefined: memory has all of those. */
  #firstMissing(reader: TableReader, meta: TableInfo, index: number): number | undefined {
    const { isReverse } = this.#scan;
    const expected = this.#expected ?? this.#scan.expected(this.#order, meta);
    const far = this.#scan.farBlock(reader);
    const step = isReverse ? -1 : 1;
    let left = Number.isFinite(expected) ? Math.min(expected, MAX_WINDOW_BYTES) : 0;
    for (let block = index; ; block += step) {
      if (!reader.isHere(block)) return block;
      left -= reader.index.blockSize(block);
      if (left <= 0 || (far - block) * step <= 0) return undefined;
    }
  }

  close(): void {
    for (const window of this.#windows) this.#drop(window);
    this.#windows = [];
  }

  /** Has the window read that begins with block `index` of the table at `place`, which the scan can't do without. */
  begin(reader: TableReader, place: number, index: number): Fetched {
    const known = this.#windows.find((window) => contains(window, place, index) && !window.hasFailed);
    if (known !== undefined) {
      // Somebody waits for it now.
      const { release } = reader.fetch(index, index, true);
      return { ready: this.#orAlone(known, reader, index), release };
    }
    // The scan is somewhere else than was expected, or what was read ahead could not be had.
    this.close();
    if (this.#expected !== undefined) {
      this.#expected = Number.POSITIVE_INFINITY;
      this.#nextBytes = MIN_WINDOW_BYTES;
    }
    const window = this.#add(place);
    this.#fill(window, reader, index);
    return { ready: this.#orAlone(window, reader, index), release: () => undefined };
  }

  /** Block `index`, of a window that may not be read because of another block: then it is read alone, and so are those behind
   * it. */
  async #orAlone(window: Window, reader: TableReader, index: number): Promise<void> {
    try {
      await window.ready;
    } catch (error) {
      if (window.first === window.last || !this.#windows.includes(window)) throw error;
      const before = this.#windows;
      this.#windows = [];
      this.#nextBytes = 0;
      const alone = this.#add(window.place);
      this.#fill(alone, reader, index);
      // Only now: they keep the table open.
      for (const failed of before) this.#drop(failed);
      await alone.ready;
    }
  }

  /** Starts the window behind `last`, unless it is under way. */
  #extend(last: Window, step: 1 | -1, bytes = this.#nextBytes): void {
    const { reader } = last;
    if (reader === undefined || this.#expected! <= 0) return;
    const far = this.#scan.farBlock(reader);
    const index = step > 0 ? last.last + 1 : last.first - 1;
    if ((far - index) * step >= 0) {
      this.#fill(this.#add(last.place), reader, index, bytes);
      return;
    }
    const place = last.place + step;
    const meta = place < 0 ? undefined : this.#metas.at(place);
    if (meta === undefined || !meets([meta], this.#scan.range)) return;
    const window = this.#add(place);
    void this.#open(window, meta, (opened) => (step > 0 ? 0 : opened.blockCount - 1), bytes);
  }

  #add(place: number): Window {
    const window: Window = {
      place,
      first: 0,
      last: -1,
      bytes: 0,
      reader: undefined,
      fetched: [],
      ready: NOTHING,
      hasFailed: false,
      isIdle: false,
    };
    this.#windows.push(window);
    return window;
  }

  /** Opens the window's table, then reads from the block that `firstBlock` says; undefined: none. */
  #open(
    window: Window,
    meta: TableInfo,
    firstBlock: (reader: TableReader) => number | undefined,
    bytes?: number,
  ): Promise<void> {
    const opened = this.#scan.tables.fetch(meta);
    window.fetched.push(opened);
    window.ready = opened.ready.then(() => {
      if (!this.#windows.includes(window)) return undefined;
      const reader = this.#scan.disk.withoutWaiting(() => this.#scan.tables.reader(meta));
      const index = firstBlock(reader);
      if (index !== undefined) return this.#fill(window, reader, index, bytes);
      window.isIdle = true;
      return undefined;
    });
    window.ready.catch(() => {
      window.hasFailed = true;
    });
    return window.ready;
  }

  /** Reads blocks from `index` on, `room` bytes of them if there are as many that the scan may need. */
  #fill(window: Window, reader: TableReader, index: number, room = this.#nextBytes): Promise<void> {
    const { disk, isReverse } = this.#scan;
    const step = isReverse ? -1 : 1;
    const far = this.#scan.farBlock(reader);
    const expected = this.#expected ?? this.#scan.expected(this.#order, this.#metas.at(window.place)!);
    const firstSize = reader.index.blockSize(index);
    // Of the first block it may need the end only.
    const wanted = expected + firstSize;
    const granted = this.#scan.grant(Math.min(room, MAX_WINDOW_BYTES));
    let bytes = firstSize;
    let end = index;
    while ((far - end) * step > 0 && bytes < wanted) {
      const size = reader.index.blockSize(end + step);
      if (bytes + size > granted) break;
      bytes += size;
      end += step;
    }
    const first = Math.min(index, end);
    const last = Math.max(index, end);
    this.#nextBytes = Math.min(MAX_WINDOW_BYTES, Math.max(room, bytes) * 2);
    this.#expected = bytes >= wanted ? 0 : expected - bytes;
    window.reader = reader;
    window.first = first;
    window.last = last;
    window.bytes = bytes;
    this.#scan.bytes += bytes;
    disk.readAheadBytes += bytes;
    const fetched = reader.fetch(first, last, this.#windows.length === 1);
    window.fetched.push(fetched);
    window.ready = fetched.ready;
    fetched.ready.catch(() => {
      window.hasFailed = true;
    });
    // A window may go on in the next table, where it is known that the scan will.
    if (end === far && bytes < granted && Number.isFinite(expected))
      this.#extend(window, step, granted - bytes);
    return fetched.ready;
  }

  #drop(window: Window): void {
    this.#scan.bytes -= window.bytes;
    this.#scan.disk.readAheadBytes -= window.bytes;
    for (const fetched of window.fetched) fetched.release();
    window.fetched.length = 0;
  }
}

/** What a scan covers. */
export interface ScanExtent {
  readonly range: KeyRange;
  readonly reverse: boolean;
  /** Entries that it gives, at most; Infinity: as many as there are. */
  readonly limit: number;
}

export class ScanReads {
  readonly tables: TableCache;
  readonly disk: Disk;
  readonly isReverse: boolean;
  readonly range: KeyRange;
  /** Blocks that the scan has offered to the cache. */
  offered = 0;
  /** Of all windows. */
  bytes = 0;
  readonly #version: Version;
  readonly #limit: number;
  /** By the order of the version's runs; made when the first block has to be waited for. */
  #runs: (RunReads | undefined)[] | undefined;

  constructor(tables: TableCache, disk: Disk, version: Version, { range, reverse, limit }: ScanExtent) {
    this.tables = tables;
    this.disk = disk;
    this.#version = version;
    this.range = range;
    this.isReverse = reverse;
    this.#limit = limit;
  }

  get firstWindowBytes(): number {
    if (Number.isFinite(this.#limit)) return MAX_WINDOW_BYTES;
    const far = this.isReverse ? this.range.start : this.range.end;
    return far === undefined ? MIN_WINDOW_BYTES : BOUNDED_WINDOW_BYTES;
  }

  /** Of the run of this order, in which the scan begins in `meta`. */
  expected(order: number, meta: TableInfo): number {
    return expectedBytes(this.#version, order, meta, this.#limit);
  }

  farBlock(reader: TableReader): number {
    return farBlock(reader, this.range, this.isReverse);
  }

  /** In place of `error`, which reading a block threw: what has a whole window read. */
  instead(error: unknown, { order, place }: ScanPlace, reader: TableReader, index: number): unknown {
    if (!(error instanceof WouldWait)) return error;
    return new WouldWait({ fetch: () => this.#run(order).begin(reader, place, index) });
  }

  entered({ order, place }: ScanPlace, index: number): void {
    this.#runs?.[order]?.entered(place, index);
  }

  /** How much of `bytes` a window may have; with 0, it is one block. */
  grant(bytes: number): number {
    const left = Math.min(SCAN_BYTES - this.bytes, READ_AHEAD_BYTES - this.disk.readAheadBytes);
    return Math.max(0, Math.min(bytes, left));
  }

  /** Everything that a scan which goes on at `key` needs next, besides `needed`; undefined: it begins where the range does. */
  prime(needed: Needed, key: Uint8Array | undefined): Needed {
    const { start, end } = this.range;
    const from = key ?? (this.isReverse ? end : start);
    return {
      fetch: (isUrgent) => {
        const begun: Promise<void>[] = [];
        runsOf(this.#version).forEach((metas, order) => {
          if (meets(metas, this.range)) begun.push(this.#run(order).prime(from));
        });
        const fetched = needed.fetch(isUrgent);
        // What of this could not be had is asked for again, by whoever comes to it.
        const all = Promise.all([fetched.ready, ...begun.map((ready) => ready.catch(() => undefined))]);
        return { ready: all.then(() => undefined), release: () => fetched.release() };
      },
    };
  }

  close(): void {
    for (const run of this.#runs ?? []) run?.close();
    this.#runs = undefined;
  }

  #run(order: number): RunReads {
    this.#runs ??= [];
    this.#runs[order] ??= new RunReads(this, order, runsOf(this.#version)[order]!);
    return this.#runs[order]!;
  }
}

function firstReaching(run: TableRun, key: Uint8Array): number {
  return 'firstReaching' in run ? run.firstReaching(key) : firstTableReaching(run, key);
}

function lastBefore(run: TableRun, key: Uint8Array): number {
  return 'firstReaching' in run ? run.lastStartingBefore(key) : lastTableStartingBefore(run, key);
}

function contains(window: Window, place: number, index: number): boolean {
  return window.place === place && window.first <= index && index <= window.last;
}

/** Whether a scan in block `index` of the table at `place` is done with the window. */
function isPassed(window: Window, place: number, index: number, step: 1 | -1): boolean {
  if (window.place !== place) return (place - window.place) * step > 0 && window.last >= window.first;
  if (window.last < window.first) return false;
  return step > 0 ? window.last < index - 1 : window.first > index + 1;
}
