/**
 * Block codecs: the byte on disk, the name in the options, and what decompresses. seal-block.ts compresses.
 *
 *   byte  name     package               payload
 *   0     none     -                     the bytes themselves
 *   1     snappy   WebAssembly (wasm/)   varint length, snappy elements (the raw snappy format). snappyjs compresses where
 *                                        WebAssembly is missing, and blocks of more than 1 MiB
 *   2     lz4      lz4-napi (optional)   u32 length, lz4 block
 *
 * Invariants: bytes on disk are never renumbered. Decompression never allocates before the claimed length has been
 *             checked against the codec's own header, the hard cap and the best ratio the codec can reach, so a small
 *             block can't claim gigabytes. Whatever a codec does with garbage, callers see CodecError or StorageError.
 * Thread: any; the only state is the loaded lz4 module.
 * Not chosen: zlib. It compresses better and is always there, but takes ten times as long per block.
 */
import { createRequire } from 'node:module';
import { readU32 } from '../base/bytes.ts';
import { StorageError } from '../base/errors.ts';
import type { BlockModule } from '../wasm/block-module.ts';
import { decodeSnappy, viewLoadedSnappy } from './snappy-decoder.ts';

export type CodecName = 'none' | 'snappy' | 'lz4';

/** On disk. Never renumber. */
export const CODEC_NONE = 0;

/** No codec yields more than this, whatever a header says: room for the largest value and its key. */
export const MAX_UNCOMPRESSED_BYTES: number = 320 * 1024 * 1024;

export interface Codec {
  readonly name: CodecName;
  /** The byte on disk. */
  readonly id: number;
  /** The bytes that were compressed, in a buffer of their own. Throws CodecError unless there are `length` of them. */
  decompress(input: Uint8Array, length: number): Uint8Array;
  /**
   * As decompress, in any memory: valid until the codec is used again or `input` changes. `module`, if given, has loaded a block
   * that begins with `input`.
   */
  view(input: Uint8Array, length: number, module: BlockModule | undefined): Uint8Array;
}

/** The payload is not what a codec wrote. Callers who know the file turn it into a CorruptionError. */
export class CodecError extends Error {
  override name = 'CodecError';
}

const none: Codec = {
  name: 'none',
  id: CODEC_NONE,
  decompress(input, length) {
    checkStored(input, length);
    return new Uint8Array(input);
  },
  view(input, length) {
    checkStored(input, length);
    return input;
  },
};

function checkStored(input: Uint8Array, length: number): void {
  if (input.length !== length) throw new CodecError('stored block has another length than its trailer says');
}

/** A copy element of 3 bytes yields at most 64. */
const SNAPPY_MAX_RATIO = 22;

const snappy: Codec = {
  name: 'snappy',
  id: 1,
  decompress(input, length) {
    checkClaim(input, length, SNAPPY_MAX_RATIO);
    const output = new Uint8Array(length);
    const wrong = decodeSnappy(input, output);
    if (wrong !== undefined) throw new CodecError(wrong);
    return output;
  },
  view(input, length, module) {
    checkClaim(input, length, SNAPPY_MAX_RATIO);
    const view = module === undefined ? undefined : viewLoadedSnappy(module, input, length);
    return view ?? snappy.decompress(input, length);
  },
};

export interface Lz4Module {
  compressSync(data: Uint8Array): Uint8Array;
  uncompressSync(data: Uint8Array): Uint8Array;
}

/** Length bytes of 255 each add 255; the fixed part of a block is smaller than what its last literals yield. */
const LZ4_MAX_RATIO = 255;
export const LZ4_HEADER_BYTES = 4;

const lz4: Codec = {
  name: 'lz4',
  id: 2,
  decompress(input, length) {
    const module = loadLz4();
    checkClaim(input, length, LZ4_MAX_RATIO);
    // The module allocates what this header says before it looks at anything else.
    if (input.length <= LZ4_HEADER_BYTES || readU32(input, 0) !== length) {
      throw new CodecError('lz4 block declares another length than its trailer');
    }
    let output: Uint8Array;
    try {
      output = module.uncompressSync(input);
    } catch (cause) {
      throw new CodecError('lz4 block is invalid', { cause });
    }
    if (output.length !== length) throw new CodecError('lz4 block yields less than it declares');
    // Not a Buffer: a second kind of array would make every loop over blocks slower.
    return new Uint8Array(output.buffer, output.byteOffset, output.length);
  },
  view(input, length) {
    return lz4.decompress(input, length);
  },
};

const codecs: readonly Codec[] = [none, snappy, lz4];

let lz4Module: Lz4Module | undefined;
let lz4Failure: unknown;

/** Loaded at first use: most stores never need it, and it is native code that may be missing on a platform. */
export function loadLz4(): Lz4Module {
  if (lz4Module === undefined && lz4Failure === undefined) {
    try {
      lz4Module = createRequire(import.meta.url)('lz4-napi') as Lz4Module;
    } catch (error) {
      lz4Failure = error;
    }
  }
  if (lz4Module === undefined) {
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      'compression lz4 needs the package lz4-napi: npm install lz4-napi',
      {
        cause: lz4Failure,
      },
    );
  }
  return lz4Module;
}

function checkClaim(input: Uint8Array, length: number, maxRatio: number): void {
  if (length > MAX_UNCOMPRESSED_BYTES || length > input.length * maxRatio) {
    throw new CodecError('block claims to hold more than it can');
  }
}

export function codecByName(name: CodecName): Codec {
  return name === 'none' ? none : name === 'snappy' ? snappy : lz4;
}

/** undefined for a byte that no version so far has written. */
export function codecById(id: number): Codec | undefined {
  return codecs[id];
}

/** Whether blocks of this codec can be read and written here. */
export function isCodecAvailable(name: CodecName): boolean {
  if (name !== 'lz4') return true;
  try {
    loadLz4();
    return true;
  } catch {
    // Missing or unloadable is the answer, not a failure; loadLz4 keeps the reason for whoever insists.
    return false;
  }
}

/** Throws STRATA_UNSUPPORTED, with what to install, where the codec is missing. */
export function requireCodec(name: CodecName): void {
  if (name === 'lz4') loadLz4();
}
