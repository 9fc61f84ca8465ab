/**
 * Indexes an arena into which logs were read: see log-replay.ts.
 *
 * Invariants: the logs were judged (log-reader.ts), so what stands in them is taken at its word.
 * Thread:     main.
 */
import { compareBytes, readU64 } from '../base/bytes.ts';
import { EntryKind } from '../base/entry.ts';
import { SHORT_HEADER_BYTES } from '../log/entry-codec.ts';
import {
  BUCKET_SHIFT,
  claimedEnd,
  claimedType,
  ENTRY_PREFIX_BYTES,
  entryEnd,
  entryKeyEnd,
  entryKeyStart,
  entryKind,
  entryValueEnd,
  holdsWrites,
  RECORD_HEADER_BYTES,
} from '../log/log-format.ts';
import { BUCKETS, ENTRY_COUNT, type MemtableArena, RAW_BYTES, TOMBSTONE_COUNT } from './arena.ts';
import { addRange } from './memtable-ranges.ts';
import { sortRefs } from './ref-sort.ts';
import { buildTree } from './tree-builder.ts';

/** A log in an arena: bytes[start, end), where `start` is that of a bucket. */
export interface LogRegion {
  readonly start: number;
  readonly end: number;
}

/** Indexes the `count` entries of `regions`, whose sequences are consecutive. */
export function indexRecovered(arena: MemtableArena, regions: readonly LogRegion[], count: number): void {
  const found = new FoundEntries(arena, count);
  for (const region of regions) found.walk(region);
  const refs = found.points();
  if (!found.areSorted) sortRefs(arena.bytes, refs);
  buildTree(arena, refs);
  for (const ref of found.ranges) addRange(arena, ref);
  arena.words[ENTRY_COUNT] = count;
}

class FoundEntries {
  /** Range deletes, oldest first. */
  readonly ranges: number[] = [];
  readonly #refs: Uint32Array;
  /** Whether each key is above the one before it: the usual case of sequential keys. */
  areSorted = true;
  readonly #arena: MemtableArena;
  #count = 0;
  #bucket = -1;
  #lastKeyStart = 0;
  #lastKeyEnd = 0;

  constructor(arena: MemtableArena, count: number) {
    this.#arena = arena;
    this.#refs = new Uint32Array(count);
  }

  /** Of all other entries. */
  points(): Uint32Array {
    return this.#refs.subarray(0, this.#count - this.ranges.length);
  }

  walk({ start, end }: LogRegion): void {
    const { bytes } = this.#arena;
    for (let record = start; record < end; ) {
      const next = claimedEnd(bytes, record, end);
      if (holdsWrites(claimedType(bytes, record))) this.#walkGroup(record + RECORD_HEADER_BYTES, next);
      record = next;
    }
  }

  #walkGroup(start: number, end: number): void {
    const { bytes, words } = this.#arena;
    let rawBytes = 0;
    let tombstones = 0;
    for (let ref = start; ref < end; ) {
      let keyStart = ref + SHORT_HEADER_BYTES;
      let keyEnd = keyStart + bytes[ref + ENTRY_PREFIX_BYTES]!;
      let valueEnd = keyEnd + bytes[ref + ENTRY_PREFIX_BYTES + 1]!;
      let kind = bytes[ref]! & 1;
      if ((bytes[ref + ENTRY_PREFIX_BYTES]! | bytes[ref + ENTRY_PREFIX_BYTES + 1]!) >= 128) {
        kind = entryKind(bytes, ref);
        keyStart = entryKeyStart(bytes, ref);
        keyEnd = entryKeyEnd(bytes, ref, keyStart);
        valueEnd = entryValueEnd(bytes, ref, keyEnd);
      }
      const bucket = BUCKETS + (ref >>> BUCKET_SHIFT);
      if (bucket !== this.#bucket) {
        this.#bucket = bucket;
        words[bucket] = this.#count;
      }
      if (kind === EntryKind.RangeDelete) this.ranges.push(ref);
      else this.#takePoint(ref, keyStart, keyEnd);
      if (kind === EntryKind.Delete) tombstones++;
      else if (kind === EntryKind.ExpiringPut) this.#arena.noteExpiring(readU64(bytes, keyEnd));
      rawBytes += valueEnd - keyStart;
      this.#count++;
      ref = entryEnd(ref, valueEnd);
    }
    words[RAW_BYTES]! += rawBytes;
    words[TOMBSTONE_COUNT]! += tombstones;
  }

  #takePoint(ref: number, keyStart: number, keyEnd: number): void {
    const { bytes } = this.#arena;
    const place = this.#count - this.ranges.length;
    if (this.areSorted && place > 0)
      this.areSorted = compareBytes(bytes, this.#lastKeyStart, this.#lastKeyEnd, bytes, keyStart, keyEnd) < 0;
    this.#lastKeyStart = keyStart;
    this.#lastKeyEnd = keyEnd;
    this.#refs[place] = ref;
  }
}
