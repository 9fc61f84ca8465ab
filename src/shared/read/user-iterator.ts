/**
 * From internal entries to what the user sees: one version per key, no tombstones, inside the bounds.
 *
 *   forward    the first entry of a key at or below the sequence decides; the rest of the key is skipped
 *   backward   a key's versions come oldest first: the last one at or below the sequence decides, and is copied aside
 *              because finding the end of the key moves past it
 *
 * A move that would have to wait for the disk (would-wait.ts) leaves it fit for close() alone; `decidedKey` says from where
 * another one goes on.
 *
 * Invariants: the merged iterator throws on damage, so a scan never ends early.
 * Thread:     any.     Owns: the merged iterator.
 * Not chosen: one loop for both directions: the backward one needs a copy per key that the forward one must not pay.
 */
import { compareBytes, copyInto } from '../base/bytes.ts';
import { Entry, EntryKind } from '../base/entry.ts';
import { KeyLimit, type KeyRange } from '../base/iterator.ts';
import type { MergedSpan } from '../merge/merged-span.ts';
import { MergingIterator } from '../merge/merging-iterator.ts';
import type { BlockSpan, SpanIterator } from '../table/block-span.ts';

const NOTHING = new Uint8Array(0);
const MIN_HELD_BYTES = 48;

/** Deleted keys in a row after which the merge is asked to skip the rest: skipping costs more than a few steps. */
const SKIP_AFTER = 8;
/** Used within one call. */
const passed = new KeyLimit();

/** Before the first move. */
const NOWHERE = new Entry();

/** Grows, never shrinks: a buffer for one key or value. */
class Held {
  bytes: Uint8Array = NOTHING;
  length = 0;

  set(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.bytes.length)
      this.bytes = new Uint8Array(Math.max(length, this.bytes.length * 2, MIN_HELD_BYTES));
    const target = this.bytes;
    copyInto(target, 0, bytes, start, end);
    this.length = length;
  }
}

/** Of closed iterators, for the next ones: a short scan should not pay for making its memory. */
const idleKeys: Held[] = [];
const MAX_IDLE_KEYS = 32;
/** Room for longer keys than this is not kept. */
const MAX_IDLE_KEY_BYTES = 1024;
/** Of an iterator that is closed, and holds nothing any more. */
const NO_KEY = new Held();

export class UserIterator {
  /** The entry the iterator stands on: of the merged iterator going forward, held aside going backward. */
  entry: Entry = NOWHERE;
  readonly #source: SpanIterator;
  readonly #merge: MergingIterator | undefined;
  readonly #range: KeyRange;
  readonly #sequence: number;
  readonly #reverse: boolean;
  #key: Held = idleKeys.pop() ?? new Held();
  /** Whether #key has held a key, and all of that key's versions are done with. */
  #isDecided = false;
  /** Backward only: the key decided on before #key, which is not decided while its versions are walked. */
  #previous: Held | undefined;
  #hasPrevious = false;
  /** Backward only. */
  #value: Held | undefined;
  #heldEntry: Entry | undefined;
  #state: 'new' | 'standing' | 'ended' = 'new';
  /** Whether the source stands on an entry not yet looked at: backward the oldest version of the next key. Forward, see below. */
  #sourceStands = false;
  /** Forward only: a span was taken. `entry` is none, #key is the span's last key, and #sourceStands holds. */
  #isTaken = false;

  /** The last skip went row by row, which costs less than steps however little it passes. */
  #isWalking = false;

  constructor(source: SpanIterator, range: KeyRange, sequence: number, reverse: boolean) {
    this.#source = source;
    this.#merge = source instanceof MergingIterator ? source : undefined;
    this.#range = range;
    this.#sequence = sequence;
    this.#reverse = reverse;
  }

  get isMerge(): boolean {
    return this.#merge !== undefined;
  }

