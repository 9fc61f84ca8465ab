/**
 * The format of a table (`NNNNNN.sst`), version 2: the one definition. Version 1 had neither puts that expire nor section 4.
 * Integers are little-endian, varints are those of bytes.ts, lengths in bytes.
 *
 *   table    = dataBlock+  meta  footer                     nothing before, between or after
 *
 *   dataBlock                                               block-codec.ts
 *     0        payload                                      the block's content, compressed by its codec
 *     n        u32   length of the content
 *     n + 4    u8    codec                                  0 none, 1 snappy, 2 lz4 (compression.ts)
 *     n + 5    u32   XXH64 (low half) of payload, length and codec, seeded with blockSeed(file number, offset of the block)
 *
 *   content  = entry+  u32 restart offset * r  u32 r        block.ts
 *   entry    = varint overlap                               leading bytes shared with the key before: all there are
 *              varint diff length  varint value length
 *              u8 kind                                      0 delete, 1 put, 3 put that expires (expiry.ts)
 *              varint (sequence - base sequence)
 *              diff  value
 *     Every restart interval's first entry has overlap 0 and its offset among the restarts; the first is at 0.
 *     Entries rise by user key, then fall by sequence.
 *
 *   meta     = section*                                     meta-block.ts
 *   section  = u8 tag  u32 length  bytes                    unknown tags are skipped
 *     1 properties = (varint tag  varint length  bytes)*    properties.ts; unknown tags are skipped
 *     2 index      = u32 n  u32 block size * n  u32 separator end * n  separators      sparse-index.ts
 *     3 filter     = u32 probes  u32 lines  64 bytes * lines                           bloom-filter.ts; may be absent
 *     4 ranges     = the ranges of keys that are deleted                               range-deletes.ts; may be absent
 *
 *   footer                                                  the last 32 bytes
 *     0        u64   offset of meta
 *     8        u32   length of meta
 *     12       u32   crc32 of meta
 *     16       u32   format version
 *     20       u32   crc32 of the other 28 bytes of the footer
 *     24       8     magic
 *
 * Invariants: every byte of a table lies under exactly one checksum, and the three parts add up to the file's size, so
 *             any flipped byte and any truncation is noticed. Blocks carry file number and offset in their checksum:
 *             a stale, swapped or misdirected block is refused though its bytes are intact.
 *             Size, place and checksum of the footer are the same in all versions, so that an older reader can tell
 *             "newer" (STRATA_UNSUPPORTED) from "damaged" (STRATA_CORRUPTION).
 * Not chosen: block offsets in the index (they are the sums of the sizes, so gaps and overlaps can't be expressed);
 *             prefix-compressed separators (0.2% of the file, but then opening decodes instead of copying).
 */

import { readU32, readU64, writeU32, writeU64 } from '../base/bytes.ts';
import { crc32 } from '../base/checksum.ts';
import { CorruptionError, StorageError } from '../base/errors.ts';

export const TABLE_FORMAT_VERSION = 2;

/** Like PNG's: a high bit, letters, both line ends and ^Z, so that transfers in text mode are caught. */
export const TABLE_MAGIC: readonly number[] = [0x8b, 0x73, 0x73, 0x74, 0x0d, 0x0a, 0x1a, 0x0a];

export const BLOCK_TRAILER_BYTES = 9;
export const FOOTER_BYTES = 32;
export const U32_BYTES = 4;

/** Bounds what moving backwards costs, as that decodes a whole interval. Larger options are clamped. */
export const MAX_RESTART_INTERVAL = 256;

export const SectionTag = { Properties: 1, Index: 2, Filter: 3, Ranges: 4 } as const;
export const SECTION_HEADER_BYTES = 5;

export const PropertyTag = {
  FileNumber: 1,
  BaseSequence: 2,
  EntryCount: 3,
  TombstoneCount: 4,
  RawBytes: 5,
  BlockCount: 6,
  SmallestSequence: 7,
  LargestSequence: 8,
  SmallestKey: 9,
  LargestKey: 10,
  Codec: 11,
  CreationFormatVersion: 12,
  ShadowedCount: 13,
  /** The next two are absent where there is nothing to say. */
  RangeDeletes: 14,
  Expiry: 15,
} as const;

/** Seeds a block's checksum with where the block belongs. */
export function blockSeed(fileNumber: number, offset: number): number {
  // `>>> 0` keeps the low 32 bits of any safe integer; the upper ones are mixed in by division.
  let seed = Math.imul(fileNumber >>> 0, 0x9e3779b1) ^ Math.floor(fileNumber / 0x100000000);
  seed = Math.imul(seed ^ (seed >>> 15), 0x85ebca77) ^ (offset >>> 0);
  seed = Math.imul(seed ^ (seed >>> 13), 0xc2b2ae3d) ^ Math.floor(offset / 0x100000000);
  return (seed ^ (seed >>> 16)) >>> 0;
}

export interface Footer {
  readonly metaOffset: number;
  readonly metaLength: number;
  readonly metaChecksum: number;
}

export function encodeFooter(footer: Footer): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  writeU64(bytes, 0, footer.metaOffset);
  writeU32(bytes, 8, footer.metaLength);
  writeU32(bytes, 12, footer.metaChecksum);
  writeU32(bytes, 16, TABLE_FORMAT_VERSION);
  bytes.set(TABLE_MAGIC, 24);
  writeU32(bytes, 20, footerChecksum(bytes));
  return bytes;
}

/** Decodes the last FOOTER_BYTES of a file of `fileSize` bytes. */
export function decodeFooter(bytes: Uint8Array, fileSize: number, file: string): Footer {
  const offset = fileSize - FOOTER_BYTES;
  const fail = (message: string): never => {
    throw new CorruptionError(message, { file, offset });
  };
  if (bytes.length !== FOOTER_BYTES) fail('table is too short for its footer');
  if (TABLE_MAGIC.some((byte, i) => bytes[24 + i] !== byte))
    fail('footer has no magic: not a table, or cut off');
  if (readU32(bytes, 20) !== footerChecksum(bytes)) fail('footer checksum mismatch');
  const version = readU32(bytes, 16);
  if (version > TABLE_FORMAT_VERSION) {
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `${file} has table format version ${version}; this release reads up to ${TABLE_FORMAT_VERSION}`,
      { file, offset },
    );
  }
  if (version === 0) fail('footer has format version 0');
  const footer = {
    metaOffset: readU64(bytes, 0),
    metaLength: readU32(bytes, 8),
    metaChecksum: readU32(bytes, 12),
  };
  // An unsafe u64 reads as -1 and can't add up either.
  if (footer.metaOffset < 0 || footer.metaOffset + footer.metaLength + FOOTER_BYTES !== fileSize) {
    fail('footer does not fit the size of its file');
  }
  return footer;
}

function footerChecksum(bytes: Uint8Array): number {
  return crc32(bytes, 24, FOOTER_BYTES, crc32(bytes, 0, 20));
}
