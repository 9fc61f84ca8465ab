/**
 * The tables a job is writing: begins, finishes and, when the job fails, removes them.
 *
 *   1. begin     creates the file exclusively, as NUMBER.sst.new: it is not the store's yet
 *   2. finish    writes what is left of the table and syncs its data (in TableBuilder), closes the file
 *   3. commit    one sync of the directory for all: only now may a reply name the tables
 *   4. discard   instead of 3, after a failure: closes and unlinks every file this job created
 *
 * Invariants: a file that was there before (createExclusive refused it) is not ours and is never unlinked.
 *             After commit or discard nothing is open.
 * Thread:     any; synchronous.
 * Owns:       the descriptors and, until commit, the files of the outputs.
 */
import { assert } from '../shared/base/assert.ts';
import type { FileNumber } from '../shared/base/ids.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { newTablePath, runPath } from '../shared/files/file-names.ts';
import type { FileSystem, StorageFile } from '../shared/files/file-system.ts';
import type { TableOptions } from '../shared/threads/jobs.ts';
import { TableBuilder } from './table-builder.ts';

export class JobOutputs {
  readonly finished: TableInfo[] = [];
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #created: StorageFile[] = [];
  #builder: TableBuilder | undefined;

  constructor(fileSystem: FileSystem, directory: string) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
  }

  /** `baseSequence`: no entry of the table has a smaller sequence. */
  begin(number: FileNumber, options: TableOptions, baseSequence: number): TableBuilder {
    assert(this.#builder === undefined, 'a table is still being written');
    const file = this.#fileSystem.createExclusive(newTablePath(this.#directory, number));
    this.#created.push(file);
    this.#builder = new TableBuilder(file, number, options, baseSequence);
    return this.#builder;
  }

  /** A file for a run; `discard` closes and removes it like the others, else whoever writes it closes it. */
  createRun(number: FileNumber): StorageFile {
    const file = this.#fileSystem.createExclusive(runPath(this.#directory, number));
    this.#created.push(file);
    return file;
  }

  /** Ends the table in progress, if there is one. */
  finish(): void {
    if (this.#builder === undefined) return;
    this.finished.push(this.#builder.finish());
    this.#builder = undefined;
    this.#created.at(-1)?.close();
  }

  commit(): readonly TableInfo[] {
    this.finish();
    if (this.finished.length > 0) this.#fileSystem.syncDirectory(this.#directory);
    return this.finished;
  }

  discard(): void {
    this.#builder = undefined;
    for (const file of this.#created) {
      quietly(() => file.close());
      quietly(() => this.#fileSystem.unlink(file.path));
    }
    this.#created.length = 0;
  }
}

/** The failure being reported matters more than one of cleaning up after it; the next open collects what is left. */
function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // See above.
  }
}
