/**
 * Cursor: what the three iterators of StrataLevel have in common: the entries of a range, of one moment, in pages.
 *
 *   take       the next page, at once where memory has it; ends at a count, or behind the entry that exceeds a number of bytes
 *   takeSync   the next entries, waiting for the disk
 *   seek       another scan of the same moment, which begins at the target
 *
 * The moment is a snapshot of the store, taken in the call that makes the iterator; the scan is opened when it is first asked.
 * What the scan gave and no page took yet is kept for the next one.
 *
 * Invariants: a page is read without holding the event loop (nextManyAwaited() in scan.ts), which has a turn for every 1,000
 *             entries and about every millisecond. A seek out of the range ends the iteration, as in LevelDB.
 * Thread:     that of its database.     Owns: the scan, and the snapshot unless it was given.
 * Not chosen: the scan's own moment in place of a snapshot: a scan gives it up at its end, and one may seek back from there.
 */
import { types } from 'node:util';
import type { Bytes } from '../shared/base/input-bytes.ts';
import { nextManyAwaited, type Scan, type ScanEntry } from '../shared/read/scan.ts';
import { type Format, inputOf, type LevelRange, rangeOf } from './formats.ts';
import { aborted, levelErrorOf } from './level-error.ts';
import { LevelSnapshot } from './level-snapshot.ts';
import type { LevelStore, StoreSnapshot } from './level-store.ts';

/** Which halves of an entry a scan gives; what is not said is given. */
export interface EntryParts {
  readonly keys?: boolean | undefined;
  readonly values?: boolean | undefined;
}

/** What abstract-level hands to an iterator. */
export interface CursorOptions extends LevelRange, EntryParts {
  readonly reverse: boolean;
  /** -1: none. */
  readonly limit: number;
  readonly keyEncoding: Format;
  readonly valueEncoding: Format;
  readonly fillCache?: boolean | undefined;
  readonly highWaterMarkBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly snapshot?: unknown;
}

/** classic-level's. */
const HIGH_WATER_MARK_BYTES = 16384;
/** What is asked of a scan at once, at most, and where nothing is known of the size of entries. */
const MOST_ENTRIES = 1000;
const FIRST_ENTRIES = 16;

/** Entries that are handed out together. */
interface Page {
  entries: ScanEntry[];
  readonly size: number;
  /** It ends behind the entry that brings more. */
  readonly maxBytes: number;
  bytes: number;
}

export class Cursor {
  /** As the option says it, for pages that are to keep to it. */
  readonly highWaterMarkBytes: number;
  readonly #store: LevelStore;
  readonly #options: CursorOptions;
  readonly #parts: EntryParts;
  /** How many more the limit allows from here, when a scan is opened. */
  readonly #left: () => number;
  readonly #moment: StoreSnapshot;
  readonly #isOwn: boolean;
  #range: LevelRange | undefined;
  #scan: Scan | undefined;
  #ahead: ScanEntry[] = [];
  #aheadTaken = 0;
  #isEnded = false;
  /** Of all entries so far, for how many to ask at a time. */
  #seen = 0;
  #seenBytes = 0;

  /** `parts`: which halves of its entries are given. */
  constructor(store: LevelStore, options: CursorOptions, parts: EntryParts, left: () => number) {
    this.#store = store;
    this.#options = options;
    this.#parts = parts;
    this.#left = left;
    this.#range = rangeOf(options);
    this.highWaterMarkBytes = bytesOf(options.highWaterMarkBytes);
    const given = LevelSnapshot.momentOf(options.snapshot);
    this.#isOwn = given === undefined;
    this.#moment = given ?? this.#store.hold();
  }

  /** Up to `size` entries, none at the end, no more behind the one that exceeds `maxBytes`. Throws, or rejects. */
  take(size: number, maxBytes: number): ScanEntry[] | Promise<ScanEntry[]> {
    const page: Page = { entries: [], size, maxBytes, bytes: 0 };
    try {
      const waiting = this.#fill(page);
      return waiting === undefined ? page.entries : this.#fillLater(page, waiting);
    } catch (error) {
      throw this.#reasonOf(error);
    }
  }

