/**
 * Decides which versions survive a merge: reads a sorted run of entries, yields those somebody can still see.
 *
 * The open snapshots cut the sequence numbers into stripes. With snapshots 10 and 20:
 *
 *   stripe      0 (.. 10]      1 (10 .. 20]     2 (20 ..)
 *   seen by     snapshot 10    snapshot 20      new reads
 *
 *   key a       put 9  put 4   delete 18        put 25  put 23
 *   survive     put 9          delete 18        put 25
 *
 * Steps, per user key, newest version first:
 *
 *   1. of each stripe only the newest version can be seen: put 23 and put 4 are shadowed and dropped
 *   2. a delete is held back until it is known what it hides:
 *        an older put that survives (here put 9, which snapshot 20 must not see)  -> the delete is written
 *        an older delete that survives                                            -> that one hides all there is
 *        nothing more in this merge, but a deeper table may hold the key          -> written
 *        nothing at all                                                           -> dropped
 *      But one above `keepDeletesAbove` is written whatever it hides: a transaction that has read the key asks for it
 *   3. a put of stripe 0 with nothing below it gets sequence 0: every reader sees it anyway, and equal numbers compress to
 *      nothing. Not in a flush: the age of L0 tables is known by their sequences
 *
 * Without put 9 and put 4, and with no deeper table, delete 18 would be gone.
 *
 * Deleted ranges (striped-ranges.ts) hide what is in them, is older and of their stripe: that goes first, as if it were not
 * there. Of a key in a range that every reader sees no put gets sequence 0, or the range would hide it.
 *
 * A put that expires is a delete once its moment has come for the first who sees it, as time only moves on: by the time of its
 * stripe's snapshot, or of the job for new reads. So it hides what is older, as it did, and goes as a delete goes.
 *
 * Invariants: for every open snapshot and for every read after the job was made, the merged inputs over the deeper
 *             tables read the same before and after.
 *             No two entries of one key share a sequence: only stripe 0 is zeroed, and it keeps one version.
 *             A key's versions come out newest first, never a delete directly above another, but for those that are kept.
 * Requires:   the input holds every version of its keys that lies between its newest and its oldest, except those in
 *             the deeper tables: whoever plans the job includes all overlapping tables of the levels it merges.
 * Thread:     any; pure.
 * Owns:       the copy of the current user key. The input belongs to the caller.
 * Lifetime:   `entry` is one object, valid until the next next().
 * Not chosen: dropping deletes only in stripe 0 (LevelDB), which keeps every delete made since the oldest snapshot
 *             for as long as that snapshot is open.
 */
import { assert } from '../shared/base/assert.ts';
import { compareBytes } from '../shared/base/bytes.ts';
import { Entry, EntryKind } from '../shared/base/entry.ts';
import { StorageError } from '../shared/base/errors.ts';
import { expiryOf } from '../shared/base/expiry.ts';
import type { SequenceNumber } from '../shared/base/ids.ts';
import type { InternalIterator, KeyRange } from '../shared/base/iterator.ts';
import type { DeeperLevels } from './deeper-levels.ts';
import { type StripedRanges, stripeOf } from './striped-ranges.ts';

/** How much input goes by between two calls of `onPulse`, in raw bytes: a few blocks. */
const PULSE_BYTES = 16 * 1024;
/** What an entry counts beyond its key and value, so that tiny and dropped entries pulse too. */
const ENTRY_OVERHEAD_BYTES = 16;
const NONE = -1;

export interface CompactionIteratorOptions {
  /** Open snapshots, ascending. */
  readonly snapshots: readonly SequenceNumber[];
  /** Deletes above it stay, even those that hide nothing. */
  readonly keepDeletesAbove?: SequenceNumber | undefined;
  /** The time by which each is read, and by which reads of no snapshot are: rising. */
  readonly snapshotTimes: readonly number[];
  readonly nowMs: number;
  readonly deeper: DeeperLevels;
  /** Those of all inputs; undefined: none. */
  readonly ranges?: StripedRanges | undefined;
  /** No put gets sequence 0: the output is a table of L0. */
  readonly keepsSequences?: boolean;
  /** Only keys in this range are read. */
  readonly range?: KeyRange;
  /** Called while input is read, every few blocks: the place to look at a cancellation flag. May throw. */
  readonly onPulse?: (entriesRead: number) => void;
}

