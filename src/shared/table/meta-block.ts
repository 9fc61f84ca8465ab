/**
 * The meta block: everything about a table but its entries, read once when the table is opened.
 *
 *   meta    = section*
 *   section = u8 tag  u32 length  bytes        1 properties, 2 index, 3 filter, 4 ranges (3 and 4 may be absent); others are
 *                     skipped
 *
 * Stored uncompressed, as index and filter are searched as they are. Its checksum is in the footer.
 *
 * Thread: any. Pure.
 */
import { readU32, writeU32 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { RangeDeletes } from '../ranges/range-deletes.ts';
import { BloomFilter } from './bloom-filter.ts';
import { SECTION_HEADER_BYTES, SectionTag } from './format.ts';
import { decodeProperties, encodeProperties, type TableProperties } from './properties.ts';
import { SparseIndex } from './sparse-index.ts';

export interface MetaBlock {
  readonly properties: TableProperties;
  readonly index: SparseIndex;
  readonly filter: BloomFilter | undefined;
  /** undefined: the table deletes no range. */
  readonly ranges: RangeDeletes | undefined;
}

/** `index` and `filter` are encoded already; no filter, no section; no ranges, no section. */
export function encodeMeta(
  properties: TableProperties,
  index: Uint8Array,
  filter: Uint8Array | undefined,
  ranges?: RangeDeletes,
): Uint8Array {
  const sections: [tag: number, bytes: Uint8Array][] = [
    [SectionTag.Properties, encodeProperties(properties)],
    [SectionTag.Index, index],
  ];
  if (filter !== undefined) sections.push([SectionTag.Filter, filter]);
  if (ranges !== undefined) sections.push([SectionTag.Ranges, ranges.bytes]);
  let size = 0;
  for (const [, section] of sections) size += SECTION_HEADER_BYTES + section.length;
  const bytes = new Uint8Array(size);
  let position = 0;
  for (const [tag, section] of sections) {
    bytes[position] = tag;
    writeU32(bytes, position + 1, section.length);
    bytes.set(section, position + SECTION_HEADER_BYTES);
    position += SECTION_HEADER_BYTES + section.length;
  }
  return bytes;
}

/** Keeps nothing of `bytes`, which lie at `offset` of `file`. `hasFilter`: the filter, if there is one, is of use. */
export function decodeMeta(
  bytes: Uint8Array,
  offset: number,
  file: string,
  hasFilter: boolean = true,
): MetaBlock {
  const corrupt = (message: string): CorruptionError => new CorruptionError(message, { file, offset });
  const sections = new Map<number, Uint8Array>();
  for (let position = 0; position < bytes.length; ) {
    const start = position + SECTION_HEADER_BYTES;
    if (start > bytes.length || readU32(bytes, position + 1) > bytes.length - start) {
      throw corrupt('a section runs past the end of the meta block');
    }
    const tag = bytes[position]!;
    if (sections.has(tag)) throw corrupt(`section ${tag} is there twice`);
    const end = start + readU32(bytes, position + 1);
    sections.set(tag, bytes.subarray(start, end));
    position = end;
  }
  const propertyBytes = sections.get(SectionTag.Properties);
  const indexBytes = sections.get(SectionTag.Index);
  const filterBytes = hasFilter ? sections.get(SectionTag.Filter) : undefined;
  if (propertyBytes === undefined || indexBytes === undefined) throw corrupt('meta block lacks a section');
  const properties = decodeProperties(propertyBytes, corrupt);
  const index = SparseIndex.decode(indexBytes, offset);
  if (index === undefined) throw corrupt('sparse index is malformed');
  if (index.blockCount !== properties.blockCount) throw corrupt('sparse index has another number of blocks');
  const filter = filterBytes === undefined ? undefined : BloomFilter.decode(filterBytes);
  if (filterBytes !== undefined && filter === undefined) throw corrupt('bloom filter is malformed');
  const rangeBytes = sections.get(SectionTag.Ranges);
  const ranges = rangeBytes === undefined ? undefined : RangeDeletes.decode(rangeBytes.slice());
  if (rangeBytes !== undefined && ranges === undefined) throw corrupt('deleted ranges are malformed');
  if (ranges?.count !== properties.rangeDeletes) throw corrupt('there is another number of deleted ranges');
  return { properties, index, filter, ranges };
}
