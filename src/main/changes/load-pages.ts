/**
 * Reads pages of changes from the tables that an ingestion was made of: its entries in the order of their keys, spelled as in a
 * log, so that a consumer takes all pages apart alike.
 *
 *   place   the table, by its place among those of the ingestion, and a block of it
 *   page    the blocks from there on that fit, one at least; the last page of the last table says that it is
 *
 * The tables may have moved to another level, or be in none any more: their files are the same. A file is open only while a page
 * is read.
 *
 * Thread: main. Waits for the disk outside of the call.
 */
import { CorruptionError, systemErrorCode } from '../../shared/base/errors.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import { type ChangePage, PAGE_BYTES, PieceKind } from '../../shared/changes/change-page.ts';
import type { Disk } from '../../shared/disk/disk.ts';
import type { FileSystem, StorageFile } from '../../shared/files/file-system.ts';
import { encodedEntryBytes, encodeEntry, tagOf } from '../../shared/log/entry-codec.ts';
import { Block } from '../../shared/table/block.ts';
import { openBlock } from '../../shared/table/block-codec.ts';
import { BlockIterator } from '../../shared/table/block-iterator.ts';
import { PreadSource } from '../../shared/table/block-source.ts';
import { openTableFile } from '../../shared/table/table-file.ts';
import { TableReader } from '../../shared/table/table-reader.ts';
import type { KeptLoad } from '../manifest/manifest-state.ts';

/** Read at once: what it becomes when it is decompressed may be a page or more. */
const SEALED_BYTES: number = PAGE_BYTES / 4;

export interface LoadPlace {
  readonly table: number;
  readonly block: number;
}

export const LOAD_START: LoadPlace = { table: 0, block: 0 };

export interface LoadPart {
  readonly page: ChangePage;
  /** undefined: that was the last one. */
  readonly next: LoadPlace | undefined;
}

/** In the step of the call: until the file is open, the table could be deleted. */
export function openLoadTable(
  fs: FileSystem,
  directory: string,
  load: KeptLoad,
  { table }: LoadPlace,
): StorageFile {
  try {
    return openTableFile(fs, directory, load.tables[table]! as FileNumber);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    const { file } = error as { readonly file?: string };
    throw new CorruptionError('a table of an ingestion that is kept is missing', {
      file: file ?? directory,
      cause: error,
    });
  }
}

/** Closes `file`, whatever comes of it. */
export async function readLoadPart(
  file: StorageFile,
  disk: Disk,
  load: KeptLoad,
  place: LoadPlace,
): Promise<LoadPart> {
  const source = new PreadSource(file, disk);
  try {
    const number = load.tables[place.table]! as FileNumber;
    const reader = await TableReader.openLater(source, { number }, { hasFilter: false });
    const { index } = reader;
    const first = index.blockOffset(place.block);
    const endOf = (block: number): number => index.blockOffset(block) + index.blockSize(block);
    let last = place.block + 1;
    while (last < reader.blockCount && endOf(last) - first <= SEALED_BYTES) last++;
    const sealed = await source.readLater(first, endOf(last - 1) - first, false);
    const blocks: Block[] = [];
    let decodedBytes = 0;
    for (let i = place.block; i < last && decodedBytes < PAGE_BYTES; i++) {
      const offset = index.blockOffset(i);
      const one = sealed.subarray(offset - first, endOf(i) - first);
      const content = openBlock(one, number, offset, file.path);
      blocks.push(new Block(content, reader.properties.baseSequence, file.path, offset));
      decodedBytes += content.length;
    }
    const next = placeBehind(load, place, place.block + blocks.length, reader.blockCount);
    const kind = next === undefined ? PieceKind.LoadEnd : PieceKind.LoadPart;
    const bytes = encode(blocks, load, file.path);
    return {
      page: { bytes, pieces: Float64Array.of(kind, 0, bytes.length, load.sequence, load.time) },
      next,
    };
  } finally {
    source.close();
  }
}

function placeBehind(
  load: KeptLoad,
  { table }: LoadPlace,
  block: number,
  blockCount: number,
): LoadPlace | undefined {
  if (block < blockCount) return { table, block };
  return table + 1 < load.tables.length ? { table: table + 1, block: 0 } : undefined;
}

function encode(blocks: readonly Block[], { sequence }: KeptLoad, file: string): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(2 * PAGE_BYTES);
  let end = 0;
  const iterator = new BlockIterator();
  for (const block of blocks) {
    iterator.reset(block);
    for (let isThere = iterator.seekToFirst(); isThere; isThere = iterator.next()) {
      const {
        keyBytes,
        keyStart,
        keyEnd,
        valueBytes,
        valueStart,
        valueEnd,
        kind,
        sequence: found,
      } = iterator.entry;
      if (found !== sequence)
        throw new CorruptionError('a table holds more than the ingestion it was made of', { file });
      const needed = end + encodedEntryBytes(keyEnd - keyStart, valueEnd - valueStart, kind);
      if (needed > bytes.length) {
        const grown = new Uint8Array(2 * needed);
        grown.set(bytes.subarray(0, end));
        bytes = grown;
      }
      end = encodeEntry(
        bytes,
        end,
        tagOf(kind),
        keyBytes,
        keyStart,
        keyEnd,
        valueBytes,
        valueStart,
        valueEnd,
      );
    }
  }
  return bytes.slice(0, end);
}