export class CompactionIterator {
  readonly entry: Entry = new Entry();
  /** Whether `entry` is the first one yielded of its user key: an output may be cut before it. */
  startsKey = false;
  entriesRead = 0;
  /** Keys and values read. */
  rawBytesRead = 0;

  readonly #input: InternalIterator;
  readonly #snapshots: readonly SequenceNumber[];
  readonly #keepDeletesAbove: number;
  /** By stripe. */
  readonly #times: readonly number[];
  readonly #deeper: DeeperLevels;
  readonly #ranges: StripedRanges | undefined;
  readonly #keepsSequences: boolean;
  readonly #range: KeyRange;
  readonly #onPulse: ((entriesRead: number) => void) | undefined;
  #untilPulse = PULSE_BYTES;

  /** Where the input stands: before its first entry, on an unread entry, on the entry last yielded, at its end. */
  #state: 'fresh' | 'unread' | 'yielded' | 'ended' = 'fresh';
  /** The user key being worked on; `#keyLength` is NONE before the first. */
  #key: Uint8Array = new Uint8Array(64);
  #keyLength = NONE;
  #yieldedOfKey = false;
  /** Of the last surviving version of the key; the number of stripes when there is none yet. */
  #stripe = 0;
  /** Sequence of the delete held back, or NONE. */
  #heldDelete = NONE;
  /** The input's entry is known to survive: it was found while a delete had to go first. */
  #isSettled = false;

