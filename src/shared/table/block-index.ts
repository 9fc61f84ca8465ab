/**
 * The index of a block's entries that the cache keeps with it (kept-block.ts): what all keys begin with, the four bytes of each
 * behind that, and where the entries are.
 *
 *   words[start ..]   prefix   ceil(length / 4) words, big-endian, zero-padded
 *                     heads[count]
 *                     offsets[count]
 *
 * A cache that fills makes one for each block that is looked up. Of 4 KiB: in WebAssembly 1.3 us, in TypeScript 2.6 when it is
 * compiled, and some 10 in a process that has just begun.
 *
 * Invariants: made of a block all of whose entries decode.
 * Thread:     any.
 */
import { headOf, sharedPrefixLength } from '../base/bytes.ts';
import { type BlockIndex, blockModule } from '../wasm/block-module.ts';
import type { Block } from './block.ts';
import { BlockIterator } from './block-iterator.ts';

export type { BlockIndex };

const WORD_BYTES = 4;

/** Words that a prefix takes. */
export function prefixWords(prefixLength: number): number {
  return Math.ceil(prefixLength / WORD_BYTES);
}

/** Words of the whole index. */
export function indexLength({ prefixLength, count }: BlockIndex): number {
  return prefixWords(prefixLength) + 2 * count;
}

/**
 * Of a longer common prefix than `maxPrefix` the rest belongs to the keys. Valid until WebAssembly is used again; undefined: ask
 * {@link SlowBlockIndex}.
 */
export function indexInWasm(block: Block, maxPrefix: number): BlockIndex | undefined {
  const module = blockModule();
  const largestDelta = Number.MAX_SAFE_INTEGER - block.baseSequence;
  return module?.index(block.bytes, largestDelta, maxPrefix) ? module.blockIndex : undefined;
}

/** Where WebAssembly is switched off, and for what it refuses. */
export class SlowBlockIndex implements BlockIndex {
  words: Uint32Array = new Uint32Array(256);
  readonly start = 0;
  count = 0;
  prefixLength = 0;

  /** Valid until the next call. Throws CorruptionError when the block doesn't decode. */
  make(block: Block, maxPrefix: number): this {
    const iterator = new BlockIterator(block);
    iterator.seekToLast();
    const last = iterator.entry.keyBytes.slice(0, iterator.entry.keyEnd);
    iterator.seekToFirst();
    const { keyBytes, keyEnd } = iterator.entry;
    // Keys are sorted: what the first and the last have in common, all have.
    const common = sharedPrefixLength(keyBytes, 0, keyEnd, last, 0, last.length);
    this.prefixLength = Math.min(common, maxPrefix);
    const heads: number[] = [];
    const offsets: number[] = [];
    let offset = 0;
    do {
      const { entry } = iterator;
      heads.push(headOf(entry.keyBytes, this.prefixLength, entry.keyEnd));
      offsets.push(offset);
      offset = entry.valueEnd;
    } while (iterator.next());
    this.count = heads.length;
    this.#fill(last, heads, offsets);
    return this;
  }

  #fill(key: Uint8Array, heads: readonly number[], offsets: readonly number[]): void {
    const length = indexLength(this);
    if (length > this.words.length) this.words = new Uint32Array(2 * length);
    const first = prefixWords(this.prefixLength);
    for (let i = 0; i < first; i++) this.words[i] = headOf(key, i * WORD_BYTES, this.prefixLength);
    this.words.set(heads, first);
    this.words.set(offsets, first + this.count);
  }
}
