/**
 * The two classes behind snappyjs' `compress` and `uncompress`, which the package does not type. Used directly because
 * they work in buffers of ours: no allocation and no second copy per block.
 */
declare module 'snappyjs/snappy_compressor.js' {
  export class SnappyCompressor {
    constructor(uncompressed: Uint8Array);
    maxCompressedLength(): number;
    /** Returns the compressed length. */
    compressToBuffer(out: Uint8Array): number;
  }
}

declare module 'snappyjs/snappy_decompressor.js' {
  export class SnappyDecompressor {
    constructor(compressed: Uint8Array);
    /** -1 when the header is no length. Moves on to the first tag. */
    readUncompressedLength(): number;
    /** false for some, not all, invalid streams: see snappy-stream.ts. */
    uncompressToBuffer(out: Uint8Array): boolean;
  }
}