  /** The same without a promise: waits for the disk. */
  takeSync(size: number): ScanEntry[] {
    try {
      if (this.#aheadTaken < this.#ahead.length) {
        const kept = this.#ahead.slice(this.#aheadTaken, this.#aheadTaken + size);
        this.#aheadTaken += kept.length;
        return kept;
      }
      if (this.#isEnded) return [];
      const entries = this.#open().nextMany(size);
      this.#isEnded = entries.length === 0;
      return entries;
    } catch (error) {
      throw this.#reasonOf(error);
    }
  }

  /** Goes on at the first entry from `target` on, in the direction of the iteration. */
  seek(target: Bytes): void {
    this.#scan?.close();
    this.#scan = undefined;
    this.#ahead = [];
    this.#aheadTaken = 0;
    const { reverse } = this.#options;
    const bounds = rangeOf(this.#options) ?? {};
    const key = bytesOfKey(inputOf(target));
    const near = reverse ? (bounds.lte ?? bounds.lt) : (bounds.gte ?? bounds.gt);
    const isExclusive = reverse ? bounds.lt !== undefined : bounds.gt !== undefined;
    const order = near === undefined ? 1 : Buffer.compare(key, bytesOfKey(near)) * (reverse ? -1 : 1);
    this.#isEnded = order < 0 || (order === 0 && isExclusive);
    this.#range = reverse
      ? { gt: bounds.gt, gte: bounds.gte, lte: key }
      : { gte: key, lt: bounds.lt, lte: bounds.lte };
  }

  /** Idempotent. */
  close(): void {
    this.#scan?.close();
    this.#scan = undefined;
    this.#ahead = [];
    this.#aheadTaken = 0;
    this.#isEnded = true;
    if (this.#isOwn) this.#moment.close();
  }

  #open(): Scan {
    if (this.#scan !== undefined) return this.#scan;
    const { reverse, fillCache, signal } = this.#options;
    const { keys, values } = this.#parts;
    const range = this.#range;
    // Field by field: spreading the range made the opening of a scan twice as long.
    this.#scan = this.#store.scan({
      gt: range?.gt,
      gte: range?.gte,
      lt: range?.lt,
      lte: range?.lte,
      reverse,
      limit: this.#left(),
      keys: keys !== false,
      values: values !== false,
      fillCache: fillCache !== false,
      snapshot: this.#moment,
      signal: signal ?? undefined,
    });
    return this.#scan;
  }

  /** Fills the page as far as that needs no waiting; else what is to be waited for. */
  #fill(page: Page): Promise<ScanEntry[]> | undefined {
    for (;;) {
      if (this.#move(page) || this.#isEnded || page.entries.length >= page.size) return undefined;
      const more = nextManyAwaited(this.#open(), this.#wantedOf(page));
      if (types.isPromise(more)) return more;
      this.#give(page, more);
    }
  }

  async #fillLater(page: Page, first: Promise<ScanEntry[]>): Promise<ScanEntry[]> {
    try {
      let waiting: Promise<ScanEntry[]> | undefined = first;
      while (waiting !== undefined) {
        this.#give(page, await waiting);
        waiting = this.#fill(page);
      }
      return page.entries;
    } catch (error) {
      throw this.#reasonOf(error);
    }
  }

  /** What was read becomes the page as it is, where it is the first of it and all of it fits. */
  #give(page: Page, entries: ScanEntry[]): void {
    if (page.entries.length > 0 || entries.length === 0 || entries.length > page.size) {
      this.#keep(entries);
      return;
    }
    let bytes = 0;
    for (const [key, value] of entries) bytes += (key?.length ?? 0) + (value?.length ?? 0);
    if (bytes > page.maxBytes) {
      this.#keep(entries);
      return;
    }
    page.entries = entries;
    page.bytes = bytes;
    this.#seen += entries.length;
    this.#seenBytes += bytes;
  }

  #keep(entries: ScanEntry[]): void {
    this.#ahead = entries;
    this.#aheadTaken = 0;
    this.#isEnded = entries.length === 0;
  }

  /** Moves what was read ahead into the page; true: it is full. */
  #move(page: Page): boolean {
    const { entries, size, maxBytes } = page;
    const ahead = this.#ahead;
    while (this.#aheadTaken < ahead.length) {
      const entry = ahead[this.#aheadTaken++]!;
      entries.push(entry);
      const bytes = (entry[0]?.length ?? 0) + (entry[1]?.length ?? 0);
      page.bytes += bytes;
      this.#seen++;
      this.#seenBytes += bytes;
      if (entries.length >= size || page.bytes > maxBytes) return true;
    }
    return false;
  }

  /** As many as the page will take, by what entries have been like. */
  #wantedOf({ entries, size, maxBytes, bytes }: Page): number {
    const room = Math.min(size - entries.length, MOST_ENTRIES);
    if (room === 1 || maxBytes === Number.POSITIVE_INFINITY) return room;
    if (this.#seen === 0) return Math.min(room, FIRST_ENTRIES);
    if (this.#seenBytes === 0) return room;
    const fitting = Math.ceil(((maxBytes - bytes + 1) * this.#seen) / this.#seenBytes);
    return Math.min(room, Math.max(1, fitting));
  }

  #reasonOf(error: unknown): unknown {
    return this.#options.signal?.aborted === true ? aborted(error) : levelErrorOf(error);
  }
}

/** What is no finite number above 0 is 0, as where classic-level hands it to LevelDB. */
function bytesOf(given: unknown): number {
  if (given === undefined || given === null) return HIGH_WATER_MARK_BYTES;
  return typeof given === 'number' && Number.isFinite(given) && given > 0 ? given : 0;
}

function bytesOfKey(key: Bytes): Uint8Array {
  return typeof key === 'string' ? Buffer.from(key) : key;
}
