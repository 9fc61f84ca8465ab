/**
 * A key looked up in a block as it is on disk, in one call of WebAssembly: checksum, Snappy, search.
 *
 * Most lookups in data larger than the cache end here, and each view of memory or call that they don't make shows (measured: 1.26
 * us instead of 1.40 with the processor's caches warm).
 *
 * Invariants: the same answers as viewBlock and then findInBlock, or `undefined`: other codecs, blocks that are damaged in any
 *             way, no WebAssembly. The caller then goes that way, which reports what is wrong.
 * Thread:     any.
 */

import type { Entry } from '../base/entry.ts';
import { blockModule, MAX_WASM_BLOCK_BYTES } from '../wasm/block-module.ts';
import { Found } from './block.ts';
import { codecByName } from './compression.ts';
import { BLOCK_TRAILER_BYTES, blockSeed, U32_BYTES } from './format.ts';

const SNAPPY: number = codecByName('snappy').id;

/**
 * As findInBlock, for the block `sealed` that was read from `offset` of table `fileNumber`. What `into` points to is valid until
 * the next block is read.
 */
export function findInSealed(
  sealed: Uint8Array,
  fileNumber: number,
  offset: number,
  baseSequence: number,
  key: Uint8Array,
  maxSequence: number,
  into: Entry,
): Found | undefined {
  const { length } = sealed;
  if (length > MAX_WASM_BLOCK_BYTES || sealed[length - BLOCK_TRAILER_BYTES + U32_BYTES] !== SNAPPY)
    return undefined;
  const module = blockModule();
  const found = module?.lookup(
    sealed,
    blockSeed(fileNumber, offset),
    key,
    maxSequence - baseSequence,
    Number.MAX_SAFE_INTEGER - baseSequence,
  );
  if (found !== Found.Here) return found;
  const { bytes, valueStart, valueEnd, kind, delta } = module!.result;
  into.keyBytes = key;
  into.keyStart = 0;
  into.keyEnd = key.length;
  into.valueBytes = bytes;
  into.valueStart = valueStart;
  into.valueEnd = valueEnd;
  into.sequence = baseSequence + delta;
  into.kind = kind;
  return found;
}

/** The content of the block in which findInSealed found an answer just now: valid until the next block is read. */
export function contentOfSealed(sealed: Uint8Array): Uint8Array {
  return blockModule()!.lookedUp(sealed.length);
}