  constructor(input: InternalIterator, options: CompactionIteratorOptions) {
    this.#input = input;
    this.#snapshots = options.snapshots;
    this.#keepDeletesAbove = options.keepDeletesAbove ?? Number.MAX_SAFE_INTEGER;
    this.#times = [...options.snapshotTimes, options.nowMs];
    assert(this.#times.length === this.#snapshots.length + 1, 'each snapshot has its time');
    this.#deeper = options.deeper;
    this.#ranges = options.ranges;
    this.#keepsSequences = options.keepsSequences === true;
    this.#range = options.range ?? {};
    this.#onPulse = options.onPulse;
  }

  next(): boolean {
    if (this.#state === 'fresh') this.#start();
    else if (this.#state === 'yielded') this.#advance();
    if (this.#isSettled) {
      this.#isSettled = false;
      return this.#yieldPut();
    }
    while (this.#state === 'unread') {
      const entry = this.#input.entry;
      if (!this.#isSameKey(entry)) {
        if (this.#mustWriteHeldDelete()) return this.#yieldDelete();
        this.#beginKey(entry);
      }
      const stripe = stripeOf(this.#snapshots, entry.sequence);
      if (stripe === this.#stripe || this.#isHidden(entry, stripe)) {
        this.#advance();
        continue;
      }
      this.#stripe = stripe;
      if (this.#isValue(entry, stripe)) {
        if (this.#heldDelete === NONE) return this.#yieldPut();
        this.#isSettled = true;
        return this.#yieldDelete();
      }
      const { sequence } = entry;
      const isNewerKept = this.#heldDelete > this.#keepDeletesAbove;
      this.#advance();
      if (isNewerKept) this.#yieldDelete();
      this.#heldDelete = sequence;
      if (isNewerKept) return true;
    }
    return this.#mustWriteHeldDelete() && this.#yieldDelete();
  }

  /** Whether whoever sees the entry finds a value; false: a delete, or a value that has expired for all of them. */
  #isValue(entry: Entry, stripe: number): boolean {
    switch (entry.kind) {
      case EntryKind.Put:
        return true;
      case EntryKind.ExpiringPut:
        return expiryOf(entry) > this.#times[stripe]!;
      case EntryKind.Delete:
        return false;
      default:
        throw unknownKind();
    }
  }

  #start(): void {
    const { start } = this.#range;
    this.#arrive(start === undefined ? this.#input.seekToFirst() : this.#input.seek(start));
  }

  #advance(): void {
    this.#arrive(this.#input.next());
  }

  #arrive(stands: boolean): void {
    this.#state = stands && this.#isInRange(this.#input.entry) ? 'unread' : 'ended';
    if (this.#state === 'ended') return;
    const entry = this.#input.entry;
    const bytes = entry.keyEnd - entry.keyStart + entry.valueEnd - entry.valueStart;
    this.entriesRead++;
    this.rawBytesRead += bytes;
    this.#untilPulse -= bytes + ENTRY_OVERHEAD_BYTES;
    if (this.#untilPulse <= 0) {
      this.#untilPulse = PULSE_BYTES;
      this.#onPulse?.(this.entriesRead);
    }
  }

  #isInRange(entry: Entry): boolean {
    const end = this.#range.end;
    return (
      end === undefined || compareBytes(entry.keyBytes, entry.keyStart, entry.keyEnd, end, 0, end.length) < 0
    );
  }

  #isSameKey(entry: Entry): boolean {
    const length = entry.keyEnd - entry.keyStart;
    if (length !== this.#keyLength) return false;
    const key = this.#key;
    const bytes = entry.keyBytes;
    const start = entry.keyStart;
    // Backwards: neighbouring keys share their beginning.
    for (let i = length - 1; i >= 0; i--) if (key[i] !== bytes[start + i]) return false;
    return true;
  }

  #beginKey(entry: Entry): void {
    const length = entry.keyEnd - entry.keyStart;
    if (length > this.#key.length) this.#key = new Uint8Array(length * 2);
    const key = this.#key;
    const bytes = entry.keyBytes;
    const start = entry.keyStart;
    for (let i = 0; i < length; i++) key[i] = bytes[start + i]!;
    this.#keyLength = length;
    this.#yieldedOfKey = false;
    this.#stripe = this.#snapshots.length + 1;
    this.#heldDelete = NONE;
  }

  #isHidden({ keyBytes, keyStart, keyEnd, sequence }: Entry, stripe: number): boolean {
    return this.#ranges?.hides(keyBytes, keyStart, keyEnd, sequence, stripe) === true;
  }

  /** Whether the key that just ended leaves a delete that has something to hide in deeper tables. */
  #mustWriteHeldDelete(): boolean {
    if (this.#heldDelete === NONE) return false;
    if (this.#heldDelete > this.#keepDeletesAbove) return true;
    if (this.#deeper.mayHold(this.#key, 0, this.#keyLength)) return true;
    this.#heldDelete = NONE;
    return false;
  }

  /** Yields the held delete; the input stays where it is. */
  #yieldDelete(): true {
    const entry = this.entry;
    entry.keyBytes = this.#key;
    entry.keyStart = 0;
    entry.keyEnd = this.#keyLength;
    entry.valueBytes = this.#key;
    entry.valueStart = 0;
    entry.valueEnd = 0;
    entry.sequence = this.#heldDelete;
    entry.kind = EntryKind.Delete;
    this.#heldDelete = NONE;
    return this.#noteYield();
  }

  /** Yields the input's entry in place; the input moves on with the next next(). */
  #yieldPut(): true {
    const from = this.#input.entry;
    const entry = this.entry;
    entry.keyBytes = from.keyBytes;
    entry.keyStart = from.keyStart;
    entry.keyEnd = from.keyEnd;
    entry.valueBytes = from.valueBytes;
    entry.valueStart = from.valueStart;
    entry.valueEnd = from.valueEnd;
    entry.kind = from.kind;
    const everyoneSees =
      !this.#keepsSequences &&
      this.#stripe === 0 &&
      this.#ranges?.covers(this.#key, 0, this.#keyLength) !== true &&
      !this.#deeper.mayHold(this.#key, 0, this.#keyLength);
    entry.sequence = everyoneSees ? 0 : from.sequence;
    this.#state = 'yielded';
    return this.#noteYield();
  }

  #noteYield(): true {
    this.startsKey = !this.#yieldedOfKey;
    this.#yieldedOfKey = true;
    return true;
  }
}

/** Dropping or moving what is not understood would lose it. */
function unknownKind(): StorageError {
  return new StorageError(
    'STRATA_UNSUPPORTED',
    'a table holds an entry of a kind this version does not know',
  );
}
