/**
 * Salvage: what of a table's file can be believed, and a new table of just that.
 *
 *   1. a table that passes verify in all respects is sound, and stays as it is
 *   2. otherwise find its blocks: by its index, if the meta block is intact, else one by one (block-search.ts)
 *   3. a block counts if its checksum matches and its entries are in order, among themselves and after those before
 *   4. entries count their sequence numbers from a base that is stored with the meta data. Where those are damaged, a base is
 *      believed only if it makes the entries span exactly the sequence numbers that somebody says they span
 *   5. the entries of the blocks that count are copied, with their sequence numbers, tombstones and all; and so are the deleted
 *      ranges of an intact meta block, whatever is left of the blocks. Those of a damaged one are lost, and that is said
 *
 * Invariants: reads only, except that it writes the output. Every entry of the output stood in an intact block, and its sequence
 *             number is the one it was written with. Memory: one block at a time.
 *             A newer format or a missing codec is no damage: STRATA_UNSUPPORTED.
 * Thread:     any; synchronous.
 */
import { join } from 'node:path';
import { compareBytes, copyBytes, readU32 } from '../shared/base/bytes.ts';
import { crc32 } from '../shared/base/checksum.ts';
import { type Entry, EntryKind } from '../shared/base/entry.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import { Block } from '../shared/table/block.ts';
import { openBlock } from '../shared/table/block-codec.ts';
import { BlockIterator } from '../shared/table/block-iterator.ts';
import { type BlockSource, PreadSource } from '../shared/table/block-source.ts';
import { decodeFooter, FOOTER_BYTES, SECTION_HEADER_BYTES, SectionTag } from '../shared/table/format.ts';
import { decodeMeta, type MetaBlock } from '../shared/table/meta-block.ts';
import { decodeProperties, type TableProperties } from '../shared/table/properties.ts';
import type { DamagedRange, SalvageJob, SalvageResult } from '../shared/threads/jobs.ts';
import { type BlockPlace, BlockSearch } from './block-search.ts';
import { JobMonitor } from './job-monitor.ts';
import type { JobOutputs } from './job-outputs.ts';
import { verifyTable } from './verify-table.ts';

const CHUNK_BYTES: number = 256 * 1024;
/** Properties are two keys and some numbers; more is not looked at. */
const MAX_PROPERTY_BYTES: number = 256 * 1024;

export function salvage(job: SalvageJob, fileSystem: FileSystem, outputs: JobOutputs): SalvageResult {
  const file = fileSystem.openRead(join(job.directory, job.file));
  try {
    const source = new PreadSource(file);
    const meta = orDamage(() => readMeta(source));
    const ownNumber = meta?.properties.number;
    if (meta !== undefined && ownNumber !== job.number) {
      const reason = `the file holds table ${ownNumber}`;
      return nothing(ownNumber, [{ offset: 0, bytes: source.sizeBytes, reason }]);
    }
    const sound = meta && orDamage(() => verifyWhole(source, meta.properties));
    if (sound !== undefined && job.output === undefined) {
      const { entryCount, tombstoneCount, rangeDeletes = 0 } = sound;
      return { ...nothing(ownNumber, []), sound, entryCount, tombstoneCount, rangeDeleteCount: rangeDeletes };
    }
    return new Salvage(job, source, meta).run(outputs);
  } finally {
    file.close();
  }
}

function nothing(ownNumber: SalvageResult['ownNumber'], damage: readonly DamagedRange[]): SalvageResult {
  return {
    sound: undefined,
    output: undefined,
    ownNumber,
    entryCount: 0,
    tombstoneCount: 0,
    rangeDeleteCount: 0,
    lostEntryCount: undefined,
    lostTombstoneCount: undefined,
    lostRangeDeleteCount: undefined,
    damage,
  };
}

/** undefined where the disk is at fault; other errors pass. */
function orDamage<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}

function readMeta(source: BlockSource): MetaBlock {
  const { path, sizeBytes } = source;
  if (sizeBytes < FOOTER_BYTES)
    throw new CorruptionError('table is too short for its footer', { file: path });
  const footer = decodeFooter(source.read(sizeBytes - FOOTER_BYTES, FOOTER_BYTES), sizeBytes, path);
  const bytes = source.read(footer.metaOffset, footer.metaLength);
  if (crc32(bytes) !== footer.metaChecksum)
    throw new CorruptionError('meta block checksum mismatch', { file: path, offset: footer.metaOffset });
  return decodeMeta(bytes, footer.metaOffset, path);
}

function verifyWhole(source: BlockSource, properties: TableProperties): TableInfo {
  let checksum = 0;
  for (let offset = 0; offset < source.sizeBytes; offset += CHUNK_BYTES) {
    const bytes = source.read(offset, Math.min(CHUNK_BYTES, source.sizeBytes - offset));
    checksum = crc32(bytes, 0, bytes.length, checksum);
  }
  const meta: TableInfo = {
    number: properties.number,
    sizeBytes: source.sizeBytes,
    checksum,
    entryCount: properties.entryCount,
    tombstoneCount: properties.tombstoneCount,
    shadowedCount: properties.shadowedCount,
    rawBytes: properties.rawBytes,
    smallestKey: properties.smallestKey,
    largestKey: properties.largestKey,
    smallestSequence: properties.smallestSequence,
    largestSequence: properties.largestSequence,
    rangeDeletes: properties.rangeDeletes,
    expiry: properties.expiry,
  };
  verifyTable(source, meta);
  return meta;
}

