/**
 * A block's content -> its bytes on disk: compression, trailer, checksum. See format.ts for the layout, block-codec.ts for the
 * way back. Apart from that, as threads that make tables compress and nobody else does: whoever reads needs no snappyjs.
 *
 * Invariants: openBlock (block-codec.ts) returns exactly what sealBlock was given.
 * Thread: any. Pure.
 */
import { SnappyCompressor } from 'snappyjs/snappy_compressor.js';
import { assertNever } from '../base/assert.ts';
import { writeU32, writeVarint } from '../base/bytes.ts';
import { blockModule, MAX_WASM_BLOCK_BYTES } from '../wasm/block-module.ts';
import { blockChecksum } from './block-checksum.ts';
import { CODEC_NONE, type Codec, LZ4_HEADER_BYTES, loadLz4 } from './compression.ts';
import { BLOCK_TRAILER_BYTES, blockSeed } from './format.ts';

/** An upper bound for what {@link compressBlock} writes for `length` bytes. */
export function maxCompressedLength({ name }: Codec, length: number): number {
  switch (name) {
    case 'none':
      return length;
    case 'snappy':
      return 32 + length + Math.ceil(length / 6);
    case 'lz4':
      return LZ4_HEADER_BYTES + 16 + length + Math.ceil(length / 255);
    default:
      return assertNever(name);
  }
}

/** Compresses all of `input` into the start of `output` (at least maxCompressedLength); returns the length. */
export function compressBlock({ name }: Codec, input: Uint8Array, output: Uint8Array): number {
  switch (name) {
    case 'none':
      output.set(input);
      return input.length;
    case 'snappy': {
      const wasm = input.length <= MAX_WASM_BLOCK_BYTES ? blockModule() : undefined;
      if (wasm === undefined) return new SnappyCompressor(input).compressToBuffer(output);
      return wasm.compress(input, output, writeVarint(output, 0, input.length));
    }
    case 'lz4': {
      const compressed = loadLz4().compressSync(input);
      output.set(compressed);
      return compressed.length;
    }
    default:
      return assertNever(name);
  }
}

/** Room that sealBlock needs for a content of `length` bytes. */
export function maxSealedLength(codec: Codec, length: number): number {
  // A block that does not shrink is stored as it is, so there must be room for that, too.
  return Math.max(maxCompressedLength(codec, length), length) + BLOCK_TRAILER_BYTES;
}

/** Writes `content` as a block to the start of `output`, and returns its length there. */
export function sealBlock(
  content: Uint8Array,
  codec: Codec,
  fileNumber: number,
  offset: number,
  output: Uint8Array,
): number {
  let id = codec.id;
  let length = content.length;
  if (id !== CODEC_NONE) length = compressBlock(codec, content, output);
  // Saving less than an eighth is not worth decompressing for on every read.
  if (id === CODEC_NONE || length > content.length - Math.floor(content.length / 8)) {
    output.set(content);
    id = CODEC_NONE;
    length = content.length;
  }
  writeU32(output, length, content.length);
  output[length + 4] = id;
  writeU32(output, length + 5, blockChecksum(output, 0, length + 5, blockSeed(fileNumber, offset)));
  return length + BLOCK_TRAILER_BYTES;
}
