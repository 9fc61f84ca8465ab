/**
 * The content of a data block, in memory: entries, restart offsets, and the search for one key. See format.ts for the
 * bytes; block-iterator.ts walks them.
 *
 * Searching never builds a key. While walking from a restart, `matched` is how many leading bytes the target shares
 * with the entry before, which is smaller than the target; the stored overlap then decides nearly everything:
 *
 *   overlap > matched    differs from the target where the entry before did: still smaller
 *   overlap < matched    differs from the entry before inside the matched bytes: larger, the target is not here
 *   overlap = matched    compare diff with the rest of the target
 *
 * Invariants: a Block's bytes are immutable and its own. Arbitrary bytes give CorruptionError, never a read outside
 *             the block, and every step moves on by at least one byte.
 * Thread: any; the scratch header below is used within one synchronous call.
 * Not chosen: a hash index inside the block. 16 short steps cost less than the cache misses of a probe.
 */
import { compareBytes, readU32, sharedPrefixLength, VarintReader } from '../base/bytes.ts';
import { type Entry, EntryKind, MAX_KIND } from '../base/entry.ts';
import { CorruptionError } from '../base/errors.ts';
import { EXPIRY_BYTES } from '../base/expiry.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { U32_BYTES } from './format.ts';

export class Block {
  readonly bytes: Uint8Array;
  /** Entries lie in [0, entriesEnd), restart offsets behind them. */
  readonly entriesEnd: number;
  readonly restartCount: number;
  readonly baseSequence: number;
  /** The table's path and this block's offset in it: what errors name. */
  readonly file: string;
  readonly fileOffset: number;

  constructor(bytes: Uint8Array, baseSequence: number, file: string, fileOffset: number) {
    this.bytes = bytes;
    this.baseSequence = baseSequence;
    this.file = file;
    this.fileOffset = fileOffset;
    const length = bytes.length;
    this.restartCount = length < U32_BYTES ? 0 : readU32(bytes, length - U32_BYTES);
    this.entriesEnd = length - (this.restartCount + 1) * U32_BYTES;
    if (this.restartCount === 0 || this.entriesEnd <= 0) throw this.corrupt('block has no entries');
    if (this.restartOffset(0) !== 0) throw this.corrupt('first restart is not the first entry');
  }

  restartOffset(index: number): number {
    const offset = readU32(this.bytes, this.entriesEnd + index * U32_BYTES);
    if (offset >= this.entriesEnd) throw this.corrupt('restart lies outside the entries');
    return offset;
  }

  corrupt(message: string): CorruptionError {
    return new CorruptionError(message, { file: this.file, offset: this.fileOffset });
  }
}

const varint = new VarintReader();

/** One entry's header, decoded in place. */
export class EntryHeader {
  overlap = 0;
  kind = 0;
  sequence = 0;
  /** The diff lies in [diffStart, valueStart), the value in [valueStart, valueEnd). */
  diffStart = 0;
  valueStart = 0;
  /** Also where the next entry starts. */
  valueEnd = 0;

  /** Decodes the entry at `offset`, whose predecessor's key has `previousKeyLength` bytes. */
  read(block: Block, offset: number, previousKeyLength: number): void {
    const bytes = block.bytes;
    const end = block.entriesEnd;
    let overlap = bytes[offset]!;
    let diffLength = bytes[offset + 1]!;
    let valueLength = bytes[offset + 2]!;
    let position = offset + 3;
    // Restarts follow the entries, so three bytes are there; bounds are checked once, below.
    if ((overlap | diffLength | valueLength) >= 128) {
      position = readLength(block, offset);
      overlap = varint.value;
      position = readLength(block, position);
      diffLength = varint.value;
      position = readLength(block, position);
      valueLength = varint.value;
    }
    const kind = bytes[position++]!;
    let delta = bytes[position++]!;
    if (delta >= 128) {
      position = readLength(block, position - 1);
      delta = varint.value;
    }
    this.overlap = overlap;
    this.kind = kind;
    this.sequence = block.baseSequence + delta;
    this.diffStart = position;
    this.valueStart = position + diffLength;
    this.valueEnd = position + diffLength + valueLength;
    if (this.valueEnd > end) throw block.corrupt('entry runs past the end of its block');
    if (overlap > previousKeyLength) throw block.corrupt('entry shares more than the key before it has');
    if (overlap + diffLength > MAX_KEY_BYTES) throw block.corrupt('entry has a key longer than keys may be');
    if (kind > EntryKind.Put) checkKind(block, kind, valueLength);
    if (this.sequence > Number.MAX_SAFE_INTEGER)
      throw block.corrupt('entry has an impossible sequence number');
  }

