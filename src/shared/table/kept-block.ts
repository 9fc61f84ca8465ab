/**
 * A decoded block as the cache keeps it: an index of its entries and its content, side by side in the cache's memory.
 *
 *   word 0   bytes of the slot, a multiple of 64
 *        1   owner                      whose table it is of; 0: the slot is free
 *        2   index of the block         in that table
 *        3   1: looked into since the cache last came past
 *        4   number of entries, n
 *        5   length of the prefix       that all keys of the block begin with, up to 64 bytes
 *        6   length of the content
 *        7   -
 *        8   prefix                     ceil(length / 4) words, big-endian, zero-padded
 *        ..  heads[n]                   the 4 key bytes behind the prefix, as one number in key order
 *        ..  offsets[n]                 where the entry starts in the content
 *        ..  content                    see format.ts
 *
 * What a lookup in memory costs is the cache lines that it touches. In the content alone it would touch one for every entry
 * it walks over; with the heads side by side the right entry is found in two or three, and its key is mostly settled by its
 * head: the bytes behind it stand in its own diff, unless the entry shares more than the head with the one before. Then,
 * and for older versions of a key, `findInSlot` gives up and the caller walks the block.
 *
 * Invariants: built from a block that decodes, which walking all of it has shown, so entries are not checked again; gives
 *             the same answers as findInBlock (block.ts), or `undefined`.
 * Thread:     the cache's.
 * Not chosen: objects and arrays per block: a lookup touched a dozen cache lines, half of them to find the others, and the
 *             garbage collector had to carry every block away (measured: 1.7 us against 1.1 for keys at random).
 *             The index in the table's format: it would not shrink much under compression, and only blocks that stay in
 *             the cache are worth one.
 */
import { compareBytes, headOf, VarintReader } from '../base/bytes.ts';
import type { Entry } from '../base/entry.ts';
import { type Block, Found } from './block.ts';
import { type BlockIndex, indexInWasm, indexLength, prefixWords, SlowBlockIndex } from './block-index.ts';

export const SLOT_BYTES = 0;
export const SLOT_OWNER = 1;
export const SLOT_INDEX = 2;
export const SLOT_USED = 3;
const ENTRY_COUNT = 4;
const PREFIX_LENGTH = 5;
const CONTENT_LENGTH = 6;
const HEADER_WORDS = 8;

const WORD_BYTES = 4;
/** Slots begin on cache lines. */
export const SLOT_UNIT = 64;
/** Of a longer common prefix the rest belongs to the keys. */
const MAX_PREFIX_BYTES = 64;

/** Words of the cache line, and how many of a slot's first lines a lookup asks for at once. */
const LINE_WORDS: number = SLOT_UNIT / WORD_BYTES;
const TOUCHED_LINES = 6;

/** A piece of the cache's memory. */
export interface Segment {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
  /** Whatever was read ahead of its use last: kept, or no compiler would read it. */
  touched: number;
}

/** The index of one block on its way into a slot; reused for one block after the other. */
export class KeptBlockBuilder {
  readonly #slow = new SlowBlockIndex();
  #index: BlockIndex = this.#slow;
  #content: Uint8Array = new Uint8Array(0);