/** What the sound blocks hold, with sequence numbers counted from 0. */
class Facts {
  entryCount = 0;
  tombstoneCount = 0;
  smallestSequence: number = Number.MAX_SAFE_INTEGER;
  largestSequence = 0;

  /** Always true, as a visitor that goes on. */
  add(entry: Entry): boolean {
    this.entryCount++;
    if (entry.kind === EntryKind.Delete) this.tombstoneCount++;
    this.smallestSequence = Math.min(this.smallestSequence, entry.sequence);
    this.largestSequence = Math.max(this.largestSequence, entry.sequence);
    return true;
  }
}

class Salvage {
  readonly #job: SalvageJob;
  readonly #source: BlockSource;
  readonly #meta: MetaBlock | undefined;
  readonly #monitor: JobMonitor;
  readonly #iterator = new BlockIterator();
  readonly #facts = new Facts();
  readonly #sound: BlockPlace[] = [];
  readonly #damage: DamagedRange[] = [];
  #lastKey: Uint8Array | undefined;
  #lastSequence = 0;

  constructor(job: SalvageJob, source: BlockSource, meta: MetaBlock | undefined) {
    this.#job = job;
    this.#source = source;
    this.#meta = meta;
    this.#monitor = new JobMonitor(job, source.sizeBytes, source.sizeBytes);
  }

  run(outputs: JobOutputs): SalvageResult {
    const blocksEnd = this.#meta === undefined ? this.#searchBlocks() : this.#walkIndex(this.#meta);
    const loose = this.#meta === undefined ? orDamage(() => this.#looseProperties(blocksEnd)) : undefined;
    const base = this.#meta?.properties.baseSequence ?? this.#findBase(loose);
    if (base === undefined) {
      const reason = 'nothing says how old its entries are';
      return {
        ...nothing(undefined, [{ offset: 0, bytes: this.#source.sizeBytes, reason }]),
        lostRangeDeleteCount: this.#lostRanges(undefined, blocksEnd),
      };
    }
    const { entryCount, tombstoneCount } = this.#facts;
    const isWhole = loose?.entryCount === entryCount && loose.tombstoneCount === tombstoneCount;
    const properties = this.#meta?.properties ?? (isWhole ? loose : undefined);
    return {
      sound: undefined,
      output: this.#job.output === undefined ? undefined : this.#copy(outputs, base),
      ownNumber: this.#meta?.properties.number,
      entryCount,
      tombstoneCount,
      rangeDeleteCount: this.#meta?.ranges?.count ?? 0,
      lostEntryCount: properties && Math.max(0, properties.entryCount - entryCount),
      lostTombstoneCount: properties && Math.max(0, properties.tombstoneCount - tombstoneCount),
      lostRangeDeleteCount: this.#lostRanges(isWhole ? loose : undefined, blocksEnd),
      damage: this.#damage,
    };
  }

  /** Step 2 with an index; returns where the blocks end. */
  #walkIndex({ index }: MetaBlock): number {
    for (let i = 0; i < index.blockCount; i++) {
      const place = { offset: index.blockOffset(i), size: index.blockSize(i) };
      if (!this.#admit(place)) this.#addDamage(place.offset, place.size, 'a block is damaged');
    }
    return index.blockOffset(index.blockCount);
  }

  /** Step 2 without one. */
  #searchBlocks(): number {
    const search = new BlockSearch(this.#source, this.#job.number);
    let end = 0;
    for (let place = search.next(0); place !== undefined; place = search.next(end)) {
      if (place.offset > end) this.#addDamage(end, place.offset - end, 'no block is found');
      if (!this.#admit(place)) this.#addDamage(place.offset, place.size, 'a block is damaged');
      end = place.offset + place.size;
    }
    this.#addDamage(end, this.#source.sizeBytes - end, 'the meta block or the footer is damaged');
    return end;
  }

  #addDamage(offset: number, bytes: number, reason: string): void {
    const last = this.#damage.at(-1);
    if (last === undefined || last.offset + last.bytes !== offset || last.reason !== reason)
      this.#damage.push({ offset, bytes, reason });
    else this.#damage[this.#damage.length - 1] = { ...last, bytes: last.bytes + bytes };
  }

  /** Step 3: whether the block counts; if so it is among the sound ones. */
  #admit(place: BlockPlace): boolean {
    this.#monitor.pulse(place.offset);
    let key = this.#lastKey;
    let sequence = this.#lastSequence;
    const read = orDamage(() => {
      const isOrdered = this.#forEach(place, 0, (entry) => {
        if (key !== undefined && !isAfter(key, sequence, entry)) return false;
        key = copyBytes(entry.keyBytes, entry.keyStart, entry.keyEnd);
        sequence = entry.sequence;
        return true;
      });
      if (isOrdered) this.#forEach(place, 0, (entry) => this.#facts.add(entry));
      return isOrdered;
    });
    if (read !== true) return false;
    this.#lastKey = key;
    this.#lastSequence = sequence;
    this.#sound.push(place);
    return true;
  }

