/**
 * The module of block-module.ts, in AssemblyScript: the syntax of TypeScript with the numbers of WebAssembly. What blocks cost
 * most, on one memory: Snappy between addresses in it, XXH64 over it, the lookup of a key in a block as it is on disk, and the
 * index of a block's entries. `npm run build:wasm` compiles it, and a test holds that the committed module is what this gives.
 *
 *   u32                          a number, or an address in the memory; unsigned, and wraps at 2^32
 *   load<u16>(address, offset)   what is there, little-endian, aligned or not; store writes
 *   v128                         16 bytes at once
 *   f64                          what JavaScript has for numbers above 2^32; i64 in here
 *
 * Invariants: no objects, so no runtime and no garbage. Only addresses that were checked are read or written, and up to 64 bytes
 *             behind them: callers leave that much room behind every buffer.
 * Thread:     any; each has an instance with a memory of its own.
 * Not chosen: WebAssembly's text format, as this was written in before: 623 lines that few could change. The compiler inlines
 *             what is called once or is small, so steps can be functions, and all of it is as fast or faster. `@inline`, which
 *             TypeScript has no place for.
 */
export { index, prefix } from './block-index';
export { lookup } from './lookup';
export { compress } from './snappy-compress';
export { decode } from './snappy-decode';
export { hashBegin, hashEnd, hashStripes } from './xxh64';
