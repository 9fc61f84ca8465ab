/**
 * One sorted run of a compaction's input: tables opened one after the other as the merge reaches them.
 *
 * Invariants: at most one file is open. A table whose size is not the manifest's is refused before it is read.
 * Thread:     any; synchronous.
 * Owns:       the open file and its reader.
 */

import { CorruptionError } from '../shared/base/errors.ts';
import type { InternalIterator } from '../shared/base/iterator.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { closeQuietly, type FileSystem } from '../shared/files/file-system.ts';
import { ConcatIterator } from '../shared/merge/concat-iterator.ts';
import { openTableFile } from '../shared/table/table-file.ts';
import { TableIterator } from '../shared/table/table-iterator.ts';
import { TableReader } from '../shared/table/table-reader.ts';
import { ReadAheadSource } from './read-ahead-source.ts';

export class InputRun {
  readonly iterator: ConcatIterator;
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #tables: readonly TableInfo[];
  #reader: TableReader | undefined;

  constructor(fileSystem: FileSystem, directory: string, tables: readonly TableInfo[]) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#tables = tables;
    this.iterator = new ConcatIterator(tables, (index) => this.#open(index));
  }

  close(): void {
    this.iterator.close();
    this.#closeReader();
  }

  /** The iterator has closed its child before it asks for the next one, so the last reader is done with. */
  #open(index: number): InternalIterator {
    this.#closeReader();
    const table = this.#tables[index]!;
    const file = openTableFile(this.#fileSystem, this.#directory, table.number);
    try {
      const size = file.size();
      if (size !== table.sizeBytes) {
        throw new CorruptionError(`table has ${size} bytes instead of ${table.sizeBytes}`, {
          file: file.path,
        });
      }
      this.#reader = TableReader.open(
        new ReadAheadSource(file),
        { number: table.number },
        { hasFilter: false },
      );
    } catch (error) {
      file.close();
      throw error;
    }
    return new TableIterator(this.#reader, false);
  }

  #closeReader(): void {
    if (this.#reader !== undefined) closeQuietly(this.#reader);
    this.#reader = undefined;
  }
}
