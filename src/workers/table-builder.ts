/**
 * Builds one table from entries in order.
 *
 *   add(entry)*  ->  block builder  ->  (block full) compress + checksum  ->  output  ->  finish(): meta, footer, sync
 *
 * Invariants: entries strictly rise by user key and fall by sequence, asserted on every add. A block is cut before an
 *             entry that is larger than a block, so a huge value lies alone.
 *             The directory entry is not synced here; that is the job's.
 *             The bounds hold all entries and all ranges that the table deletes.
 * Owns:   not the file: whoever created it closes it, and removes it when the build fails.
 * Thread: a worker's. Keys and values may lie in shared memory.
 */

import { assert } from '../shared/base/assert.ts';
import { compareKeys, copyBytes, copyInto, sharedPrefixLength } from '../shared/base/bytes.ts';
import { crc32 } from '../shared/base/checksum.ts';
import { Entry, EntryKind } from '../shared/base/entry.ts';
import { EXPIRY_BYTES, expiryOf } from '../shared/base/expiry.ts';
import type { FileNumber, SequenceNumber } from '../shared/base/ids.ts';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../shared/base/limits.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import type { StorageFile } from '../shared/files/file-system.ts';
import type { RangeDeletes } from '../shared/ranges/range-deletes.ts';
import { BloomFilterBuilder, hashKey } from '../shared/table/bloom-filter.ts';
import {
  type Codec,
  codecByName,
  MAX_UNCOMPRESSED_BYTES,
  requireCodec,
} from '../shared/table/compression.ts';
import { ExpirySummary } from '../shared/table/expiry-summary.ts';
import {
  encodeFooter,
  FOOTER_BYTES,
  MAX_RESTART_INTERVAL,
  TABLE_FORMAT_VERSION,
} from '../shared/table/format.ts';
import { encodeMeta } from '../shared/table/meta-block.ts';
import { maxSealedLength, sealBlock } from '../shared/table/seal-block.ts';
import { SparseIndexBuilder, shortestSeparator } from '../shared/table/sparse-index.ts';
import type { TableOptions } from '../shared/threads/jobs.ts';
import { BlockBuilder } from './block-builder.ts';
import { TableFileWriter } from './table-file-writer.ts';

export class TableBuilder {
  readonly #number: FileNumber;
  readonly #options: TableOptions;
  readonly #baseSequence: number;
  readonly #codec: Codec;
  readonly #output: TableFileWriter;
  readonly #block: BlockBuilder;
  readonly #index = new SparseIndexBuilder();
  readonly #filter: BloomFilterBuilder | undefined;
  /** Size of the last block written, until the next key decides what separates it; 0 = none waits. */
  #pendingBlockSize = 0;
  /** Asked for with every entry, so worked out with every block only. */
  #closedBytes: number = FOOTER_BYTES;
  #lastKey: Uint8Array = new Uint8Array(256);
  #lastKeyLength = 0;
  #lastSequence = 0;
  #firstKey: Uint8Array | undefined;
  #entryCount = 0;
  #tombstoneCount = 0;
  #shadowedCount = 0;
  #rawBytes = 0;
  #ranges: RangeDeletes | undefined;
  #smallestSequence = Number.MAX_SAFE_INTEGER;
  #largestSequence = 0;
  #expiry: ExpirySummary | undefined;
  #isFinished = false;

