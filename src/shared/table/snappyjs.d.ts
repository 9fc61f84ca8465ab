/**
 * The class behind snappyjs' `compress`, which the package does not type. Used directly because
 * it works in buffers of ours: no allocation and no second copy per block.
 */
declare module 'snappyjs/snappy_compressor.js' {
  export class SnappyCompressor {
    constructor(uncompressed: Uint8Array);
    maxCompressedLength(): number;
    /** Returns the compressed length. */
    compressToBuffer(out: Uint8Array): number;
  }
}
