/**
 * Footer and meta block of a table that may be damaged: whatever of them can be read, and what is wrong.
 *
 *   footer sound                 the meta block is where it says
 *   footer damaged               its fields are tried all the same: the checksum of the meta block proves them
 *   footer cut off               what stands behind the last block is read as a meta block, if it begins as one
 *   meta block damaged           its sections are read all the same, and marked as unverified. Its index is of use even so: each
 *                                block it leads to has a checksum of its own, seeded with its place
 *
 * Invariants: reads only. Each fault is named once, with file and offset.
 * Thread:     main.
 */
import { readU32, readU64 } from '../../shared/base/bytes.ts';
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError, type StorageError } from '../../shared/base/errors.ts';
import { RangeDeletes } from '../../shared/ranges/range-deletes.ts';
import type { BlockSource } from '../../shared/table/block-source.ts';
import { BloomFilter } from '../../shared/table/bloom-filter.ts';
import {
  decodeFooter,
  FOOTER_BYTES,
  SECTION_HEADER_BYTES,
  SectionTag,
  TABLE_FORMAT_VERSION,
  TABLE_MAGIC,
} from '../../shared/table/format.ts';
import { decodeProperties, type TableProperties } from '../../shared/table/properties.ts';
import { SparseIndex } from '../../shared/table/sparse-index.ts';
import { faultOf } from './inspected-file.ts';

export interface FooterFacts {
  readonly offset: number;
  readonly formatVersion: number;
  readonly metaOffset: number;
  readonly metaBytes: number;
  readonly metaChecksum: number;
  /** Its own checksum matches. */
  readonly isSound: boolean;
}

export interface SectionFacts {
  readonly name: 'properties' | 'index' | 'filter' | 'ranges' | 'unknown';
  readonly tag: number;
  readonly offset: number;
  readonly bytes: number;
}

export interface FilterFacts {
  readonly bytes: number;
  readonly probes: number;
  readonly lines: number;
}

export interface MetaFacts {
  readonly offset: number;
  readonly bytes: number;
  /** Its checksum matches: what follows is what was written. */
  readonly isVerified: boolean;
  readonly sections: readonly SectionFacts[];
  readonly properties: TableProperties | undefined;
  readonly index: SparseIndex | undefined;
  readonly indexBytes: number;
  /** undefined: there is none, or it can't be read. */
  readonly filter: FilterFacts | undefined;
  /** The same of deleted ranges. */
  readonly ranges: RangeDeletes | undefined;
  readonly faults: readonly StorageError[];
}

/** A meta block beyond this is taken for a damaged length: it is read in one piece. */
const MAX_META_BYTES: number = 1024 * 1024 * 1024;
const FILTER_HEADER_BYTES = 8;

const SECTION_NAMES: ReadonlyMap<number, SectionFacts['name']> = new Map([
  [SectionTag.Properties, 'properties'],
  [SectionTag.Index, 'index'],
  [SectionTag.Filter, 'filter'],
  [SectionTag.Ranges, 'ranges'],
]);

/** Whether the file ends as a table does. */
export function hasTableMagic(source: BlockSource): boolean {
  if (source.sizeBytes < FOOTER_BYTES) return false;
  const { length } = TABLE_MAGIC;
  const bytes = source.read(source.sizeBytes - length, length);
  return TABLE_MAGIC.every((byte, i) => bytes[i] === byte);
}

/** The footer, and its fault. No facts where the file does not end as a table does, so that nothing there means anything. */
export function readFooter(source: BlockSource): {
  readonly footer: FooterFacts | undefined;
  readonly fault: StorageError | undefined;
} {
  const { path, sizeBytes } = source;
  if (sizeBytes < FOOTER_BYTES) {
    const fault = new CorruptionError('table is too short for its footer', { file: path, offset: 0 });
    return { footer: undefined, fault };
  }
  const offset = sizeBytes - FOOTER_BYTES;
  const bytes = source.read(offset, FOOTER_BYTES).slice();
  const footer = {
    offset,
    formatVersion: readU32(bytes, 16),
    metaOffset: readU64(bytes, 0),
    metaBytes: readU32(bytes, 8),
    metaChecksum: readU32(bytes, 12),
  };
  try {
    decodeFooter(bytes, sizeBytes, path);
    return { footer: { ...footer, isSound: true }, fault: undefined };
  } catch (error) {
    const fault = faultOf(error);
    const isNewer = fault.code === 'STRATA_UNSUPPORTED';
    return { footer: { ...footer, isSound: isNewer }, fault };
  }
}

/** Whether a release that can read no more than the footer has to stop there. */
export function isNewerFormat({ footer }: { readonly footer: FooterFacts | undefined }): boolean {
  return footer?.isSound === true && footer.formatVersion > TABLE_FORMAT_VERSION;
}

