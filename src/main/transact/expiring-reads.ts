/**
 * When the first value expires of those that a transaction has read.
 *
 * What it read does not say: it is read once more, at the moment of the transaction, where all of it is still to be had. Seldom
 * does anybody ask: only if something was read that expires, and time has passed since.
 *
 * Thread: main.     Owns: nothing between two steps but what the walk has pinned.
 */
import { compareBytes } from '../../shared/base/bytes.ts';
import { Entry, EntryKind } from '../../shared/base/entry.ts';
import { expiryOf, NOTHING_EXPIRES } from '../../shared/base/expiry.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import type { Disk } from '../../shared/disk/disk.ts';
import { MergingIterator } from '../../shared/merge/merging-iterator.ts';
import { lookup } from '../../shared/read/lookup.ts';
import { ScanReads } from '../../shared/read/scan-reads.ts';
import { openSources } from '../../shared/read/scan-sources.ts';
import type { TableCache } from '../../shared/read/table-cache.ts';
import type { Reads } from '../../shared/transact/read-set.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { MemtableList } from '../write/memtable-list.ts';

/** Entries between two looks at the clock. */
const ENTRIES_PER_STEP = 256;

/** The moment at which a transaction reads. */
export interface ReadTime {
  readonly sequence: number;
  /** NOTHING_EXPIRES: nothing of what it reads does. */
  readonly timeMs: number;
}

/** Where it looks. */
export interface ExpiringParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
  readonly tables: TableCache;
  readonly disk: Disk;
}

/** Used within one call. */
const entry = new Entry();

export class ExpiringReads {
  readonly #parts: ExpiringParts;
  readonly #reads: Reads;
  readonly #sequence: number;
  readonly #timeMs: number;
  /** Whether `first` is what it says. */
  isKnown: boolean;
  /** In milliseconds since 1970. */
  first: number = Number.POSITIVE_INFINITY;

  constructor(parts: ExpiringParts, reads: Reads, sequence: number, timeMs: number) {
    this.#parts = parts;
    this.#reads = reads;
    this.#sequence = sequence;
    this.#timeMs = timeMs;
    this.isKnown = !reads.mayExpire || timeMs === NOTHING_EXPIRES;
  }

  /** Finds out. Yields false now and then. */
  *look(): Generator<boolean> {
    const { keys, ends, ranges } = this.#reads;
    for (let i = 0, start = 0; i < ends.length; i++) {
      this.#lookAt(keys.subarray(start, ends[i]));
      start = ends[i]!;
      yield false;
    }
    for (const range of ranges) yield* this.#walk(range);
    this.isKnown = true;
  }

  #lookAt(key: Uint8Array): void {
    const { memtables, versions, tables } = this.#parts;
    if (lookup(memtables, versions.current, tables, key, this.#sequence, entry)) this.#note(entry);
    entry.release();
  }

  *#walk(range: KeyRange): Generator<boolean> {
    const { memtables, versions, tables, disk } = this.#parts;
    const pin = versions.pin();
    const held = memtables.holdForScan();
    const extent = { range, reverse: false, limit: Number.POSITIVE_INFINITY, fillCache: false };
    const reads = new ScanReads(tables, disk, pin.version, extent);
    const sources = {
      memtables: held,
      version: pin.version,
      sequence: this.#sequence,
      fillCache: false,
      // The moments are what is looked for: they stay with the values.
      nowMs: NOTHING_EXPIRES,
    };
    const merge = new MergingIterator(openSources(sources, tables, range, reads), NOTHING_EXPIRES);
    try {
      yield* this.#walkOver(merge, range);
    } finally {
      merge.close();
      reads.close();
      pin.release();
      memtables.releaseFromScan(held);
    }
  }

  *#walkOver(merge: MergingIterator, { start, end }: KeyRange): Generator<boolean> {
    let key: Uint8Array | undefined;
    let stands = start === undefined ? merge.seekToFirst() : merge.seek(start);
    for (let walked = 1; stands; walked++) {
      const at = merge.entry;
      const { keyBytes, keyStart, keyEnd } = at;
      if (end !== undefined && compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) >= 0) return;
      const isNewest =
        at.sequence <= this.#sequence &&
        (key === undefined || compareBytes(keyBytes, keyStart, keyEnd, key, 0, key.length) !== 0);
      if (isNewest) {
        key = keyBytes.slice(keyStart, keyEnd);
        this.#note(at);
      }
      if (walked % ENTRIES_PER_STEP === 0) yield false;
      stands = merge.next();
    }
  }

  #note(found: Entry): void {
    if (found.kind !== EntryKind.ExpiringPut) return;
    const moment = expiryOf(found);
    // What had expired by then was read as absent, and is.
    if (moment > this.#timeMs && moment < this.first) this.first = moment;
  }
}
