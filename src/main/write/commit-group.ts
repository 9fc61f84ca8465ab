/**
 * One group of a group commit: the writes of one stretch of synchronous code, contiguous in one arena, as records of one log.
 *
 *   | put put put | note: it is 12:00:01 | put put | batch | batch | put |
 *     group         note                   group     batch   batch   group
 *
 * Writes of one entry share a record, a batch has one of its own, and where the clock has moved on a note says so: that is what
 * those who follow the changes, and a restore to a moment, read from the log.
 *
 * Its writers share their promises (WritePromises): 256 puts in flight cost one.
 *
 * Thread: main.
 */
import { WritePromises } from '../../shared/base/deferred.ts';
import {
  RECORD_HEADER_BYTES,
  RecordType,
  TIME_NOTE_BYTES,
  writeTimeNote,
} from '../../shared/log/log-format.ts';
import type { LiveMemtable } from './memtable-list.ts';

/** A write in the form of the log: `count` entries in bytes[start, end). */
export interface EncodedWrite {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly sync: boolean;
  /** One write. Otherwise each of its entries is one by itself. */
  readonly isBatch: boolean;
}

/** One of its records: from here to where the next one starts, or the group ends. */
export interface GroupRecord {
  /** Arena offset of the header. */
  readonly start: number;
  readonly firstSequence: number;
  readonly type: number;
}

/** Readers have a whole record in memory. One write of its own may have more. */
const MAX_GROUP_RECORD_BYTES: number = 1024 * 1024;

/** In front of a write, at most: a note, and the header of its record. */
export const MOST_FRAMING_BYTES: number = TIME_NOTE_BYTES + RECORD_HEADER_BYTES;

export class CommitGroup {
  readonly live: LiveMemtable;
  readonly records: GroupRecord[] = [];
  /** Puts and deletes since the clock was last asked. */
  writesSinceTime = 0;
  /** The last record takes more writes. */
  #takesMore = false;
  /** Arena offset behind the last record; set when the group is sealed. */
  end = 0;
  /** Entries of the memtable up to and including this group; set when the group is sealed. */
  entryCount = 0;
  readonly outcome: WritePromises = new WritePromises();

  constructor(live: LiveMemtable) {
    this.live = live;
  }

  get start(): number {
    return this.records[0]!.start;
  }

  /** Readies the arena for a write, which is to be appended in this step. Requires: room for MOST_FRAMING_BYTES more. */
  begin(isBatch: boolean, timeMs: number): void {
    const { live } = this;
    if (timeMs > live.notedMs) {
      const at = this.#reserve(RecordType.Note, TIME_NOTE_BYTES);
      writeTimeNote(live.memtable.arena.bytes, at, timeMs);
      live.notedMs = timeMs;
    } else if (this.#takesMore && !isBatch) return;
    this.#reserve(isBatch ? RecordType.Batch : RecordType.Group, RECORD_HEADER_BYTES);
    this.#takesMore = !isBatch;
  }

  /** Whether a write of so many bytes can follow on the one before in its record, as long as the clock stands. */
  takesMore(dataBytes: number): boolean {
    if (!this.#takesMore) return false;
    const { dataEnd } = this.live.memtable.arena;
    this.#takesMore = dataEnd + dataBytes - this.records.at(-1)!.start <= MAX_GROUP_RECORD_BYTES;
    return this.#takesMore;
  }

  #reserve(type: number, byteLength: number): number {
    const { memtable } = this.live;
    const start = memtable.arena.reserve(byteLength);
    this.records.push({ start, firstSequence: memtable.nextSequence, type });
    return start;
  }
}