  /** Moves to the next key in the direction of the scan; false at the end. */
  next(): boolean {
    if (this.#state === 'ended') return false;
    const stands = this.#reverse ? this.#nextBackward() : this.#nextForward();
    this.#state = stands ? 'standing' : 'ended';
    return stands;
  }

  /**
   * Forward only: the entry it stands on and those behind it that the user sees as they are, in `span`; landing that moves
   * this iterator. false: go on with `next`.
   */
  lookAhead(span: BlockSpan, maxRows: number, maxBytes: number): boolean {
    const source = this.#source;
    if (this.#reverse || this.#state !== 'standing' || source.lookAhead === undefined) return false;
    const { end } = this.#range;
    span.begin(maxRows, maxBytes, this.#sequence);
    if (end !== undefined) span.boundBy(end, 0, end.length);
    return source.lookAhead(span);
  }

  /** The same, where the source is a merge; false and not cramped: go on with `next`, too. */
  take(span: MergedSpan, maxRows: number, maxBytes: number): boolean {
    const merge = this.#merge;
    if (merge === undefined || this.#reverse || this.#state !== 'standing' || this.#isTaken) return false;
    span.begin(maxRows, maxBytes, this.#sequence, this.#range.end);
    if (!merge.take(span)) return false;
    this.#key.set(span.key, 0, span.keyLength);
    this.#isDecided = true;
    this.#isTaken = true;
    this.#sourceStands = span.isAhead;
    return true;
  }

  /** A copy of the key up to which, in the direction of the scan, everything is done with; undefined: nothing is yet. */
  decidedKey(): Uint8Array | undefined {
    const held = this.#isDecided ? this.#key : this.#hasPrevious ? this.#previous : undefined;
    return held?.bytes.slice(0, held.length);
  }

  close(): void {
    this.#state = 'ended';
    this.entry = NOWHERE;
    const key = this.#key;
    this.#key = NO_KEY;
    if (key !== NO_KEY && key.bytes.length <= MAX_IDLE_KEY_BYTES && idleKeys.length < MAX_IDLE_KEYS)
      idleKeys.push(key);
    this.#source.close();
  }

  #nextForward(): boolean {
    const source = this.#source;
    const isNew = this.#state === 'new';
    let stands: boolean;
    if (isNew)
      stands = this.#range.start === undefined ? source.seekToFirst() : source.seek(this.#range.start);
    else if (this.#isTaken) {
      this.#isTaken = false;
      stands = this.#sourceStands || source.next();
    } else {
      this.#holdKey(source.entry);
      stands = source.next();
    }
    // Whether #key holds a key whose remaining versions are to be skipped.
    let skipping = !isNew;
    let deadKeys = 0;
    while (stands) {
      const entry = source.entry;
      if (!(skipping && this.#isHeldKey(entry)) && entry.sequence <= this.#sequence) {
        if (this.#isPastEnd(entry)) return false;
        if (entry.kind === EntryKind.Put) {
          this.entry = entry;
          return true;
        }
        this.#holdKey(entry);
        skipping = true;
        if (++deadKeys >= SKIP_AFTER && this.#merge !== undefined) {
          stands = this.#skipDead(this.#merge);
          if (!this.#isWalking) deadKeys = 0;
          continue;
        }
      }
      stands = source.next();
    }
    return false;
  }

  /** From a tombstone, whose key is held, past what is dead behind it. */
  #skipDead(merge: MergingIterator): boolean {
    const stands = merge.passDead(this.#sequence, this.#range.end, passed);
    this.#isWalking = passed.isThere;
    if (passed.isThere) this.#key.set(passed.bytes, passed.start, passed.end);
    passed.clear();
    return stands;
  }

  #nextBackward(): boolean {
    const source = this.#source;
    if (this.#state === 'new')
      this.#sourceStands =
        this.#range.end === undefined ? source.seekToLast() : source.seekBefore(this.#range.end);
    let deadKeys = 0;
    while (this.#sourceStands) {
      if (this.#isBeforeStart(source.entry)) return false;
      if (this.#decideKeyBackward()) {
        this.entry = this.#heldEntry!;
        return true;
      }
      if (++deadKeys < SKIP_AFTER || !this.#sourceStands || this.#merge === undefined) continue;
      this.#sourceStands = this.#merge.passDeadBefore(this.#range.start);
      deadKeys = 0;
    }
    return false;
  }

  /** Walks the versions of the key the source stands on, oldest first; true when the visible one is a value, now held. */
  #decideKeyBackward(): boolean {
    const source = this.#source;
    this.#beginKey(source.entry);
    this.#value ??= new Held();
    let kind: number = EntryKind.Delete;
    do {
      const entry = source.entry;
      if (entry.sequence <= this.#sequence) {
        kind = entry.kind;
        if (kind === EntryKind.Put) this.#value.set(entry.valueBytes, entry.valueStart, entry.valueEnd);
      }
      this.#sourceStands = source.prev();
    } while (this.#sourceStands && this.#isHeldKey(source.entry));
    this.#isDecided = true;
    if (kind !== EntryKind.Put) return false;
    this.#heldEntry ??= new Entry();
    const held = this.#heldEntry;
    held.keyBytes = this.#key.bytes;
    held.keyEnd = this.#key.length;
    held.valueBytes = this.#value.bytes;
    held.valueEnd = this.#value.length;
    return true;
  }

  #holdKey(entry: Entry): void {
    this.#key.set(entry.keyBytes, entry.keyStart, entry.keyEnd);
    this.#isDecided = true;
  }

  /** Backward: the versions of a key are about to be walked. */
  #beginKey(entry: Entry): void {
    const before = this.#key;
    this.#key = this.#previous ?? new Held();
    this.#previous = before;
    this.#hasPrevious = this.#isDecided;
    this.#isDecided = false;
    this.#key.set(entry.keyBytes, entry.keyStart, entry.keyEnd);
  }

  #isHeldKey(entry: Entry): boolean {
    const length = entry.keyEnd - entry.keyStart;
    if (length !== this.#key.length) return false;
    const held = this.#key.bytes;
    const { keyBytes, keyStart } = entry;
    // From the end: keys in order differ there first.
    for (let i = length - 1; i >= 0; i--) if (held[i] !== keyBytes[keyStart + i]) return false;
    return true;
  }

  #isPastEnd(entry: Entry): boolean {
    const { end } = this.#range;
    return (
      end !== undefined && compareBytes(entry.keyBytes, entry.keyStart, entry.keyEnd, end, 0, end.length) >= 0
    );
  }

  #isBeforeStart(entry: Entry): boolean {
    const { start } = this.#range;
    return (
      start !== undefined &&
      compareBytes(entry.keyBytes, entry.keyStart, entry.keyEnd, start, 0, start.length) < 0
    );
  }
}
