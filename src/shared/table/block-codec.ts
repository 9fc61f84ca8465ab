/**
 * A block's bytes on disk -> its content: checksum, trailer, decompression. See format.ts for the layout, seal-block.ts for
 * the way there.
 *
 * Invariants: openBlock returns exactly what sealBlock was given, or throws CorruptionError; the checksum is compared
 *             before anything else is believed.
 * Thread: any. Pure.
 */
import { readU32 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { type BlockModule, blockModule, MAX_WASM_BLOCK_BYTES } from '../wasm/block-module.ts';
import { blockChecksum } from './block-checksum.ts';
import { CodecError, codecById } from './compression.ts';
import { BLOCK_TRAILER_BYTES, blockSeed } from './format.ts';

/** A room grown for one huge value is not kept for the small blocks after it. */
const MAX_KEPT_BYTES = 1048576;
const MIN_ROOM_BYTES = 16384;

/** Memory for one decoded block at a time: saves allocating it, which takes as long as decoding. */
export class DecodeRoom {
  #bytes: Uint8Array = new Uint8Array(0);

  /** Room for `length` bytes, with anything in it; valid until the next call. */
  take(length: number): Uint8Array {
    if (length > MAX_KEPT_BYTES) return new Uint8Array(length);
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(Math.max(length * 2, MIN_ROOM_BYTES));
    return this.#bytes.subarray(0, length);
  }
}

/**
 * The content of the block `sealed`, which was read from `offset` of table `fileNumber`: in `room` if there is one, else in a
 * buffer of its own.
 */
export function openBlock(
  sealed: Uint8Array,
  fileNumber: number,
  offset: number,
  file: string,
  room?: DecodeRoom,
): Uint8Array {
  const content = viewBlock(sealed, fileNumber, offset, file);
  const copy = room?.take(content.length) ?? new Uint8Array(content.length);
  copy.set(content);
  return copy;
}

/** As {@link openBlock}, wherever the content is: to be looked at before any block is opened or source read again. */
export function viewBlock(sealed: Uint8Array, fileNumber: number, offset: number, file: string): Uint8Array {
  const length = sealed.length - BLOCK_TRAILER_BYTES;
  if (length < 0) throw new CorruptionError('block is shorter than its trailer', { file, offset });
  const module = loadInto(sealed);
  const seed = blockSeed(fileNumber, offset);
  const checksum = module?.hashLoaded(length + 5, seed) ?? blockChecksum(sealed, 0, length + 5, seed);
  if (readU32(sealed, length + 5) !== checksum)
    throw new CorruptionError('block checksum mismatch', { file, offset });
  const codec = codecById(sealed[length + 4]!);
  if (codec === undefined) throw new CorruptionError('block has an unknown codec', { file, offset });
  try {
    return codec.view(sealed.subarray(0, length), readU32(sealed, length), module);
  } catch (cause) {
    if (cause instanceof CodecError) throw new CorruptionError(cause.message, { cause, file, offset });
    throw cause;
  }
}

/** The module, with the block in its memory; undefined: there is none, or the block is too large for it. */
function loadInto(sealed: Uint8Array): BlockModule | undefined {
  const module = sealed.length <= MAX_WASM_BLOCK_BYTES ? blockModule() : undefined;
  module?.load(sealed);
  return module;
}
