/**
 * Merges k sorted iterators into one, in the order of iterator.ts.
 *
 *   1. a seek positions every child and sorts those that stand on an entry
 *   2. a move takes the leader, the first of them, one row further in its batch (entry-batch.ts), and compares it with the
 *      second; only when it falls behind is its new place looked for among the others, by bisection
 *   3. when its batch is used up, the leader's child is taken to the last row, moved on, and read ahead again
 *
 * A comparison is one of heads, four bytes behind what all keys in all batches begin with; whole keys are compared when those
 * are equal. Backward, and from children without batches, a batch is one entry.
 *
 * Invariants: going forward, every child but the leader stands on its first entry after the leader's; going
 *             backward, on its last entry before it. "Stands" means the row of its batch: the child itself may be behind.
 *             Turning round keeps this: the others take one step across the leader's entry, and one that had run off
 *             its end comes back through seekToLast or seekToFirst.
 *             Equal key and sequence (two zeroed sequences) are ordered by child: the earlier child comes first
 *             going forward, so the order of all entries is total and both directions agree on it.
 * Owns:       the children.
 * Lifetime:   `entry` is valid until the next move. A move that throws leaves the iterator fit for close() alone.
 * Not chosen: a loser tree, which does log2(k) comparisons per entry where this does one while a source leads, as
 *             levels do; a heap, which looks for the runner-up after every change of leader; turning round by
 *             seekBefore(key), which would lose the newer versions of that key.
 */
import { assert } from '../base/assert.ts';
import { compareBytes, sharedPrefixLength } from '../base/bytes.ts';
import { Entry, EntryKind } from '../base/entry.ts';
import { giveBack, ROW_FIELDS } from '../base/entry-batch.ts';
import { NOTHING_EXPIRES } from '../base/expiry.ts';
import { type InternalIterator, KeyLimit } from '../base/iterator.ts';
import { compareRows, compareSources, Source } from './merge-source.ts';
import type { MergedSpan } from './merged-span.ts';

/** How much of a child is read ahead at first: as much as is asked for, within limits. Then more and more. */
const MIN_REACH = 4;
const MAX_FIRST_REACH = 64;

const NOTHING = new Uint8Array(0);
/** Used within one call. */
const limit = new KeyLimit();

export class MergingIterator implements InternalIterator {
  readonly entry: Entry = new Entry();
  readonly #sources: Source[] = [];
  /** The first `#size` stand on an entry and are in order, the leader first; a child that has run out is behind them. */
  readonly #ranks: Source[] = [];
  #size = 0;
  #direction: 1 | -1 = 1;
  /** Length in bytes of the prefix that all keys in all batches share; 0 going backward. */
  #prefix = 0;
  #isClosed = false;

  /** `nowMs`: what expires is a put or a delete, as it is at that time, and its value the user's; without, it is what it is. */
  constructor(children: readonly InternalIterator[], nowMs: number = NOTHING_EXPIRES) {
    // Not `map`, whose kind of array depends on whether it has been optimized: code for one is thrown away at the other.
    for (let order = 0; order < children.length; order++) {
      const source = new Source(children[order]!, order, nowMs);
      this.#sources.push(source);
      this.#ranks.push(source);
    }
  }

  seekToFirst(): boolean {
    this.#begin(1);
    const sources = this.#sources;
    for (let i = 0; i < sources.length; i++) if (sources[i]!.iterator.seekToFirst()) this.#admit(sources[i]!);
    return this.#rank();
  }

  seek(key: Uint8Array): boolean {
    this.#begin(1);
    const sources = this.#sources;
    for (let i = 0; i < sources.length; i++) if (sources[i]!.iterator.seek(key)) this.#admit(sources[i]!);
    return this.#rank();
  }

  seekToLast(): boolean {
    this.#begin(-1);
    const sources = this.#sources;
    for (let i = 0; i < sources.length; i++) if (sources[i]!.iterator.seekToLast()) this.#admit(sources[i]!);
    return this.#rank();
  }

  seekBefore(key: Uint8Array): boolean {
    this.#begin(-1);
    const sources = this.#sources;
    for (let i = 0; i < sources.length; i++)
      if (sources[i]!.iterator.seekBefore(key)) this.#admit(sources[i]!);
    return this.#rank();
  }

