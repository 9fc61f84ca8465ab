/**
 * A span: the entry that a block iterator stands on and those right behind it that are handed out as they are, decoded in one
 * go. So a scan asks the chain of its iterators once per block instead of once per entry.
 *
 *   row   overlap | start of the diff | start of the value = end of the diff | end of the value
 *
 * Only the plain case is part of a span, which ends before
 *   - a tombstone, an entry above the sequence, another version of the key before it: these take the long way
 *   - a large key or value, which gets memory of its own
 *   - the first key at or above the bound, the end of the range
 *
 * Whether a key is below the bound is known without building it: see block.ts on `matched`.
 *
 * Invariants: row 0 is the entry stood on, with its whole key in `keyBytes`. Nothing moves before `land`.
 * Lifetime:   a span is filled, taken and landed within one synchronous call; `clear` lets go of the block.
 */
import { compareBytes, sharedPrefixLength } from '../base/bytes.ts';
import { type Entry, EntryKind } from '../base/entry.ts';
import type { InternalIterator } from '../base/iterator.ts';
import { type Block, EntryHeader } from './block.ts';

/** From here on keys and values get memory of their own when they are handed out. */
export const LARGE_BYTES = 2048;
export const ROW_FIELDS = 4;
const MAX_ROWS = 256;
const NOTHING = new Uint8Array(0);
const header = new EntryHeader();

/** Where a span lands: the iterator over its block. */
interface Landing {
  skipTo(offset: number, key: Uint8Array, start: number, end: number): void;
}

/** An iterator that can be asked for spans where its entries lie in blocks. */
export interface SpanIterator extends InternalIterator {
  /**
   * Going forward: decodes the entry it stands on and those behind it into `span`, without moving; false when there is no
   * span to be had. Landing the span moves the iterator. Missing where entries don't lie in blocks.
   */
  lookAhead?(span: BlockSpan): boolean;
}

export class BlockSpan {
  readonly rows: Int32Array = new Int32Array(MAX_ROWS * ROW_FIELDS);
  count = 0;
  /** Empty for want of room, and for nothing else. */
  isCramped = false;
  /** Of the block. */
  bytes: Uint8Array = NOTHING;
  /** The key of row 0: the first `keyLength` of these bytes. */
  keyBytes: Uint8Array = NOTHING;
  keyLength = 0;
  #iterator: Landing | undefined;
  #maxRows = 0;
  #maxBytes = 0;
  #maxSequence = 0;
  #hasBound = false;
  #boundBytes: Uint8Array = NOTHING;
  #boundStart = 0;
  #boundEnd = 0;

  /** Begins an empty span: at most `maxRows` (> 0) entries that take at most `maxBytes`, with sequences up to `maxSequence`. */
  begin(maxRows: number, maxBytes: number, maxSequence: number): void {
    this.count = 0;
    this.isCramped = false;
    this.#maxRows = maxRows < MAX_ROWS ? maxRows : MAX_ROWS;
    this.#maxBytes = maxBytes;
    this.#maxSequence = maxSequence;
    this.#hasBound = false;
  }

