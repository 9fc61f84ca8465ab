/**
 * An index of one block's entries, in memory only, for blocks that are looked into again and again.
 *
 *   prefix       what all keys of the block begin with
 *   heads[i]     the 4 key bytes of entry i behind the prefix, as one number
 *   offsets[i]   where entry i starts
 *
 * A lookup in a block's bytes touches a cache line for every entry it walks over. With the heads side by side the right
 * entry is found in one or two lines, and its key is mostly settled by its head: the bytes behind it stand in its own diff,
 * unless the entry shares more than the head with the one before. Then, and for older versions of a key, `find` gives up
 * and the caller walks the block.
 *
 * Invariants: built from a block that decodes; gives the same answers as findInBlock (block.ts), or `undefined`.
 * Thread:     any. Immutable.
 * Not chosen: in the table's format: it would not shrink much under compression, and only blocks that stay in the cache
 *             are worth one.
 */
import { compareBytes, headOf, sharedPrefixLength } from '../bytes.ts';
import type { Entry } from '../iterator.ts';
import { type Block, EntryHeader, Found, pointAt } from './block.ts';
import { BlockIterator } from './block-iterator.ts';

const header = new EntryHeader();
const WORD_BYTES = 4;
/** Of a longer common prefix the rest belongs to the keys. */
const MAX_PREFIX_BYTES = 64;

export class BlockKeyIndex {
  /** prefix words | heads | offsets: side by side, as what a lookup costs is the cache lines that it touches. */
  readonly #words: Uint32Array;
  readonly #count: number;
  readonly #commonLength: number;

  private constructor(words: Uint32Array, count: number, commonLength: number) {
    this.#words = words;
    this.#count = count;
    this.#commonLength = commonLength;
  }

  static build(block: Block): BlockKeyIndex {
    header.readRestart(block, 0);
    const { diffStart, valueStart } = header;
    const common = Math.min(commonPrefixLength(block, diffStart, valueStart), MAX_PREFIX_BYTES);
    const words: number[] = [];
    for (let i = 0; i < common; i += WORD_BYTES)
      words.push(headOf(block.bytes, diffStart + i, diffStart + common));
    const offsets: number[] = [];
    const iterator = new BlockIterator(block);
    let offset = 0;
    for (let stands = iterator.seekToFirst(); stands; stands = iterator.next()) {
      const { keyBytes, keyEnd, valueEnd } = iterator.entry;
      words.push(headOf(keyBytes, common, keyEnd));
      offsets.push(offset);
      offset = valueEnd;
    }
    return new BlockKeyIndex(Uint32Array.from(words.concat(offsets)), offsets.length, common);
  }

  /** As findInBlock; undefined: walk the block. */
  find(block: Block, key: Uint8Array, maxSequence: number, into: Entry): Found | undefined {
    const common = this.#commonLength;
    const words = this.#words;
    if (key.length < common) return Found.Absent;
    let first = 0;
    for (let i = 0; i < common; i += WORD_BYTES)
      if (words[first++] !== headOf(key, i, common)) return Found.Absent;
    const head = headOf(key, common, key.length);
    const end = first + this.#count;
    let low = first;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (words[middle]! < head) low = middle + 1;
      else high = middle;
    }
    if (low === end || words[low] !== head) return Found.Absent;
    // Several keys with this head, or several versions of one: rare enough to walk.
    if (low + 1 === end || words[low + 1] === head) return undefined;
    return this.#check(block, words[low + this.#count]!, key, maxSequence, into);
  }

  /** Whether the entry at `offset`, the only one with the key's head, is the key. */
  #check(block: Block, offset: number, key: Uint8Array, maxSequence: number, into: Entry): Found | undefined {
    const settled = this.#commonLength + WORD_BYTES;
    header.read(block, offset, Number.MAX_SAFE_INTEGER);
    const { overlap, diffStart, valueStart } = header;
    if (overlap > settled) return undefined;
    if (overlap + valueStart - diffStart !== key.length) return Found.Absent;
    const behind = diffStart + settled - overlap;
    if (key.length > settled && compareBytes(block.bytes, behind, valueStart, key, settled, key.length) !== 0)
      return Found.Absent;
    if (header.sequence > maxSequence) return Found.Absent;
    pointAt(into, block, key, header);
    return Found.Here;
  }
}

/** Keys are sorted: what the first and the last have in common, all have. */
function commonPrefixLength(block: Block, firstStart: number, firstEnd: number): number {
  const iterator = new BlockIterator(block);
  iterator.seekToLast();
  const { keyBytes, keyEnd } = iterator.entry;
  return sharedPrefixLength(block.bytes, firstStart, firstEnd, keyBytes, 0, keyEnd);
}
