/**
 * Reads every byte of a table and checks all that can be checked: the checksums of blocks, meta and footer, and of the
 * whole file; the order of entries within and across blocks; restarts, overlaps and separators; and that what the
 * table says of itself, and the manifest of it, is what it holds: entries and deleted ranges.
 *
 * Invariants: passes only a table that answers every lookup and scan as it should. One pass over the file.
 * Thread: a worker's, or any.
 * Owns: not the source.
 */
import { compareBytes, compareKeys, readU64, sharedPrefixLength } from '../shared/base/bytes.ts';
import { crc32 } from '../shared/base/checksum.ts';
import { EntryKind } from '../shared/base/entry.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import { EXPIRY_BYTES } from '../shared/base/expiry.ts';
import { isLargestOf, isSmallestOf } from '../shared/base/table-bounds.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { Block, EntryHeader } from '../shared/table/block.ts';
import { openBlock } from '../shared/table/block-codec.ts';
import type { BlockSource } from '../shared/table/block-source.ts';
import { ExpirySummary, isSameExpiry } from '../shared/table/expiry-summary.ts';
import { TableReader } from '../shared/table/table-reader.ts';
import type { VerifyResult } from '../shared/threads/jobs.ts';

/** Meta and footer are read for the checksum of the file in pieces of this size. */
const CHUNK_BYTES: number = 256 * 1024;

/** Throws CorruptionError naming file and offset; `onBlock` hears how many bytes each read took. */
export function verifyTable(
  source: BlockSource,
  meta: TableInfo,
  onBlock?: (bytesRead: number) => void,
): VerifyResult {
  if (source.sizeBytes !== meta.sizeBytes) {
    throw new CorruptionError(
      `table has ${source.sizeBytes} bytes where the manifest has ${meta.sizeBytes}`,
      {
        file: source.path,
        offset: Math.min(source.sizeBytes, meta.sizeBytes),
      },
    );
  }
  const reader = TableReader.open(source, meta);
  const walk = new TableWalk(reader);
  let checksum = 0;
  for (let i = 0; i < reader.blockCount; i++) {
    const offset = reader.index.blockOffset(i);
    const sealed = source.read(offset, reader.index.blockSize(i));
    checksum = crc32(sealed, 0, sealed.length, checksum);
    const content = openBlock(sealed, reader.number, offset, source.path);
    walk.checkBlock(i, new Block(content, reader.properties.baseSequence, source.path, offset));
    onBlock?.(sealed.length);
  }
  let offset = reader.index.blockOffset(reader.blockCount);
  while (offset < source.sizeBytes) {
    const bytes = source.read(offset, Math.min(CHUNK_BYTES, source.sizeBytes - offset));
    checksum = crc32(bytes, 0, bytes.length, checksum);
    offset += bytes.length;
    onBlock?.(bytes.length);
  }
  if (checksum !== meta.checksum) {
    throw new CorruptionError('table has another checksum than the manifest', {
      file: source.path,
      offset: 0,
    });
  }
  walk.checkFacts('its properties', reader.properties);
  walk.checkFacts('the manifest', meta);
  return {
    blockCount: reader.blockCount,
    entryCount: walk.entryCount,
    rangeDeleteCount: reader.ranges?.count ?? 0,
    bytesRead: source.sizeBytes,
  };
}

type Facts = Omit<TableInfo, 'number' | 'sizeBytes' | 'checksum'>;

/** Walks the blocks of a table in order, and counts what it sees. */
class TableWalk {
  entryCount = 0;
  readonly #reader: TableReader;
  readonly #header = new EntryHeader();
  #tombstoneCount = 0;
  #shadowedCount = 0;
  readonly #expiry = new ExpirySummary();
  #rawBytes = 0;
  #smallestSequence = Number.MAX_SAFE_INTEGER;
  #largestSequence = 0;
  #smallestKey: Uint8Array | undefined;
  #key: Uint8Array = new Uint8Array(256);
  #keyLength = 0;
  #sequence = 0;
  /** The last entry checked is an older version of the key before it. */
  #isSameKey = false;

  constructor(reader: TableReader) {
    this.#reader = reader;
  }

