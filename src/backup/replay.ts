/**
 * Replays segments of an archive onto a store that was restored from a backup, up to a place or a time.
 *
 *   writes   entries as they were, expiry included -> WriteBatches of about a megabyte -> the store's own path of a write
 *   loads    parts -> one ingestion (load-feed.ts)
 *
 * What was one write is within one batch here as well; what were several may be one: nobody reads before the end.
 *
 * Invariants: every entry above the base and up to the goal is written, in order, none twice and none behind the goal. A hole in
 *             the sequences is damage, unless a load made it. The store uses no more sequences than the one that was archived.
 * Thread:     main.     Owns: a load under way; the store is the caller's.
 */

import { EntryReader } from '../main/open/entry-walk.ts';
import { Entry, EntryKind } from '../shared/base/entry.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import { userBytesOf } from '../shared/base/expiry.ts';
import { readEntry } from '../shared/log/entry-codec.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import { type LoadedRecord, type LoadedStore, LoadFeed } from './load-feed.ts';
import { type Frame, FrameKind, type Segment } from './segment.ts';

/** Bytes of entries that are written at once, and that may be under way. */
const BATCH_BYTES: number = 1024 * 1024;
const MOST_UNDER_WAY: number = 16 * BATCH_BYTES;

/** What is asked of the store: a StorageEngine that is open. */
export interface ReplayedStore extends LoadedStore {
  write(batch: WriteBatch): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Where a replay ends. */
export interface ReplayGoal {
  /** Nothing with a higher sequence. */
  readonly sequence: number;
  /** Nothing that was written later. */
  readonly timeMs: number;
}

export class Replay {
  readonly #engine: ReplayedStore;
  readonly #goal: ReplayGoal;
  readonly #reader = new EntryReader();
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #count = 0;
  #dataBytes = 0;
  #underWay: Promise<void>[] = [];
  #underWayBytes = 0;
  #load: LoadFeed | undefined;
  /** Of the last write that was replayed. */
  #sequence: number;
  #isAtGoal = false;
  /** When the last write was made that was replayed, in milliseconds since 1970; undefined: there was none. */
  timeMs: number | undefined;

  constructor(engine: ReplayedStore, baseSequence: number, goal: ReplayGoal) {
    this.#engine = engine;
    this.#sequence = baseSequence;
    this.#goal = goal;
  }

  /** Of the last write that was replayed, or of the base. */
  get sequence(): number {
    return this.#sequence;
  }

  /**
   * All of a segment, as far as it is news. What lies above `upTo` in it is of another history. `file` is named when something is
   * wrong with it.
   */
  async add(segment: Segment, upTo: number, file: string): Promise<void> {
    for (const frame of segment.frames()) {
      const { kind, timeMs, firstSequence } = frame;
      if (firstSequence > upTo) return;
      this.#isAtGoal ||= timeMs > this.#goal.timeMs || firstSequence > this.#goal.sequence;
      if (this.#isAtGoal) return;
      const isLoad = kind === FrameKind.Load || kind === FrameKind.LoadEnd;
      if (isLoad) await this.#addLoad(frame, file);
      else await this.#addWrites(frame, upTo, file);
    }
  }

  /** Resolves when all of it is in the store. */
  async end(): Promise<void> {
    if (this.#load !== undefined) await this.#load.abort(new Error('the load ends behind what is restored'));
    this.#write();
    await this.#settle();
  }

  async #addWrites(frame: Frame, upTo: number, file: string): Promise<void> {
    const { kind, firstSequence, payload } = frame;
    const ends = this.#endsOf(payload, file);
    const last = firstSequence + ends.length - 1;
    if (last <= this.#sequence) return;
    if (this.#load !== undefined) throw new CorruptionError('parts of a load are missing', { file });
    if (firstSequence > this.#sequence + 1) throw new CorruptionError('writes are missing', { file });
    const end = Math.min(last, upTo, this.#goal.sequence);
    // A write is replayed whole or not at all.
    if (kind === FrameKind.Batch && end < last) {
      this.#isAtGoal = true;
      return;
    }
    this.#take(payload, ends, this.#sequence + 1 - firstSequence, end + 1 - firstSequence);
    this.#sequence = end;
    this.timeMs = frame.timeMs;
    if (this.#underWayBytes >= MOST_UNDER_WAY) await this.#settle();
  }

  async #addLoad({ kind, timeMs, firstSequence, part, payload }: Frame, file: string): Promise<void> {
    if (firstSequence <= this.#sequence) return;
    if (this.#load === undefined) {
      // An ingestion enters behind what was written before it.
      this.#write();
      await this.#settle();
      this.#load = new LoadFeed(this.#engine, firstSequence);
    }
    const load = this.#load;
    if (part < load.parts) return;
    if (part > load.parts || load.sequence !== firstSequence)
      throw new CorruptionError('parts of a load are missing', { file });
    await load.add(this.#recordsOf(payload, file));
    if (kind === FrameKind.Load) return;
    this.#load = undefined;
    await load.end();
    this.#sequence = firstSequence;
    this.timeMs = timeMs;
  }

  #endsOf(payload: Uint8Array, file: string): number[] {
    const ends: number[] = [];
    for (let at = 0; at < payload.length; ) {
      at = this.#reader.read(payload, at, payload.length);
      if (at < 0) throw new CorruptionError('an entry of the archive is malformed', { file });
      ends.push(at);
    }
    return ends;
  }

  /** Keys and values of puts, which lie in the payload. */
  #recordsOf(payload: Uint8Array, file: string): LoadedRecord[] {
    const entry = new Entry();
    const records: LoadedRecord[] = [];
    let at = 0;
    for (const end of this.#endsOf(payload, file)) {
      readEntry(payload, at, 0, entry);
      if (entry.kind !== EntryKind.Put)
        throw new CorruptionError('a load has an entry that is no put', { file });
      records.push([
        payload.subarray(entry.keyStart, entry.keyEnd),
        payload.subarray(entry.valueStart, entry.valueEnd),
      ]);
      at = end;
    }
    return records;
  }

  /** Entries [from, to) of a payload. */
  #take(payload: Uint8Array, ends: readonly number[], from: number, to: number): void {
    const start = from === 0 ? 0 : ends[from - 1]!;
    // Of its own: where the entries lay in the log that they come from is not where they will be.
    const bytes = payload.slice(start, ends[to - 1]);
    for (let i = from; i < to; i++) {
      const at = (i === 0 ? 0 : ends[i - 1]!) - start;
      this.#reader.read(bytes, at, bytes.length);
      this.#dataBytes += userBytesOf(this.#reader.kind, this.#reader.keyLength, this.#reader.valueLength);
      bytes[at]! &= 1;
    }
    this.#parts.push(bytes);
    this.#partBytes += bytes.length;
    this.#count += to - from;
    if (this.#partBytes >= BATCH_BYTES) this.#write();
  }

  #write(): void {
    if (this.#count === 0) return;
    const batch = WriteBatch.fromEncoded(Buffer.concat(this.#parts), this.#count, this.#dataBytes);
    const written = this.#engine.write(batch);
    // Heard of in settle().
    written.catch(() => undefined);
    this.#underWay.push(written);
    this.#underWayBytes += this.#partBytes;
    this.#parts = [];
    this.#partBytes = 0;
    this.#count = 0;
    this.#dataBytes = 0;
  }

  async #settle(): Promise<void> {
    const written = this.#underWay;
    this.#underWay = [];
    this.#underWayBytes = 0;
    await Promise.all(written);
  }
}
