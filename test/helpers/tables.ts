/**
 * Builds tables in memory and reads them back, for the tests of the table format.
 */

import { Entry, EntryKind } from '../../src/shared/base/entry.ts';
import { type FileNumber, fileNumber } from '../../src/shared/base/ids.ts';
import type { InternalIterator } from '../../src/shared/base/iterator.ts';
import type { TableInfo } from '../../src/shared/base/version-edit.ts';
import type { RangeDeletes } from '../../src/shared/ranges/range-deletes.ts';
import { PreadSource } from '../../src/shared/table/block-source.ts';
import { TableReader, type TableReaderOptions } from '../../src/shared/table/table-reader.ts';
import type { TableOptions } from '../../src/shared/threads/jobs.ts';
import { TableBuilder } from '../../src/workers/table-builder.ts';
import { MemoryFile } from './memory-file.ts';

export interface Row {
  readonly key: Uint8Array;
  readonly sequence: number;
  readonly kind: number;
  readonly value: Uint8Array;
}

export const TABLE_OPTIONS: TableOptions = {
  blockSizeBytes: 4096,
  restartInterval: 16,
  compression: 'snappy',
  bloomBitsPerKey: 10,
};

export const TABLE_NUMBER: FileNumber = fileNumber(7);

export interface BuiltTable {
  readonly bytes: Uint8Array;
  readonly meta: TableInfo;
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function put(key: Uint8Array | string, sequence: number, value: Uint8Array | string = ''): Row {
  return {
    key: typeof key === 'string' ? utf8(key) : key,
    sequence,
    kind: EntryKind.Put,
    value: typeof value === 'string' ? utf8(value) : value,
  };
}

export function tombstone(key: Uint8Array | string, sequence: number): Row {
  return { ...put(key, sequence), kind: EntryKind.Delete };
}

export function entryOf(row: Row, entry: Entry = new Entry()): Entry {
  entry.keyBytes = row.key;
  entry.keyStart = 0;
  entry.keyEnd = row.key.length;
  entry.valueBytes = row.value;
  entry.valueStart = 0;
  entry.valueEnd = row.value.length;
  entry.sequence = row.sequence;
  entry.kind = row.kind;
  return entry;
}

/** A copy of what `entry` points at. */
export function rowOf(entry: Entry): Row {
  return {
    key: new Uint8Array(entry.keyBytes.subarray(entry.keyStart, entry.keyEnd)),
    sequence: entry.sequence,
    kind: entry.kind,
    value: new Uint8Array(entry.valueBytes.subarray(entry.valueStart, entry.valueEnd)),
  };
}

/** In the order of entries: key ascending, sequence descending. */
export function compareRows(a: Row, b: Row): number {
  return Buffer.compare(a.key, b.key) || b.sequence - a.sequence;
}

export function buildTable(
  rows: readonly Row[],
  options: Partial<TableOptions> = {},
  number: FileNumber = TABLE_NUMBER,
  ranges?: RangeDeletes,
): BuiltTable {
  const file = new MemoryFile(`00000${number}.sst`);
  const base = rows.reduce((least, row) => Math.min(least, row.sequence), Number.MAX_SAFE_INTEGER);
  const builder = new TableBuilder(file, number, { ...TABLE_OPTIONS, ...options }, base);
  const entry = new Entry();
  for (const row of rows) builder.add(entryOf(row, entry));
  builder.setRanges(ranges);
  const meta = builder.finish();
  return { bytes: file.content, meta };
}

export function sourceOf(bytes: Uint8Array, path = '/db/000007.sst'): PreadSource {
  return new PreadSource(new MemoryFile(path, bytes));
}

export function openTable(
  bytes: Uint8Array,
  options: TableReaderOptions = {},
  number: FileNumber = TABLE_NUMBER,
): TableReader {
  return TableReader.open(sourceOf(bytes), { number }, options);
}

export function collect(iterator: InternalIterator): Row[] {
  const rows: Row[] = [];
  for (let on = iterator.seekToFirst(); on; on = iterator.next()) rows.push(rowOf(iterator.entry));
  return rows;
}

export function collectBackwards(iterator: InternalIterator): Row[] {
  const rows: Row[] = [];
  for (let on = iterator.seekToLast(); on; on = iterator.prev()) rows.push(rowOf(iterator.entry));
  return rows;
}