  next(): boolean {
    assert(this.#size > 0, 'next() on an iterator that stands nowhere');
    if (this.#direction !== 1) return this.#turn(1);
    const leader = this.#ranks[0]!;
    if (leader.row + 1 < leader.batch.count) leader.head = leader.batch.headOf(++leader.row, this.#prefix);
    else {
      leader.catchUp();
      if (!leader.iterator.next()) return this.#leaderEnded();
      leader.reachFurther();
      leader.readAhead();
      this.#renewHeads();
    }
    return this.#lead(this.#resettle(leader));
  }

  prev(): boolean {
    assert(this.#size > 0, 'prev() on an iterator that stands nowhere');
    if (this.#direction !== -1) return this.#turn(-1);
    const leader = this.#ranks[0]!;
    if (!leader.iterator.prev()) return this.#leaderEnded();
    leader.readOne();
    leader.head = leader.batch.headOf(0, 0);
    return this.#lead(this.#resettle(leader));
  }

  /**
   * Going forward: picks the entry it stands on, which the user sees, and those behind it that the user sees, as far as the
   * batches go, and moves behind them as `span.isAhead` says; false when not even that entry can be part of a span.
   */
  take(span: MergedSpan): boolean {
    assert(this.#size > 0 && this.#direction === 1, 'take() where the iterator stands, going forward');
    const reach = Math.max(MIN_REACH, Math.min(span.maxRows, MAX_FIRST_REACH));
    let leader = this.#ranks[0]!;
    if (leader.reach === 1) this.#extend(leader, reach);
    if (!span.pick(leader.batch, leader.row)) return false;
    const { maxRows, maxSequence } = span;
    let mayPassEnd = span.end !== undefined && this.#reaches(span.end);
    let prefix = this.#prefix;
    let decided = leader;
    let decidedRow = leader.row;
    let decidedHead = leader.head;
    while (span.count < maxRows) {
      if (leader.row + 1 === leader.batch.count) break;
      leader.head = leader.batch.headOf(++leader.row, prefix);
      leader = this.#resettle(leader);
      if (leader.reach === 1) {
        this.#extend(leader, reach);
        prefix = this.#prefix;
        decidedHead = decided.batch.headOf(decidedRow, prefix);
        mayPassEnd ||= span.end !== undefined && this.#reaches(span.end);
      }
      const { batch, row } = leader;
      if (batch.sequences[row]! > maxSequence) continue;
      // Whole keys: the one decided on is behind all batches, and need not begin as what is left in them does.
      if (leader.head === decidedHead && compareRows(leader, row, decided, decidedRow, 0) === 0) continue;
      span.isAhead = mayPassEnd && this.#isFrom(leader, span.end!);
      if (span.isAhead) break;
      if (batch.kinds[row] === EntryKind.Put && !span.pick(batch, row)) {
        span.isAhead = true;
        break;
      }
      decided = leader;
      decidedRow = row;
      decidedHead = leader.head;
    }
    const { batch } = decided;
    span.setKey(
      batch.keyBytes,
      batch.rows[decidedRow * ROW_FIELDS]!,
      batch.rows[decidedRow * ROW_FIELDS + 1]!,
    );
    return this.#lead(leader);
  }

  /**
   * Going forward, from a tombstone that `maxSequence` sees: moves on, past entries that show the reader nothing, and says by
   * `passed` which key it has decided on last: what has that key and comes next shows nothing either. Keys from `end` on
   * interest nobody. false: nowhere.
   */
  passDead(maxSequence: number, end: Uint8Array | undefined, passed: KeyLimit): boolean {
    const leader = this.#ranks[0]!;
    if (leader.iterator.skipDead === undefined || this.#isInterleaved(leader))
      return this.#walkDead(leader, maxSequence, passed);
    passed.clear();
    this.#limitBySecond();
    if (end !== undefined && (!limit.isThere || limit.compare(end) > 0)) limit.set(end, 0, end.length);
    leader.catchUp();
    const stands = leader.iterator.skipDead(limit);
    limit.clear();
    if (!stands) return this.#leaderEnded();
    // Many want no more than the one behind.
    leader.reach = 1;
    leader.readAhead();
    this.#renewHeads();
    return this.#lead(this.#resettle(leader));
  }

  /** Going backward, from an entry not looked at: may move on, past entries that show nothing with keys from `start` on. */
  passDeadBefore(start: Uint8Array | undefined): boolean {
    const leader = this.#ranks[0]!;
    if (leader.iterator.skipDeadBefore === undefined) return true;
    this.#limitBySecond();
    if (start !== undefined && (!limit.isThere || limit.compare(start) < 0))
      limit.set(start, 0, start.length);
    const stands = leader.iterator.skipDeadBefore(limit);
    limit.clear();
    if (!stands) return this.#leaderEnded();
    leader.readOne();
    leader.head = leader.batch.headOf(0, 0);
    return this.#lead(this.#resettle(leader));
  }

  #limitBySecond(): void {
    limit.clear();
    if (this.#size < 2) return;
    const { batch, row } = this.#ranks[1]!;
    limit.set(batch.keyBytes, batch.rows[row * ROW_FIELDS]!, batch.rows[row * ROW_FIELDS + 1]!);
  }

  /** Whether others have something between what the leader has read ahead. */
  #isInterleaved(leader: Source): boolean {
    if (this.#size < 2) return false;
    const second = this.#ranks[1]!;
    return compareRows(second, second.row, leader, leader.batch.count - 1, 0) <= 0;
  }

  /** From row to row, as far as the batches go. */
  #walkDead(leader: Source, maxSequence: number, passed: KeyLimit): boolean {
    if (leader.reach === 1) this.#extend(leader, MIN_REACH);
    let decided = leader;
    let decidedRow = leader.row;
    let decidedHead = leader.head;
    while (leader.row + 1 < leader.batch.count) {
      leader.head = leader.batch.headOf(++leader.row, this.#prefix);
      leader = this.#resettle(leader);
      if (leader.reach === 1) {
        this.#extend(leader, MAX_FIRST_REACH);
        decidedHead = decided.batch.headOf(decidedRow, this.#prefix);
      }
      const { batch, row } = leader;
      if (batch.sequences[row]! > maxSequence) continue;
      // Whole keys: the one decided on is behind all batches, and need not begin as what is left in them does.
      if (leader.head === decidedHead && compareRows(leader, row, decided, decidedRow, 0) === 0) continue;
      if (batch.kinds[row] === EntryKind.Put) break;
      decided = leader;
      decidedRow = row;
      decidedHead = leader.head;
    }
    const { keyBytes, rows } = decided.batch;
    passed.set(keyBytes, rows[decidedRow * ROW_FIELDS]!, rows[decidedRow * ROW_FIELDS + 1]!);
    // The last row of a batch was looked at, or it is the tombstone begun with: a step from there reads on.
    return this.#lead(leader);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#size = 0;
    this.#standNowhere();
    const sources = this.#sources;
    for (let i = 0; i < sources.length; i++) {
      sources[i]!.iterator.close();
      giveBack(sources[i]!.batch);
    }
  }

  #begin(direction: 1 | -1): void {
    assert(!this.#isClosed, 'seek on a closed iterator');
    this.#direction = direction;
    this.#size = 0;
    this.#prefix = 0;
  }

  #admit(source: Source): void {
    source.reach = 1;
    source.readOne();
    this.#ranks[this.#size++] = source;
  }

  /** Puts the admitted sources in order. */
  #rank(): boolean {
    if (this.#size === 0) return this.#standNowhere();
    const ranks = this.#ranks;
    if (this.#direction === 1) this.#renewHeads();
    for (let i = 0; i < this.#size; i++) {
      const source = ranks[i]!;
      if (this.#direction === -1) source.head = source.batch.headOf(0, 0);
      let place = i;
      for (; place > 0 && this.#isBefore(source, ranks[place - 1]!); place--)
        ranks[place] = ranks[place - 1]!;
      ranks[place] = source;
    }
    return this.#lead(ranks[0]!);
  }

  /** Puts the leader, which has moved, where it belongs; returns who leads now. */
  #resettle(leader: Source): Source {
    const ranks = this.#ranks;
    if (this.#size === 1 || this.#isBefore(leader, ranks[1]!)) return leader;
    let low = 2;
    let high = this.#size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isBefore(leader, ranks[middle]!)) high = middle;
      else low = middle + 1;
    }
    for (let place = 1; place < low; place++) ranks[place - 1] = ranks[place]!;
    ranks[low - 1] = leader;
    return ranks[0]!;
  }

  #leaderEnded(): boolean {
    const ranks = this.#ranks;
    const leader = ranks[0]!;
    this.#size--;
    for (let place = 0; place < this.#size; place++) ranks[place] = ranks[place + 1]!;
    ranks[this.#size] = leader;
    return this.#size === 0 ? this.#standNowhere() : this.#lead(ranks[0]!);
  }

  #lead(leader: Source): true {
    leader.batch.readRow(leader.row, this.entry);
    return true;
  }

  /** A stale read finds no bytes. */
  #standNowhere(): false {
    const { entry } = this;
    entry.keyBytes = NOTHING;
    entry.keyStart = 0;
    entry.keyEnd = 0;
    entry.valueBytes = NOTHING;
    entry.valueStart = 0;
    entry.valueEnd = 0;
    return false;
  }

  /** One step in the other direction: all children step, those that had run out re-enter from their end. */
  #turn(direction: 1 | -1): boolean {
    const standing = new Set(this.#ranks.slice(0, this.#size));
    for (const source of standing) source.catchUp();
    this.#begin(direction);
    for (const source of this.#sources) {
      const iterator = source.iterator;
      const stands =
        direction === 1
          ? standing.has(source)
            ? iterator.next()
            : iterator.seekToFirst()
          : standing.has(source)
            ? iterator.prev()
            : iterator.seekToLast();
      if (stands) this.#admit(source);
    }
    return this.#rank();
  }

  /** For a span, a source that was only just positioned reads ahead when its turn comes: in many short scans it never does. */
  #extend(source: Source, reach: number): void {
    source.reach = reach;
    source.readAhead();
    // What the first keys of all batches have in common is known: only the new last one may begin otherwise.
    const { rows, keyBytes, count } = source.batch;
    const last = (count - 1) * ROW_FIELDS;
    const prefix = sharedPrefixLength(keyBytes, rows[0]!, rows[1]!, keyBytes, rows[last]!, rows[last + 1]!);
    if (prefix < this.#prefix) this.#renewHeads();
  }

  /** What the keys have in common is known from the first and the last of each batch, as they are sorted. */
  #renewHeads(): void {
    const { batch: first, row } = this.#ranks[0]!;
    const bytes = first.keyBytes;
    const start = first.rows[row * ROW_FIELDS]!;
    let end = first.rows[row * ROW_FIELDS + 1]!;
    for (let i = 0; i < this.#size; i++) {
      const { batch, row } = this.#ranks[i]!;
      const { rows, keyBytes } = batch;
      const last = (batch.count - 1) * ROW_FIELDS;
      const at = row * ROW_FIELDS;
      if (i > 0) end = start + sharedPrefixLength(keyBytes, rows[at]!, rows[at + 1]!, bytes, start, end);
      end = start + sharedPrefixLength(keyBytes, rows[last]!, rows[last + 1]!, bytes, start, end);
    }
    this.#prefix = end - start;
    for (let i = 0; i < this.#size; i++) {
      const source = this.#ranks[i]!;
      source.head = source.batch.headOf(source.row, this.#prefix);
    }
  }

  /** Whether a batch has keys from `end` on. */
  #reaches(end: Uint8Array): boolean {
    for (let i = 0; i < this.#size; i++) {
      const { batch } = this.#ranks[i]!;
      const last = (batch.count - 1) * ROW_FIELDS;
      if (compareBytes(batch.keyBytes, batch.rows[last]!, batch.rows[last + 1]!, end, 0, end.length) >= 0)
        return true;
    }
    return false;
  }

  #isFrom({ batch, row }: Source, end: Uint8Array): boolean {
    const at = row * ROW_FIELDS;
    return compareBytes(batch.keyBytes, batch.rows[at]!, batch.rows[at + 1]!, end, 0, end.length) >= 0;
  }

  #isBefore(a: Source, b: Source): boolean {
    if (a.head !== b.head) return a.head < b.head === (this.#direction === 1);
    return compareSources(a, b, this.#prefix) * this.#direction < 0;
  }
}
