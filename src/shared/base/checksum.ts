/**
 * CRC-32 (polynomial 0xEDB88320, as in zlib, gzip and PNG), unsigned: the checksum of everything on disk but the blocks of
 * tables, which have XXH64 (table/block-checksum.ts).
 *
 * Three implementations give the same value, and the length decides between them. Measured on Node 20: 30 bytes, a small record
 * of the log, take the loop here 46 ns, crc-32 84 ns, most of it for a view of them, and zlib 143 ns (crossing into native code
 * costs 80 ns); 130 bytes 110, 117 and 192 ns; 512 bytes crc-32 270 and zlib 230 ns; 4 KiB 1.8 and 0.8 us. Runtimes without
 * `zlib.crc32` use crc-32 for everything that is longer.
 *
 * crc-32 is loaded by the first checksum that it is best for, which does without it: loading it takes as long as ten thousand of
 * those, and many a process that opens a store takes fewer.
 *
 * Invariants: a checksum is a number in [0, 2^32). crc32 of no bytes is the seed, so no format may rely on it alone to
 *             tell "something" from "nothing".
 * Thread: any. Views over shared memory are fine, as long as nobody writes to them meanwhile.
 * Not chosen: CRC-32C. No faster in JavaScript, and Node has no native form of it.
 */
import type * as Zlib from 'node:zlib';
import type * as Crc from 'crc-32';

/** Below this many bytes the loop here wins, */
const VIEW_MIN_BYTES = 192;
/** and below this many crc-32. */
const NATIVE_MIN_BYTES = 384;

type Crc32 = (bytes: Uint8Array, seed: number) => number;

/** null: this runtime has none; undefined: nobody has asked yet. zlib brings streams with it. */
let nativeCrc32: Crc32 | null | undefined;

function loadNative(): Crc32 | null {
  const zlib: Partial<typeof Zlib> | undefined = process.getBuiltinModule('node:zlib');
  return zlib?.crc32 ?? null;
}

/** The CRC-32 of bytes[start, end), continued from `seed` (the checksum of what came before, or any 32-bit value). */
export function crc32(bytes: Uint8Array, start = 0, end: number = bytes.length, seed = 0): number {
  if (end - start < VIEW_MIN_BYTES) return crcOfFew(bytes, start, end, seed);
  const range = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
  if (range.length >= NATIVE_MIN_BYTES) {
    if (nativeCrc32 === undefined) nativeCrc32 = loadNative();
    if (nativeCrc32 !== null) return nativeCrc32(range, seed);
  }
  if (crc === undefined) {
    loadCrc();
    return crcOfFew(bytes, start, end, seed);
  }
  return crc.buf(range, seed) >>> 0;
}

let crc: Pick<typeof Crc, 'buf'> | undefined;
let isLoading = false;

function loadCrc(): void {
  if (isLoading) return;
  isLoading = true;
  import('crc-32').then(
    (module) => {
      crc = module.default;
    },
    () => {
      // No descriptor, or no such file: the loop below does the same.
    },
  );
}

/** Entry i of table t: what byte i contributes when t bytes follow it. */
const [T0, T1, T2, T3, T4, T5, T6, T7] = makeTables();

type Tables = readonly [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

function makeTables(): Tables {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256)) as unknown as Tables;
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) !== 0 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    tables[0][byte] = sum;
  }
  for (let t = 1; t < 8; t++)
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[t - 1]![byte]!;
      tables[t]![byte] = (before >>> 8) ^ tables[0][before & 0xff]!;
    }
  return tables;
}

/** Eight bytes at a time (slicing-by-8), without a view of them. */
function crcOfFew(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let sum = ~seed;
  let at = start;
  for (; at + 8 <= end; at += 8)
    sum =
      T7[(bytes[at]! ^ sum) & 0xff]! ^
      T6[(bytes[at + 1]! ^ (sum >>> 8)) & 0xff]! ^
      T5[(bytes[at + 2]! ^ (sum >>> 16)) & 0xff]! ^
      T4[bytes[at + 3]! ^ (sum >>> 24)]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!;
  for (; at < end; at++) sum = (sum >>> 8) ^ T0[(bytes[at]! ^ sum) & 0xff]!;
  return ~sum >>> 0;
}