  /** Calls `visit` for each entry until it answers false; returns whether it never did. */
  #forEach(place: BlockPlace, base: number, visit: (entry: Entry) => boolean): boolean {
    const { path } = this.#source;
    const sealed = this.#source.read(place.offset, place.size);
    const content = openBlock(sealed, this.#job.number, place.offset, path);
    this.#iterator.reset(new Block(content, base, path, place.offset));
    for (let on = this.#iterator.seekToFirst(); on; on = this.#iterator.next())
      if (!visit(this.#iterator.entry)) return false;
    return true;
  }

  /** Step 4. */
  #findBase(own: TableProperties | undefined): number | undefined {
    const { smallestSequence, largestSequence, entryCount } = this.#facts;
    if (entryCount === 0) return 0;
    const fits = (base: number, smallest: number, largest: number): boolean =>
      base >= 0 && base + smallestSequence === smallest && base + largestSequence === largest;
    const told = this.#job.sequences;
    if (told !== undefined) {
      const base = told.smallest - smallestSequence;
      if (fits(base, told.smallest, told.largest)) return base;
      if (told.rangeDeletes === 0) return undefined;
    }
    if (own === undefined || own.number !== this.#job.number) return undefined;
    const { baseSequence: base, smallestSequence: smallest, largestSequence: largest } = own;
    if (told !== undefined && (told.smallest !== smallest || told.largest !== largest)) return undefined;
    if (fits(base, smallest, largest)) return base;
    // Numbers of deleted ranges lie among those that the table spans, and the ranges are lost.
    const isWithin = base + smallestSequence >= smallest && base + largestSequence <= largest;
    return own.rangeDeletes !== undefined && base >= 0 && isWithin ? base : undefined;
  }

  /** How many ranges the table deleted that the output does not; undefined: nothing says so. `own`: properties, if they fit. */
  #lostRanges(own: TableProperties | undefined, blocksEnd: number): number | undefined {
    if (this.#meta !== undefined) return 0;
    const { sequences } = this.#job;
    if (sequences !== undefined) return sequences.rangeDeletes;
    if (own?.rangeDeletes !== undefined) return own.rangeDeletes;
    return orDamage(() => this.#hasOnlyKnownSections(blocksEnd)) === true ? 0 : undefined;
  }

  /** Whether what stands where the meta block must be looks like one without deleted ranges: no flipped byte makes it so. */
  #hasOnlyKnownSections(offset: number): boolean {
    const end = this.#source.sizeBytes - FOOTER_BYTES;
    const known: readonly number[] = [SectionTag.Properties, SectionTag.Index, SectionTag.Filter];
    let position = offset;
    while (position + SECTION_HEADER_BYTES <= end) {
      const header = this.#source.read(position, SECTION_HEADER_BYTES);
      if (!known.includes(header[0]!)) return false;
      position += SECTION_HEADER_BYTES + readU32(header, 1);
    }
    return position === end;
  }

  /** The properties as they stand where the meta block must begin, unchecked. */
  #looseProperties(offset: number): TableProperties {
    const { path, sizeBytes } = this.#source;
    const corrupt = (message: string): CorruptionError =>
      new CorruptionError(message, { file: path, offset });
    const bytes = this.#source.read(offset, Math.min(MAX_PROPERTY_BYTES, sizeBytes - offset));
    if (bytes.length < SECTION_HEADER_BYTES || bytes[0] !== SectionTag.Properties)
      throw corrupt('no properties');
    const end = SECTION_HEADER_BYTES + readU32(bytes, 1);
    if (end > bytes.length) throw corrupt('a section runs past the end of the meta block');
    return decodeProperties(bytes.subarray(SECTION_HEADER_BYTES, end), corrupt);
  }

  /** Step 5. */
  #copy(outputs: JobOutputs, base: number): TableInfo | undefined {
    const ranges = this.#meta?.ranges;
    if (this.#facts.entryCount === 0 && ranges === undefined) return undefined;
    const builder = outputs.begin(this.#job.output!, this.#job.table, base);
    for (const place of this.#sound) {
      this.#monitor.pulse(place.offset);
      this.#forEach(place, base, (entry) => {
        builder.add(entry);
        return true;
      });
    }
    builder.setRanges(ranges);
    return outputs.commit()[0];
  }
}

function isAfter(key: Uint8Array, sequence: number, entry: Entry): boolean {
  const order = compareBytes(key, 0, key.length, entry.keyBytes, entry.keyStart, entry.keyEnd);
  return order < 0 || (order === 0 && entry.sequence < sequence);
}
