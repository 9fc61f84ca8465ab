/**
 * Walks the entries of one block, in both directions.
 *
 * Forwards, a key is rebuilt from the one before. Backwards, the interval between two restarts is decoded once into
 * `rows` (offset, overlap and start of the diff of each entry); the key of row j - 1 keeps the bytes it shares with
 * the key of row j, and takes the others from the diffs of itself and, rarely, of rows before it.
 *
 * Invariants: `entry.keyBytes` is this iterator's own buffer, `entry.valueBytes` the block. Arbitrary bytes give
 *             CorruptionError; every move is bounded by the size of an interval.
 * Lifetime: see iterator.ts. `reset` moves the iterator to another block and leaves it on no entry; `close` lets go of the
 *           block, and the iterator may be reset again.
 * Thread: the one that made it.
 * Not chosen: keeping whole keys of the interval for `prev`: damaged blocks could ask for gigabytes of them.
 */
import { compareBytes, copyInto, sharedPrefixLength } from '../base/bytes.ts';
import { Entry } from '../base/entry.ts';
import { ROW_FIELDS as BATCH_FIELDS, type EntryBatch } from '../base/entry-batch.ts';
import { type Block, EntryHeader, findRestart } from './block.ts';
import { fillBatch } from './block-batch.ts';
import type { BlockSpan, SpanIterator } from './block-span.ts';
import { MAX_RESTART_INTERVAL } from './format.ts';

const ROW_FIELDS = 3;
/** Grows as needed; short scans should not pay for long keys. */
const INITIAL_KEY_BYTES = 48;
/** Room for longer keys than this is not kept by an iterator that is idle. */
const MAX_IDLE_KEY_BYTES = 1024;
const NOTHING = new Uint8Array(0);

export class BlockIterator implements SpanIterator {
  readonly entry: Entry = new Entry();
  readonly #header = new EntryHeader();
  #block: Block | undefined;
  /** Where the current entry starts; -1 = on no entry. */
  #offset = -1;
  #key: Uint8Array = new Uint8Array(INITIAL_KEY_BYTES);
  #keyLength = 0;
  /** Offset, overlap and start of the diff of each entry of an interval, made at the first step backwards. */
  #rows: Uint32Array | undefined;
  #restart = 0;
  /** The row of the current entry; -1 after a step forwards. */
  #row = -1;

  constructor(block?: Block) {
    this.entry.keyBytes = this.#key;
    if (block !== undefined) this.reset(block);
  }

  reset(block: Block): void {
    this.#block = block;
    this.entry.valueBytes = block.bytes;
    this.#offset = -1;
  }

  seekToFirst(): boolean {
    this.#keyLength = 0;
    this.#step(this.#current(), 0);
    return true;
  }

  next(): boolean {
    const block = this.#current();
    const offset = this.entry.valueEnd;
    if (offset >= block.entriesEnd) {
      this.#offset = -1;
      return false;
    }
    this.#step(block, offset);
    return true;
  }