/** The meta block at `offset`; undefined where there can be none, as the parts of the file would not add up. */
export function readMeta(source: BlockSource, offset: number, checksum: number): MetaFacts | undefined {
  const bytes = bytesBetween(source, offset, source.sizeBytes - FOOTER_BYTES);
  if (bytes === undefined) return undefined;
  const isVerified = crc32(bytes) === checksum;
  const { path } = source;
  const fault = new CorruptionError('meta block checksum mismatch', { file: path, offset });
  return new MetaReader(bytes, offset, path, isVerified, isVerified ? [] : [fault]).read();
}

/** What is left of a meta block behind the last block of a file whose footer is cut off; undefined: that is none. */
export function readRestOfMeta(source: BlockSource, offset: number): MetaFacts | undefined {
  const bytes = bytesBetween(source, offset, source.sizeBytes);
  const meta = bytes && new MetaReader(bytes, offset, source.path, false, []).read();
  return meta?.properties === undefined ? undefined : meta;
}

function bytesBetween(source: BlockSource, start: number, end: number): Uint8Array | undefined {
  const length = end - start;
  if (start < 0 || length < SECTION_HEADER_BYTES || length > MAX_META_BYTES) return undefined;
  // A copy: sections are looked at one after the other.
  return source.read(start, length).slice();
}

class MetaReader {
  readonly #bytes: Uint8Array;
  readonly #offset: number;
  readonly #file: string;
  readonly #isVerified: boolean;
  readonly #faults: StorageError[];

  constructor(
    bytes: Uint8Array,
    offset: number,
    file: string,
    isVerified: boolean,
    faults: readonly StorageError[],
  ) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#file = file;
    this.#isVerified = isVerified;
    this.#faults = [...faults];
  }

  read(): MetaFacts {
    const sections = this.#sections();
    const sectionOf = (name: SectionFacts['name']): SectionFacts | undefined =>
      sections.find((section) => section.name === name);
    const properties = this.#decode(sectionOf('properties'), 'properties', (bytes, at) =>
      decodeProperties(bytes, (message) => this.#corrupt(message, at)),
    );
    const index = this.#decode(sectionOf('index'), 'sparse index', (bytes) =>
      SparseIndex.decode(bytes, this.#offset),
    );
    const filterSection = sectionOf('filter');
    const filter = filterSection && this.#decode(filterSection, 'bloom filter', readFilter);
    const rangeSection = sectionOf('ranges');
    const ranges =
      rangeSection &&
      this.#decode(rangeSection, 'list of deleted ranges', (bytes) => RangeDeletes.decode(bytes));
    if (properties !== undefined && properties.rangeDeletes !== ranges?.count)
      this.#complain('there is another number of deleted ranges', this.#offset);
    if (index !== undefined && properties !== undefined && index.blockCount !== properties.blockCount)
      this.#complain('sparse index has another number of blocks', this.#offset);
    return {
      offset: this.#offset,
      bytes: this.#bytes.length,
      isVerified: this.#isVerified,
      sections,
      properties,
      index,
      indexBytes: sectionOf('index')?.bytes ?? 0,
      filter,
      ranges,
      faults: this.#faults,
    };
  }

  #sections(): SectionFacts[] {
    const bytes = this.#bytes;
    const sections: SectionFacts[] = [];
    for (let at = 0; at < bytes.length; ) {
      const start = at + SECTION_HEADER_BYTES;
      const length = start > bytes.length ? -1 : readU32(bytes, at + 1);
      if (length < 0 || length > bytes.length - start) {
        this.#complain('a section runs past the end of the meta block', this.#offset + at);
        break;
      }
      const tag = bytes[at]!;
      const name = SECTION_NAMES.get(tag) ?? 'unknown';
      if (sections.some((section) => section.tag === tag))
        this.#complain(`section ${tag} is there twice`, this.#offset + at);
      sections.push({ name, tag, offset: this.#offset + start, bytes: length });
      at = start + length;
    }
    return sections;
  }

  #decode<T>(
    section: SectionFacts | undefined,
    what: string,
    decode: (bytes: Uint8Array, offset: number) => T | undefined,
  ): T | undefined {
    if (section === undefined) {
      this.#complain(`meta block lacks its ${what}`, this.#offset);
      return undefined;
    }
    const start = section.offset - this.#offset;
    try {
      const decoded = decode(this.#bytes.subarray(start, start + section.bytes), section.offset);
      if (decoded === undefined) this.#complain(`${what} is malformed`, section.offset);
      return decoded;
    } catch (error) {
      this.#note(faultOf(error));
      return undefined;
    }
  }

  #complain(message: string, offset: number): void {
    this.#note(this.#corrupt(message, offset));
  }

  /** Where it is damaged anyway, that is the fault, and what follows from it is not another one. */
  #note(fault: StorageError): void {
    if (this.#isVerified) this.#faults.push(fault);
  }

  #corrupt(message: string, offset: number): CorruptionError {
    return new CorruptionError(message, { file: this.#file, offset });
  }
}

function readFilter(bytes: Uint8Array): FilterFacts | undefined {
  if (bytes.length < FILTER_HEADER_BYTES || BloomFilter.decode(bytes) === undefined) return undefined;
  return { bytes: bytes.length, probes: readU32(bytes, 0), lines: readU32(bytes, 4) };
}