  /** Keys from this one on are not part of the span. */
  boundBy(bytes: Uint8Array, start: number, end: number): void {
    if (
      this.#hasBound &&
      compareBytes(bytes, start, end, this.#boundBytes, this.#boundStart, this.#boundEnd) >= 0
    )
      return;
    this.#hasBound = true;
    this.#boundBytes = bytes;
    this.#boundStart = start;
    this.#boundEnd = end;
  }

  /** Decodes from `current`, where `iterator` stands in `block`. Leaves the span empty when not even that one is plain. */
  fill(block: Block, iterator: Landing, current: Entry): void {
    const { keyEnd, valueStart, valueEnd } = current;
    let used = keyEnd + valueEnd - valueStart;
    if (keyEnd >= LARGE_BYTES || valueEnd - valueStart >= LARGE_BYTES) return;
    this.isCramped = used > this.#maxBytes;
    if (this.isCramped) return;
    this.#iterator = iterator;
    this.bytes = block.bytes;
    this.keyBytes = current.keyBytes;
    this.keyLength = keyEnd;
    const rows = this.rows;
    rows[0] = 0;
    rows[1] = 0;
    rows[2] = valueStart;
    rows[3] = valueEnd;
    let matched = this.#matchFirst();
    let previousLength = keyEnd;
    let at = ROW_FIELDS;
    const end = matched < 0 ? 0 : this.#maxRows * ROW_FIELDS;
    for (let offset = valueEnd; at < end && offset < block.entriesEnd; offset = header.valueEnd) {
      header.read(block, offset, previousLength);
      const overlap = header.overlap;
      const keyLength = overlap + header.valueStart - header.diffStart;
      used += header.valueEnd - offset + keyLength;
      if (used > this.#maxBytes || !this.#isPlain(keyLength)) break;
      if (keyLength === previousLength && this.#mayRepeat(at, overlap, keyLength)) break;
      if (this.#hasBound && overlap <= matched) {
        matched = this.#match(overlap, keyLength);
        if (matched < 0) break;
      }
      rows[at] = overlap;
      rows[at + 1] = header.diffStart;
      rows[at + 2] = header.valueStart;
      rows[at + 3] = header.valueEnd;
      at += ROW_FIELDS;
      previousLength = keyLength;
    }
    this.count = at / ROW_FIELDS;
  }

  /** Moves the iterator to the last row, whose key is bytes[start, end). */
  land(bytes: Uint8Array, start: number, end: number): void {
    if (this.count > 1)
      this.#iterator?.skipTo(this.rows[(this.count - 1) * ROW_FIELDS - 1]!, bytes, start, end);
  }

  /** Lets go of the block. */
  clear(): void {
    this.count = 0;
    this.#iterator = undefined;
    this.bytes = NOTHING;
    this.keyBytes = NOTHING;
    this.#boundBytes = NOTHING;
  }

  #isPlain(keyLength: number): boolean {
    return (
      header.kind === EntryKind.Put &&
      header.sequence <= this.#maxSequence &&
      keyLength < LARGE_BYTES &&
      header.valueEnd - header.valueStart < LARGE_BYTES
    );
  }

  /** Whether the header's key, as long as the one before, might be the same. The row before is the one that ends at `at`. */
  #mayRepeat(at: number, overlap: number, keyLength: number): boolean {
    if (overlap > 0 || keyLength === 0) return overlap === keyLength;
    // A restart says nothing about the key before it, of which only the diff is at hand.
    const isFirst = at === ROW_FIELDS;
    const bytes = isFirst ? this.keyBytes : this.bytes;
    const from = this.rows[at - ROW_FIELDS]!;
    const start = isFirst ? 0 : this.rows[at - ROW_FIELDS + 1]!;
    const length = keyLength - from;
    return (
      sharedPrefixLength(
        this.bytes,
        header.diffStart + from,
        header.valueStart,
        bytes,
        start,
        start + length,
      ) === length
    );
  }

  /** How many bytes the key of row 0 shares with the bound; -1 when it isn't below it. */
  #matchFirst(): number {
    if (!this.#hasBound) return 0;
    const { keyBytes, keyLength } = this;
    const bound = this.#boundBytes;
    const start = this.#boundStart;
    const matched = sharedPrefixLength(keyBytes, 0, keyLength, bound, start, this.#boundEnd);
    if (start + matched === this.#boundEnd) return -1;
    return matched < keyLength && keyBytes[matched]! > bound[start + matched]! ? -1 : matched;
  }

  /** The same for the header's key, of which the first `overlap` bytes are known to be the bound's. */
  #match(overlap: number, keyLength: number): number {
    const bytes = this.bytes;
    const bound = this.#boundBytes;
    const start = this.#boundStart;
    const { diffStart, valueStart } = header;
    const matched =
      overlap + sharedPrefixLength(bytes, diffStart, valueStart, bound, start + overlap, this.#boundEnd);
    if (start + matched === this.#boundEnd) return -1;
    return matched < keyLength && bytes[diffStart + matched - overlap]! > bound[start + matched]!
      ? -1
      : matched;
  }
}
