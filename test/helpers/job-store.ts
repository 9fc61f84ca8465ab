/**
 * A directory to run jobs in, without an engine: makes tables and memtables, reads tables back, and can watch or fail
 * every operation on the disk.
 *
 * Owns: the directory, removed when the test ends.
 */

import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Entry } from '../../src/shared/base/entry.ts';
import { fileNumber, level, type SequenceNumber } from '../../src/shared/base/ids.ts';
import type { TableInfo } from '../../src/shared/base/version-edit.ts';
import { tablePath } from '../../src/shared/files/file-names.ts';
import type { FileSystem, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { MemtableArena } from '../../src/shared/memtable/arena.ts';
import { Memtable } from '../../src/shared/memtable/memtable.ts';
import { PreadSource } from '../../src/shared/table/block-source.ts';
import { openTableFile } from '../../src/shared/table/table-file.ts';
import { TableIterator } from '../../src/shared/table/table-iterator.ts';
import { TableReader } from '../../src/shared/table/table-reader.ts';
import { ControlBlock } from '../../src/shared/threads/control-block.ts';
import type { CompactJob, FlushJob, TableOptions, VerifyJob } from '../../src/shared/threads/jobs.ts';
import { OutputNumbers } from '../../src/shared/threads/output-numbers.ts';
import { TableBuilder } from '../../src/workers/table-builder.ts';
import { type ArrayEntry, compareEntries, copyEntry } from './array-iterator.ts';
import { removeDirectory } from './temp-directory.ts';

export const TABLE_OPTIONS: TableOptions = {
  blockSizeBytes: 256,
  restartInterval: 4,
  compression: 'snappy',
  bloomBitsPerKey: 10,
};

export class JobStore {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'stratakv-job-'));
  readonly control: ControlBlock = new ControlBlock();

  constructor(t: TestContext) {
    // Where the numbers that jobs take begin.
    this.control.raiseFileNumber(1000);
    t.after(() => removeDirectory(this.directory));
  }

  get files(): string[] {
    return readdirSync(this.directory).sort();
  }

  flushJob(writes: readonly ArrayEntry[], changes: Partial<FlushJob> = {}): FlushJob {
    return {
      kind: 'flush',
      ...this.#context(),
      memtable: memtableOf(writes),
      output: fileNumber(1),
      table: TABLE_OPTIONS,
      snapshots: [],
      snapshotTimes: (changes.snapshots ?? []).map(() => 0),
      nowMs: 0,
      deeper: 'unknown',
      ...changes,
    };
  }

  compactJob(inputs: readonly (readonly TableInfo[])[], changes: Partial<CompactJob> = {}): CompactJob {
    return {
      kind: 'compact',
      ...this.#context(),
      inputs,
      outputLevel: level(1),
      range: {},
      outputs: OutputNumbers.create(100).buffer,
      maxFileSizeBytes: 2 * 1024 * 1024,
      table: TABLE_OPTIONS,
      snapshots: [],
      snapshotTimes: (changes.snapshots ?? []).map(() => 0),
      nowMs: 0,
      deeper: [],
      grandparents: [],
      ...changes,
    };
  }

  verifyJob(table: TableInfo): VerifyJob {
    return { kind: 'verify', ...this.#context(), table };
  }

  writeTable(number: number, entries: readonly ArrayEntry[]): TableInfo {
    const file = nodeFileSystem.createExclusive(tablePath(this.directory, fileNumber(number)));
    const builder = new TableBuilder(file, fileNumber(number), TABLE_OPTIONS, 0);
    for (const { key, value, sequence, kind } of entries.toSorted(compareEntries)) {
      const entry = new Entry();
      entry.keyBytes = key;
      entry.keyEnd = key.length;
      entry.valueBytes = value;
      entry.valueEnd = value.length;
      entry.sequence = sequence;
      entry.kind = kind;
      builder.add(entry);
    }
    const table = builder.finish();
    file.close();
    return table;
  }

  readTable(table: TableInfo): ArrayEntry[] {
    const file = openTableFile(nodeFileSystem, this.directory, table.number);
    const reader = TableReader.open(new PreadSource(file), table);
    const iterator = new TableIterator(reader);
    const entries: ArrayEntry[] = [];
    for (let on = iterator.seekToFirst(); on; on = iterator.next()) entries.push(copyEntry(iterator.entry));
    reader.close();
    return entries;
  }

  #context(): Pick<FlushJob, 'directory' | 'fileSystem' | 'control' | 'slot'> {
    return { directory: this.directory, fileSystem: undefined, control: this.control.buffer, slot: 0 };
  }
}

/** A memtable with `writes` in the order of their sequences, which must follow one another. */
export function memtableOf(writes: readonly ArrayEntry[]): SharedArrayBuffer {
  const inOrder = writes.toSorted((a, b) => a.sequence - b.sequence);
  const memtable = new Memtable(MemtableArena.create(4 * 1024 * 1024, inOrder[0]?.sequence ?? 1));
  for (const { kind, key, value } of inOrder) {
    memtable.append(kind, key, 0, key.length, value, 0, value.length);
  }
  return memtable.arena.buffer;
}

export function snapshots(...numbers: number[]): SequenceNumber[] {
  return numbers as SequenceNumber[];
}

/** The real disk, with `before` called ahead of each operation; when it throws, the operation fails. */
export function watchedFileSystem(before: (operation: string, path: string) => void): FileSystem {
  const watchFile = (file: StorageFile): StorageFile => ({
    path: file.path,
    readAt: (into, position) => {
      before('read', file.path);
      return file.readAt(into, position);
    },
    writeAt: (bytes, position) => {
      before('write', file.path);
      return file.writeAt(bytes, position);
    },
    writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
    datasync: () => {
      before('datasync', file.path);
      file.datasync();
    },
    datasyncAsync: () => file.datasyncAsync(),
    size: () => file.size(),
    close: () => {
      before('close', file.path);
      file.close();
    },
  });
  return {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    openReadAsync: undefined,
    openRead: (path) => {
      before('openRead', path);
      return watchFile(nodeFileSystem.openRead(path));
    },
    createExclusive: (path) => {
      before('create', path);
      return watchFile(nodeFileSystem.createExclusive(path));
    },
    unlink: (path) => {
      before('unlink', path);
      nodeFileSystem.unlink(path);
    },
    syncDirectory: (path) => {
      before('syncDirectory', path);
      nodeFileSystem.syncDirectory(path);
    },
  };
}