  /** Reads all of `block`, and returns the bytes of the slot it needs. Throws CorruptionError when it doesn't decode. */
  prepare(block: Block): number {
    this.#index = indexInWasm(block, MAX_PREFIX_BYTES) ?? this.#slow.make(block, MAX_PREFIX_BYTES);
    this.#content = block.bytes;
    const words = HEADER_WORDS + indexLength(this.#index);
    return roundUp(words * WORD_BYTES + block.bytes.length);
  }

  /**
   * Fills the slot at `word` of `segment` with the block prepared last. Requires: nothing else has used the module of
   * WebAssembly in between.
   */
  write(segment: Segment, word: number, slotBytes: number, owner: number, index: number): void {
    const { words } = segment;
    const { words: made, start, count, prefixLength } = this.#index;
    words[word + SLOT_BYTES] = slotBytes;
    words[word + SLOT_OWNER] = owner;
    words[word + SLOT_INDEX] = index;
    words[word + SLOT_USED] = 0;
    words[word + ENTRY_COUNT] = count;
    words[word + PREFIX_LENGTH] = prefixLength;
    words[word + CONTENT_LENGTH] = this.#content.length;
    const to = word + HEADER_WORDS;
    const length = indexLength(this.#index);
    words.set(made.subarray(start, start + length), to);
    segment.bytes.set(this.#content, (to + length) * WORD_BYTES);
  }
}

/** A copy of the content in the slot at `word`, in memory that `take` gives. */
export function copyContent(
  segment: Segment,
  word: number,
  take: (length: number) => Uint8Array,
): Uint8Array {
  const { words, bytes } = segment;
  const start = contentStart(words, word);
  const length = words[word + CONTENT_LENGTH]!;
  const copy = take(length);
  copy.set(bytes.subarray(start, start + length));
  return copy;
}

/**
 * As findInBlock, for the block in the slot at `word`, whose entries count their sequences from `baseSequence`; undefined:
 * walk the block. What `into` points to is valid until the cache takes the next block.
 */
export function findInSlot(
  segment: Segment,
  word: number,
  key: Uint8Array,
  maxSequence: number,
  baseSequence: number,
  into: Entry,
): Found | undefined {
  touchSlot(segment, word);
  const position = positionInSlot(segment, word, key);
  return readPosition(segment, word, position, key, maxSequence, baseSequence, into);
}

/** What positionInSlot says beside a position: no entry has these first bytes; several have. */
const NOWHERE = -1;
const UNSURE = -2;

/** The first half of {@link findInSlot}: where the only entry is that may be of `key`, or below 0. */
export function positionInSlot(segment: Segment, word: number, key: Uint8Array): number {
  const { words } = segment;
  const common = words[word + PREFIX_LENGTH]!;
  if (key.length < common) return NOWHERE;
  let first = word + HEADER_WORDS;
  for (let i = 0; i < common; i += WORD_BYTES) if (words[first++] !== headOf(key, i, common)) return NOWHERE;
  const head = headOf(key, common, key.length);
  const count = words[word + ENTRY_COUNT]!;
  const end = first + count;
  let low = first;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (words[middle]! < head) low = middle + 1;
    else high = middle;
  }
  if (low === end || words[low] !== head) return NOWHERE;
  // Several keys with this head, or several versions of one: rare enough to walk.
  if (low + 1 === end || words[low + 1] === head) return UNSURE;
  return (end + count) * WORD_BYTES + words[low + count]!;
}

/** Asks memory for the entry at `position`, if there is one. */
export function touchPosition(segment: Segment, position: number): void {
  if (position < 0) return;
  const { bytes } = segment;
  const last = bytes.length - 1;
  segment.touched =
    bytes[position]! ^
    bytes[Math.min(position + SLOT_UNIT, last)]! ^
    bytes[Math.min(position + 2 * SLOT_UNIT, last)]!;
}

/** The second half of {@link findInSlot}. */
export function readPosition(
  segment: Segment,
  word: number,
  position: number,
  key: Uint8Array,
  maxSequence: number,
  baseSequence: number,
  into: Entry,
): Found | undefined {
  if (position === NOWHERE) return Found.Absent;
  if (position === UNSURE) return undefined;
  const settled = segment.words[word + PREFIX_LENGTH]! + WORD_BYTES;
  return check(segment.bytes, position, settled, key, maxSequence, baseSequence, into);
}

/**
 * Asks memory for the lines of the index at once. The search would ask for one after the other, each when the one before is
 * there: four trips instead of one (measured: 0.1 us of a lookup of 1.0).
 */
export function touchSlot(segment: Segment, word: number): void {
  const { words } = segment;
  if (word + TOUCHED_LINES * LINE_WORDS > words.length) return;
  const second = words[word + LINE_WORDS]! ^ words[word + 2 * LINE_WORDS]!;
  segment.touched =
    second ^ words[word + 3 * LINE_WORDS]! ^ words[word + 4 * LINE_WORDS]! ^ words[word + 5 * LINE_WORDS]!;
}

const varint = new VarintReader();

/** Whether the entry at `position`, the only one that has the first `settled` bytes of the key, is the key. */
function check(
  bytes: Uint8Array,
  position: number,
  settled: number,
  key: Uint8Array,
  maxSequence: number,
  baseSequence: number,
  into: Entry,
): Found | undefined {
  let overlap = bytes[position]!;
  let diffLength = bytes[position + 1]!;
  let valueLength = bytes[position + 2]!;
  let at = position + 3;
  if ((overlap | diffLength | valueLength) >= 128) {
    at = varint.read(bytes, position, bytes.length);
    overlap = varint.value;
    at = varint.read(bytes, at, bytes.length);
    diffLength = varint.value;
    at = varint.read(bytes, at, bytes.length);
    valueLength = varint.value;
  }
  const kind = bytes[at++]!;
  let delta = bytes[at++]!;
  if (delta >= 128) {
    at = varint.read(bytes, at - 1, bytes.length);
    delta = varint.value;
  }
  if (overlap > settled) return undefined;
  if (overlap + diffLength !== key.length) return Found.Absent;
  const valueStart = at + diffLength;
  const behind = at + settled - overlap;
  if (key.length > settled && compareBytes(bytes, behind, valueStart, key, settled, key.length) !== 0)
    return Found.Absent;
  const sequence = baseSequence + delta;
  if (sequence > maxSequence) return Found.Absent;
  into.keyBytes = key;
  into.keyStart = 0;
  into.keyEnd = key.length;
  into.valueBytes = bytes;
  into.valueStart = valueStart;
  into.valueEnd = valueStart + valueLength;
  into.sequence = sequence;
  into.kind = kind;
  return Found.Here;
}

function contentStart(words: Uint32Array, word: number): number {
  return (
    (word + HEADER_WORDS + prefixWords(words[word + PREFIX_LENGTH]!) + 2 * words[word + ENTRY_COUNT]!) *
    WORD_BYTES
  );
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / SLOT_UNIT) * SLOT_UNIT;
}