  /** `baseSequence`: no entry has a smaller sequence number. The closer it is, the smaller the table. */
  constructor(file: StorageFile, number: FileNumber, options: TableOptions, baseSequence: number) {
    requireCodec(options.compression);
    this.#number = number;
    this.#options = options;
    this.#baseSequence = baseSequence;
    this.#codec = codecByName(options.compression);
    this.#output = new TableFileWriter(file);
    const interval = Math.min(Math.max(1, options.restartInterval), MAX_RESTART_INTERVAL);
    this.#block = new BlockBuilder(interval, options.blockSizeBytes);
    this.#filter = options.bloomBitsPerKey > 0 ? new BloomFilterBuilder(options.bloomBitsPerKey) : undefined;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  /** What is written and what `finish` would add, as of the last block; and an estimate of the open one. */
  get fileSizeBytes(): number {
    return this.#closedBytes + (this.#block.isEmpty ? 0 : this.#block.contentBytes);
  }

  add(entry: Entry): void {
    const { keyBytes, keyStart, keyEnd, sequence } = entry;
    const keyLength = keyEnd - keyStart;
    const valueLength = entry.valueEnd - entry.valueStart;
    const maxValueBytes =
      entry.kind === EntryKind.ExpiringPut ? MAX_VALUE_BYTES + EXPIRY_BYTES : MAX_VALUE_BYTES;
    assert(keyLength <= MAX_KEY_BYTES && valueLength <= maxValueBytes, 'key or value too long for a table');
    assert(sequence >= this.#baseSequence, 'sequence number below the base of the table');
    const lastLength = this.#lastKeyLength;
    const shared = sharedPrefixLength(this.#lastKey, 0, lastLength, keyBytes, keyStart, keyEnd);
    const isSameKey = shared === lastLength && shared === keyLength && this.#entryCount > 0;
    if (isSameKey) {
      assert(sequence < this.#lastSequence, 'entries of a table must fall by sequence number');
      this.#shadowedCount++;
    } else {
      const isAbove =
        shared === lastLength ||
        (shared < keyLength && keyBytes[keyStart + shared]! > this.#lastKey[shared]!);
      assert(isAbove, 'entries of a table must rise by key');
      this.#filter?.add(hashKey(keyBytes, keyStart, keyEnd));
    }

    const block = this.#block;
    if (keyLength + valueLength >= this.#options.blockSizeBytes && !block.isEmpty) this.#writeBlock();
    if (this.#pendingBlockSize > 0) {
      const separator = shortestSeparator(this.#lastKey, lastLength, keyBytes, keyStart, keyEnd);
      this.#index.add(this.#pendingBlockSize, separator);
      this.#pendingBlockSize = 0;
    }
    block.add(entry, shared, sequence - this.#baseSequence);

    this.#firstKey ??= copyBytes(keyBytes, keyStart, keyEnd);
    if (keyLength > this.#lastKey.length) this.#growLastKey(keyLength);
    copyInto(this.#lastKey, shared, keyBytes, keyStart + shared, keyEnd);
    this.#lastKeyLength = keyLength;
    this.#lastSequence = sequence;
    if (sequence < this.#smallestSequence) this.#smallestSequence = sequence;
    if (sequence > this.#largestSequence) this.#largestSequence = sequence;
    if (entry.kind === EntryKind.Delete) this.#tombstoneCount++;
    else if (entry.kind === EntryKind.ExpiringPut) this.#noteExpiring(entry);
    this.#entryCount++;
    this.#rawBytes += keyLength + valueLength;
    if (block.contentBytes >= this.#options.blockSizeBytes) this.#writeBlock();
  }

  /** The last key that was added: a view, until the next one. */
  get lastKey(): Uint8Array {
    return this.#lastKey.subarray(0, this.#lastKeyLength);
  }

  /**
   * Ranges that the table deletes, once all entries were added. A table has at least one: without, it gets a delete of the first
   * key of the ranges, which says nothing new.
   */
  setRanges(ranges: RangeDeletes | undefined): void {
    if (ranges === undefined) return;
    if (this.#entryCount === 0) this.add(deleteOf(ranges.start, ranges.sequencesOf(0)[0]!));
    this.#ranges = ranges;
    const [lowest, highest] = ranges.sequenceRange();
    this.#smallestSequence = Math.min(this.#smallestSequence, lowest);
    this.#largestSequence = Math.max(this.#largestSequence, highest);
  }

  #noteExpiring(entry: Entry): void {
    this.#expiry ??= new ExpirySummary();
    this.#expiry.add(expiryOf(entry));
  }

  /** Writes meta and footer, and syncs the file. At least one entry was added. */
  finish(): TableInfo {
    assert(this.#entryCount > 0 && !this.#isFinished, 'a table is finished once, with entries');
    this.#isFinished = true;
    if (!this.#block.isEmpty) this.#writeBlock();
    const lastKey = copyBytes(this.#lastKey, 0, this.#lastKeyLength);
    this.#index.add(this.#pendingBlockSize, lastKey);
    const ranges = this.#ranges;
    const facts = {
      number: this.#number,
      entryCount: this.#entryCount,
      tombstoneCount: this.#tombstoneCount,
      shadowedCount: this.#shadowedCount,
      rawBytes: this.#rawBytes,
      smallestKey: ranges === undefined ? this.#firstKey! : smallestOf(this.#firstKey!, ranges.start),
      largestKey: ranges === undefined ? lastKey : largestOf(lastKey, ranges.largestKey),
      smallestSequence: this.#smallestSequence as SequenceNumber,
      largestSequence: this.#largestSequence as SequenceNumber,
      ...(ranges === undefined ? {} : { rangeDeletes: ranges.count }),
      ...(this.#expiry && { expiry: this.#expiry.summary }),
    };
    const meta = encodeMeta(
      {
        ...facts,
        baseSequence: this.#baseSequence as SequenceNumber,
        blockCount: this.#index.blockCount,
        codec: this.#options.compression,
        creationFormatVersion: TABLE_FORMAT_VERSION,
      },
      this.#index.encode(),
      this.#filter?.encode(),
      ranges,
    );
    const metaOffset = this.#output.offset;
    this.#output.write(meta);
    this.#output.write(encodeFooter({ metaOffset, metaLength: meta.length, metaChecksum: crc32(meta) }));
    this.#output.finish();
    return { ...facts, sizeBytes: this.#output.offset, checksum: this.#output.checksum };
  }

  #writeBlock(): void {
    const content = this.#block.finish();
    assert(content.length <= MAX_UNCOMPRESSED_BYTES, 'block larger than readers accept');
    const output = this.#output.reserve(maxSealedLength(this.#codec, content.length));
    const size = sealBlock(content, this.#codec, this.#number, this.#output.offset, output);
    this.#output.commit(size);
    this.#pendingBlockSize = size;
    this.#closedBytes =
      this.#output.offset + this.#index.encodedLength + (this.#filter?.encodedLength ?? 0) + FOOTER_BYTES;
  }

  #growLastKey(length: number): void {
    const grown = new Uint8Array(length * 2);
    grown.set(this.#lastKey);
    this.#lastKey = grown;
  }
}

function deleteOf(key: Uint8Array, sequence: number): Entry {
  const entry = new Entry();
  entry.keyBytes = key;
  entry.keyEnd = key.length;
  entry.sequence = sequence;
  entry.kind = EntryKind.Delete;
  return entry;
}

function smallestOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareKeys(a, b) <= 0 ? a : copyBytes(b, 0, b.length);
}

function largestOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareKeys(a, b) >= 0 ? a : copyBytes(b, 0, b.length);
}