  checkBlock(index: number, block: Block): void {
    let nextRestart = 0;
    for (let offset = 0; offset < block.entriesEnd; offset = this.#header.valueEnd) {
      const isRestart = nextRestart < block.restartCount && block.restartOffset(nextRestart) === offset;
      if (isRestart) nextRestart++;
      this.#checkEntry(block, offset, isRestart);
      if (offset === 0 && index > 0) this.#checkAboveSeparator(index - 1, block);
    }
    if (nextRestart !== block.restartCount) throw block.corrupt('restart is not where an entry starts');
    const separator = this.#reader.index.separator(index);
    if (compareBytes(separator, 0, separator.length, this.#key, 0, this.#keyLength) < 0) {
      throw block.corrupt('block has keys above its separator');
    }
  }

  checkFacts(who: 'its properties' | 'the manifest', facts: Facts): void {
    const check = (what: string, isRight: boolean): void => {
      if (isRight) return;
      throw new CorruptionError(`table has another ${what} than ${who}`, {
        file: this.#reader.path,
        offset: this.#reader.index.blockOffset(this.#reader.blockCount),
      });
    };
    check('number of entries', facts.entryCount === this.entryCount);
    check('number of tombstones', facts.tombstoneCount === this.#tombstoneCount);
    check('number of shadowed entries', facts.shadowedCount === this.#shadowedCount);
    check('number of entries that expire, or time', isSameExpiry(facts.expiry, this.#expiry.summary));
    check('number of raw bytes', facts.rawBytes === this.#rawBytes);
    const { ranges } = this.#reader;
    check('number of deleted ranges', facts.rangeDeletes === ranges?.count);
    const [lowest, highest] = ranges?.sequenceRange() ?? [Number.MAX_SAFE_INTEGER, 0];
    check('smallest sequence number', facts.smallestSequence === Math.min(this.#smallestSequence, lowest));
    check('largest sequence number', facts.largestSequence === Math.max(this.#largestSequence, highest));
    const [smallest, largest] = this.#keyBounds();
    // The manifest may have shortened them.
    const isExact = who === 'its properties';
    check(
      'smallest key',
      isExact ? compareKeys(facts.smallestKey, smallest) === 0 : isSmallestOf(facts.smallestKey, smallest),
    );
    check(
      'largest key',
      isExact ? compareKeys(facts.largestKey, largest) === 0 : isLargestOf(facts.largestKey, largest),
    );
  }

  /** The first and the last key of entries and deleted ranges. */
  #keyBounds(): readonly [smallest: Uint8Array, largest: Uint8Array] {
    const [first, last] = [this.#smallestKey!, this.#key.subarray(0, this.#keyLength)];
    const { ranges } = this.#reader;
    if (ranges === undefined) return [first, last];
    return [
      compareKeys(ranges.start, first) < 0 ? ranges.start : first,
      compareKeys(ranges.lastKey, last) > 0 ? ranges.lastKey : last,
    ];
  }

  #checkEntry(block: Block, offset: number, isRestart: boolean): void {
    const header = this.#header;
    const previousLength = this.#keyLength;
    header.read(block, offset, isRestart ? 0 : previousLength);
    const bytes = block.bytes;
    const diffLength = header.valueStart - header.diffStart;
    const length = header.overlap + diffLength;
    // What the entry shares with the key before beyond its overlap: nothing, unless the entry is a restart.
    const shared =
      header.overlap +
      sharedPrefixLength(
        this.#key,
        header.overlap,
        previousLength,
        bytes,
        header.diffStart,
        header.valueStart,
      );
    if (shared > header.overlap && !isRestart) throw block.corrupt('entry shares more than its overlap says');
    if (this.entryCount > 0) {
      this.#isSameKey = shared === previousLength && shared === length;
      const isAbove =
        shared < length &&
        (shared === previousLength ||
          bytes[header.diffStart + shared - header.overlap]! > this.#key[shared]!);
      if (!isAbove && !(this.#isSameKey && header.sequence < this.#sequence))
        throw block.corrupt('entries are out of order');
    }
    if (length > this.#key.length) {
      const grown = new Uint8Array(length * 2);
      grown.set(this.#key);
      this.#key = grown;
    }
    this.#key.set(bytes.subarray(header.diffStart, header.valueStart), header.overlap);
    this.#keyLength = length;
    this.#sequence = header.sequence;
    this.#smallestKey ??= this.#key.slice(0, length);
    this.entryCount++;
    if (header.kind === EntryKind.Delete) this.#tombstoneCount++;
    else if (header.kind === EntryKind.ExpiringPut) this.#checkExpiring(block);
    if (this.#isSameKey) this.#shadowedCount++;
    this.#rawBytes += length + header.valueEnd - header.valueStart;
    this.#smallestSequence = Math.min(this.#smallestSequence, header.sequence);
    this.#largestSequence = Math.max(this.#largestSequence, header.sequence);
  }

  #checkExpiring(block: Block): void {
    const { valueStart, valueEnd } = this.#header;
    if (valueEnd - valueStart < EXPIRY_BYTES) throw block.corrupt('an entry does not say when it expires');
    this.#expiry.add(readU64(block.bytes, valueStart));
  }

  /** The first key of a block is above the separator before it, or goes on with the versions of that very key. */
  #checkAboveSeparator(before: number, block: Block): void {
    const separator = this.#reader.index.separator(before);
    const order = compareBytes(separator, 0, separator.length, this.#key, 0, this.#keyLength);
    // A lookup of a key equal to the separator begins in the block before, and only goes on if it saw the key there.
    if (order > 0 || (order === 0 && !this.#isSameKey))
      throw block.corrupt('block has keys below the separator before it');
  }
}