  /** As in block.ts, no key is built on the way: the one it lands on begins as the target does, as far as it overlaps. */
  seek(key: Uint8Array): boolean {
    const block = this.#current();
    const header = this.#header;
    const bytes = block.bytes;
    let offset = block.restartOffset(findRestart(block, key, Number.POSITIVE_INFINITY));
    let keyLength = 0;
    for (let matched = 0; ; offset = header.valueEnd) {
      if (offset >= block.entriesEnd) {
        this.#offset = -1;
        return false;
      }
      header.read(block, offset, keyLength);
      const { overlap, diffStart, valueStart } = header;
      keyLength = overlap + valueStart - diffStart;
      if (overlap > matched) continue;
      matched = overlap + sharedPrefixLength(bytes, diffStart, valueStart, key, overlap, key.length);
      if (matched === key.length) break;
      if (matched < keyLength && bytes[diffStart + matched - overlap]! > key[matched]!) break;
    }
    if (header.overlap > this.#key.length) this.#growKey(header.overlap);
    copyInto(this.#key, 0, key, 0, header.overlap);
    this.#stand(block, offset);
    return true;
  }

  /** Decodes the entry it stands on and those behind it into `span`. */
  lookAhead(span: BlockSpan): boolean {
    if (this.#offset < 0) return false;
    span.fill(this.#current(), this, this.entry);
    return span.count > 0;
  }

  readBatch(batch: EntryBatch, maxRows: number): void {
    if (this.#offset < 0) throw new Error('assertion failed: a batch is read where the iterator stands');
    fillBatch(this.#current(), this.entry, batch, maxRows);
  }

  moveTo({ rows, refs, keyBytes }: EntryBatch, row: number): void {
    if (row === 0) return;
    const at = row * BATCH_FIELDS;
    this.skipTo(refs[row]!, keyBytes, rows[at]!, rows[at + 1]!);
  }

  /** Stands on the entry at `offset`, whose key is key[start, end): a row of a span or a batch. */
  skipTo(offset: number, key: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#header.read(this.#current(), offset, length);
    if (length > this.#key.length) this.#growKey(length);
    copyInto(this.#key, 0, key, start, end);
    this.#offset = offset;
    this.#row = -1;
    this.#keyLength = length;
    this.#publish(this.#header);
  }

  seekToLast(): boolean {
    const block = this.#current();
    return this.#landAtEndOf(block, block.restartCount - 1, block.entriesEnd);
  }

  seekBefore(key: Uint8Array): boolean {
    const block = this.#current();
    const restart = findRestart(block, key, Number.POSITIVE_INFINITY);
    const end = restart + 1 < block.restartCount ? block.restartOffset(restart + 1) : block.entriesEnd;
    let offset = block.restartOffset(restart);
    this.#keyLength = 0;
    while (offset < end) {
      this.#step(block, offset);
      if (compareBytes(this.#key, 0, this.#keyLength, key, 0, key.length) >= 0) break;
      offset = this.entry.valueEnd;
    }
    this.#offset = -1;
    if (offset === block.restartOffset(restart)) return false;
    return this.#landAtEndOf(block, restart, offset);
  }

  prev(): boolean {
    const block = this.#current();
    if (this.#row > 0) {
      const shared = this.#rows![this.#row * ROW_FIELDS + 1]!;
      this.#land(block, this.#row - 1, shared);
      return true;
    }
    const offset = this.#offset;
    if (offset === 0) {
      this.#offset = -1;
      return false;
    }
    const restart = this.#row === 0 ? this.#restart - 1 : lastRestartBefore(block, offset);
    return this.#landAtEndOf(block, restart, offset);
  }

  close(): void {
    this.#block = undefined;
    this.#offset = -1;
    this.entry.valueBytes = NOTHING;
    if (this.#key.length > MAX_IDLE_KEY_BYTES) {
      this.#key = new Uint8Array(INITIAL_KEY_BYTES);
      this.entry.keyBytes = this.#key;
    }
  }

  #current(): Block {
    if (this.#block === undefined) throw new Error('assertion failed: block iterator without a block');
    return this.#block;
  }

  /** Stands on the entry at `offset`; the key buffer holds the key before it. */
  #step(block: Block, offset: number): void {
    this.#header.read(block, offset, this.#keyLength);
    this.#stand(block, offset);
  }

  /** Stands on the entry at `offset`, which the header holds; the key buffer has the bytes of its overlap. */
  #stand(block: Block, offset: number): void {
    const header = this.#header;
    this.#offset = offset;
    this.#row = -1;
    const keyLength = header.overlap + header.valueStart - header.diffStart;
    if (keyLength > this.#key.length) this.#growKey(keyLength);
    copyInto(this.#key, header.overlap, block.bytes, header.diffStart, header.valueStart);
    this.#keyLength = keyLength;
    this.#publish(header);
  }

  #publish(header: EntryHeader): void {
    const entry = this.entry;
    entry.keyEnd = this.#keyLength;
    entry.valueStart = header.valueStart;
    entry.valueEnd = header.valueEnd;
    entry.sequence = header.sequence;
    entry.kind = header.kind;
  }

  /** Decodes the entries from `restart` up to the offset `end`, and stands on the last of them. */
  #landAtEndOf(block: Block, restart: number, end: number): boolean {
    this.#rows ??= new Uint32Array(MAX_RESTART_INTERVAL * ROW_FIELDS);
    const rows = this.#rows;
    const header = this.#header;
    let count = 0;
    let keyLength = 0;
    for (let offset = block.restartOffset(restart); offset < end; offset = header.valueEnd) {
      if (count === MAX_RESTART_INTERVAL) throw block.corrupt('too many entries between two restarts');
      header.read(block, offset, keyLength);
      keyLength = header.overlap + header.valueStart - header.diffStart;
      rows[count * ROW_FIELDS] = offset;
      rows[count * ROW_FIELDS + 1] = header.overlap;
      rows[count * ROW_FIELDS + 2] = header.diffStart;
      count++;
    }
    if (count === 0 || header.valueEnd !== end) throw block.corrupt('restart is not where an entry starts');
    this.#restart = restart;
    this.#land(block, count - 1, 0);
    return true;
  }

  /** Stands on `row`, of whose key the buffer already holds the first `known` bytes. */
  #land(block: Block, row: number, known: number): void {
    const rows = this.#rows!;
    const header = this.#header;
    const offset = rows[row * ROW_FIELDS]!;
    // The rows were checked when they were decoded, so no key length is needed to check this one again.
    header.read(block, offset, rows[row * ROW_FIELDS + 1]!);
    this.#keyLength = header.overlap + header.valueStart - header.diffStart;
    if (this.#keyLength > this.#key.length) this.#growKey(this.#keyLength);
    let missingEnd = this.#keyLength;
    for (let i = row; missingEnd > known; i--) {
      const overlap = rows[i * ROW_FIELDS + 1]!;
      if (overlap >= missingEnd) continue;
      const from = Math.max(overlap, known);
      const diffStart = rows[i * ROW_FIELDS + 2]! - overlap;
      copyInto(this.#key, from, block.bytes, diffStart + from, diffStart + missingEnd);
      missingEnd = from;
    }
    this.#offset = offset;
    this.#row = row;
    this.#publish(header);
  }

  #growKey(length: number): void {
    const grown = new Uint8Array(length * 2);
    grown.set(this.#key);
    this.#key = grown;
    this.entry.keyBytes = grown;
  }
}

/** The restart whose interval holds the entry before the one at `offset` (> 0). */
function lastRestartBefore(block: Block, offset: number): number {
  let low = 0;
  let high = block.restartCount - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (block.restartOffset(middle) < offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
