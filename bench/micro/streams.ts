/**
 * Long runs of entries: the merge of several sources, a whole table built and read, the checksum.
 */
import { crc32 } from '../../src/shared/base/checksum.ts';
import { Entry, EntryKind } from '../../src/shared/base/entry.ts';
import type { FileNumber } from '../../src/shared/base/ids.ts';
import type { InternalIterator } from '../../src/shared/base/iterator.ts';
import type { StorageFile } from '../../src/shared/files/file-system.ts';
import { MemtableArena } from '../../src/shared/memtable/arena.ts';
import { Memtable } from '../../src/shared/memtable/memtable.ts';
import { memtableIterator } from '../../src/shared/memtable/memtable-iterator.ts';
import { MergingIterator } from '../../src/shared/merge/merging-iterator.ts';
import { TableBuilder } from '../../src/workers/table-builder.ts';
import { type Micro, makeDataset, standOn } from './micro.ts';

const ENTRIES = 20_000;
const ARENA_BYTES_PER_ENTRY = 256;

/** A file that forgets, so that building is measured and not a disk. */
class NullFile implements StorageFile {
  readonly path = 'micro';
  #size = 0;

  readAt(): number {
    return 0;
  }

  writeAt(bytes: Uint8Array, position: number): number {
    this.#size = Math.max(this.#size, position + bytes.length);
    return bytes.length;
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return Promise.resolve(this.writeAt(bytes, position));
  }

  datasync(): void {
    this.#size += 0;
  }

  datasyncAsync(): Promise<void> {
    return Promise.resolve();
  }

  size(): number {
    return this.#size;
  }

  close(): void {
    this.#size = 0;
  }
}

function merge(sources: number): Micro {
  return {
    name: `merge, an entry of ${sources} interleaved sources`,
    operationsPerCall: ENTRIES,
    make: () => {
      const data = makeDataset(ENTRIES);
      const tables = Array.from(
        { length: sources },
        () => new Memtable(MemtableArena.create(ENTRIES * ARENA_BYTES_PER_ENTRY, 1)),
      );
      for (let record = 0; record < ENTRIES; record++) {
        const key = data.key(record);
        const value = data.value(record);
        tables[record % sources]!.append(EntryKind.Put, key, 0, key.length, value, 0, value.length);
      }
      return () => {
        const children = tables.map(({ arena }): InternalIterator => memtableIterator(arena.buffer));
        const merged = new MergingIterator(children);
        let steps = 0;
        for (let stands = merged.seekToFirst(); stands; stands = merged.next()) steps++;
        return steps;
      };
    },
  };
}

function build(compression: 'none' | 'snappy'): Micro {
  return {
    name: `table build, an entry, ${compression}`,
    operationsPerCall: ENTRIES,
    make: () => {
      const data = makeDataset(ENTRIES);
      const keys = Array.from({ length: ENTRIES }, (_, record) => data.key(record));
      const entry = new Entry();
      const options = { blockSizeBytes: 4096, restartInterval: 16, compression, bloomBitsPerKey: 10 };
      return () => {
        const builder = new TableBuilder(new NullFile(), 1 as FileNumber, options, 0);
        for (let i = 0; i < ENTRIES; i++) builder.add(standOn(entry, keys[i]!, data.value(i), i + 1));
        return builder.finish();
      };
    },
  };
}

function checksum(length: number): Micro {
  const bytes = new Uint8Array(length).fill(7);
  return { name: `checksum, ${length} bytes`, operationsPerCall: 1, make: () => () => crc32(bytes) };
}

export const STREAM_MICROS: readonly Micro[] = [
  merge(2),
  merge(8),
  build('none'),
  build('snappy'),
  checksum(128),
  checksum(4096),
];