  /** Decodes the entry a restart points to, whose diff is its whole key. */
  readRestart(block: Block, index: number): number {
    const offset = block.restartOffset(index);
    // No key before it: any overlap is refused.
    this.read(block, offset, 0);
    return offset;
  }
}

/** Those beyond puts and deletes. */
function checkKind(block: Block, kind: number, valueLength: number): void {
  if (kind > MAX_KIND || kind === EntryKind.RangeDelete) throw block.corrupt('entry is of an unknown kind');
  if (kind === EntryKind.ExpiringPut && valueLength < EXPIRY_BYTES)
    throw block.corrupt('entry does not say when it expires');
}

function readLength(block: Block, position: number): number {
  const after = varint.read(block.bytes, position, block.entriesEnd);
  if (after < 0) throw block.corrupt('entry has a malformed length');
  return after;
}

const header = new EntryHeader();

/**
 * The last restart whose entry comes before (key, maxSequence) in entry order, or is it; 0 when there is none. With
 * maxSequence Infinity: the last restart whose key is below `key`.
 */
export function findRestart(block: Block, key: Uint8Array, maxSequence: number): number {
  let low = 0;
  let high = block.restartCount - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    header.readRestart(block, middle);
    const order = compareBytes(block.bytes, header.diffStart, header.valueStart, key, 0, key.length);
    if (order < 0 || (order === 0 && header.sequence >= maxSequence)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** What {@link findInBlock} can say. `Beyond`: not in this block, but versions of the key may go on in the next. */
export const Found = { Absent: 0, Here: 1, Beyond: 2 } as const;
export type Found = (typeof Found)[keyof typeof Found];

/** Looks for the newest entry of exactly `key` with sequence <= maxSequence, and points `into` at it. */
export function findInBlock(block: Block, key: Uint8Array, maxSequence: number, into: Entry): Found {
  const restart = findRestart(block, key, maxSequence);
  const bytes = block.bytes;
  let offset = header.readRestart(block, restart);
  // Restarts say nothing about the entry before them: `matched` starts over at each of them with 0.
  let nextRestart = restart + 1 < block.restartCount ? block.restartOffset(restart + 1) : block.entriesEnd;
  let matched = 0;
  let isEqual = false;
  let keyLength = 0;
  for (let r = restart; ; ) {
    const overlap = header.overlap;
    keyLength = overlap + header.valueStart - header.diffStart;
    if (overlap < matched) return Found.Absent;
    if (overlap === matched) {
      matched += sharedPrefixLength(bytes, header.diffStart, header.valueStart, key, matched, key.length);
      isEqual = matched === key.length && keyLength === matched;
      if (!isEqual && isAbove(bytes, keyLength, key, matched)) return Found.Absent;
      if (isEqual && header.sequence <= maxSequence) {
        pointAt(into, block, key, header);
        return Found.Here;
      }
    }
    offset = header.valueEnd;
    if (offset >= block.entriesEnd) return isEqual ? Found.Beyond : Found.Absent;
    if (offset >= nextRestart) {
      if (offset > nextRestart) throw block.corrupt('restart is not where an entry starts');
      r++;
      nextRestart = r + 1 < block.restartCount ? block.restartOffset(r + 1) : block.entriesEnd;
      matched = 0;
      keyLength = 0;
    }
    header.read(block, offset, keyLength);
  }
}

/** Whether the header's key, which shares exactly `matched` bytes with `key` and isn't equal, is the larger one. */
function isAbove(bytes: Uint8Array, keyLength: number, key: Uint8Array, matched: number): boolean {
  if (matched === key.length) return true;
  if (matched === keyLength) return false;
  return bytes[header.diffStart + matched - header.overlap]! > key[matched]!;
}

/** Makes `into` the entry that `at` decoded, whose key is `key`. */
function pointAt(into: Entry, block: Block, key: Uint8Array, at: EntryHeader): void {
  into.keyBytes = key;
  into.keyStart = 0;
  into.keyEnd = key.length;
  into.valueBytes = block.bytes;
  into.valueStart = at.valueStart;
  into.valueEnd = at.valueEnd;
  into.sequence = at.sequence;
  into.kind = at.kind;
}
