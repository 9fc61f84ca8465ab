/**
 * Changes bytes of a table and makes the checksums right again, so that tests reach what lies behind them.
 */
import { readU64, writeU32 } from '../../src/shared/base/bytes.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import { blockChecksum } from '../../src/shared/table/block-checksum.ts';
import { BLOCK_TRAILER_BYTES, blockSeed, FOOTER_BYTES } from '../../src/shared/table/format.ts';

/** Writes the checksum of the footer. */
export function resealFooter(table: Uint8Array): Uint8Array {
  const start = table.length - FOOTER_BYTES;
  const footer = table.subarray(start);
  writeU32(table, start + 20, crc32(footer, 24, FOOTER_BYTES, crc32(footer, 0, 20)));
  return table;
}

export function withFooterVersion(table: Uint8Array, version: number): Uint8Array {
  const copy = table.slice();
  writeU32(copy, copy.length - FOOTER_BYTES + 16, version);
  return resealFooter(copy);
}

export function metaOf(table: Uint8Array): Uint8Array {
  const start = table.length - FOOTER_BYTES;
  return table.slice(readU64(table, start), start);
}

/** The same table with another meta block. */
export function withMeta(table: Uint8Array, meta: Uint8Array): Uint8Array {
  const start = table.length - FOOTER_BYTES;
  const metaOffset = readU64(table, start);
  const changed = new Uint8Array(metaOffset + meta.length + FOOTER_BYTES);
  changed.set(table.subarray(0, metaOffset));
  changed.set(meta, metaOffset);
  changed.set(table.subarray(start), metaOffset + meta.length);
  const footer = changed.length - FOOTER_BYTES;
  writeU32(changed, footer + 8, meta.length);
  writeU32(changed, footer + 12, crc32(meta));
  return resealFooter(changed);
}

/** Writes the checksum of the block at [start, end) of `bytes`, which lies at `offset` of its table. */
export function resealBlock(
  bytes: Uint8Array,
  start: number,
  end: number,
  fileNumber: number,
  offset: number,
): Uint8Array {
  writeU32(bytes, end - 4, blockChecksum(bytes, start, end - 4, blockSeed(fileNumber, offset)));
  return bytes;
}

/** `payload` as a block of the codec with this byte, which declares `length` bytes of content. */
export function sealedAs(
  codec: number,
  payload: Uint8Array,
  length: number,
  fileNumber: number,
  offset: number,
): Uint8Array {
  const block = new Uint8Array(payload.length + BLOCK_TRAILER_BYTES);
  block.set(payload);
  writeU32(block, payload.length, length);
  block[payload.length + 4] = codec;
  return resealBlock(block, 0, block.length, fileNumber, offset);
}
