/**
 * DIR/restoring: what a restore has brought so far, until it is moved up into DIR.
 *
 *   DIR/restoring/restoring.json   which backup, of which target, and the name of the branch that the store will be
 *   DIR/restoring/000012.sst ...   its files
 *   DIR/restoring/manifest.json    written when all of them are there
 *
 *   move up: 1. all files but the manifest, then sync DIR     2. the manifest, then sync DIR     3. the rest of restoring goes
 *
 * Between 1 and 2 the files lie in DIR without a manifest, and open() refuses them for the sake of `restoring`. A restore that is
 * run again moves them down, and takes what still has the right checksum.
 *
 * Invariants: nothing in DIR is touched unless it was found empty, or restoring.json says that it was. A manifest in DIR is that
 *             of a whole store.
 * Thread:     main, under the lock of DIR.
 */
import { dirname, join } from 'node:path';
import { loadManifest, type ManifestState, saveManifest } from '../main/manifest/manifest.ts';
import { CorruptionError, StorageError, systemErrorCode } from '../shared/base/errors.ts';
import { MANIFEST_NAME, parseFileName, RESTORING_NAME } from '../shared/files/file-names.ts';
import {
  closeQuietly,
  type FileSystem,
  readFullyAsync,
  type StorageFile,
  writeFullyAsync,
} from '../shared/files/file-system.ts';
import { makeDirectories } from '../shared/files/make-directories.ts';
import { branchMark, type Parent, parentOf } from './branches.ts';
import type { BackupFile, Description } from './description.ts';
import { BRANCH_PATTERN, ID_PATTERN, randomBranch } from './layout.ts';
import { openSealed, sealText, TARGET_FORMAT } from './sealed-text.ts';
import { CheckingSink } from './verify-backup.ts';

const NOTE_NAME = 'restoring.json';
const NOTE_TEMPORARY_NAME = 'restoring.json.tmp';
const READ_BYTES: number = 256 * 1024;

/** What an interrupted restore has left behind to be known by. */
interface Note {
  readonly targetId: string;
  readonly id: string;
  readonly branch: string;
  /** Up to where the archive is replayed onto the backup; '': it is not. */
  readonly goal: string;
}

/** Anything but what the lock and an earlier restore leave. @throws STRATA_EXISTS. */
export function refuseNonEmpty(fs: FileSystem, root: string): void {
  const found = fs.stat(root);
  if (found === undefined) return;
  if (found.kind === 'file') throw exists(root, 'it is a file');
  const names = fs.list(root);
  // Of a whole store begin() finds out whether it is the one that is wanted.
  const isEnd = names.includes(MANIFEST_NAME) && isUnbegun(fs, root);
  const isOurs = names.includes(RESTORING_NAME) && (isEnd || readNote(fs, root) !== undefined);
  const foreign = names.find((name) => {
    const kind = parseFileName(name)?.kind;
    if (kind === 'lock' || kind === 'lock-socket') return false;
    if (kind === 'restoring') return !isOurs && !isUnbegun(fs, root);
    return !isOurs || kind === undefined;
  });
  if (foreign !== undefined) throw exists(root, `it holds ${foreign}`);
}

/** A restore that was interrupted before it could say what it is has brought nothing; or all, and only had to go. */
function isUnbegun(fs: FileSystem, root: string): boolean {
  const path = join(root, RESTORING_NAME);
  return fs.stat(path)?.kind === 'directory' && fs.list(path).every((name) => name === NOTE_TEMPORARY_NAME);
}

export class RestoreStage {
  readonly #fs: FileSystem;
  readonly #root: string;
  readonly #note: Note;
  /** An earlier restore came as far as the manifest; what is missing is to be cleaned up. */
  readonly isDone: boolean;

  private constructor(fs: FileSystem, root: string, note: Note, isDone: boolean) {
    this.#fs = fs;
    this.#root = root;
    this.#note = note;
    this.isDone = isDone;
  }

  /** The directory, durably. */
  static async makeRoot(fs: FileSystem, root: string): Promise<void> {
    for (const made of makeDirectories(fs, root)) await fs.syncDirectoryAsync(dirname(made));
  }

  /** Under the lock. */
  static async begin(
    fs: FileSystem,
    root: string,
    description: Description,
    goal: string,
  ): Promise<RestoreStage> {
    refuseNonEmpty(fs, root);
    const { id, targetId } = description;
    const found = readNote(fs, root);
    const isSame = found?.id === id && found.targetId === targetId && found.goal === goal;
    if (fs.stat(join(root, MANIFEST_NAME)) !== undefined) {
      if ((found !== undefined && !isSame) || !isRestored(fs, root, description, goal))
        throw exists(root, `it holds ${MANIFEST_NAME}`);
      return new RestoreStage(fs, root, { id, targetId, branch: '', goal }, true);
    }
    const note = isSame ? found : { id, targetId, branch: randomBranch(), goal };
    const stage = new RestoreStage(fs, root, note, false);
    await stage.#gather(description, isSame);
    if (!isSame) await stage.#writeNote();
    return stage;
  }

  pathOf(name: string): string {
    return join(this.#root, RESTORING_NAME, name);
  }

  /** Whether the file is there from an earlier restore, as it should be. */
  async holds(expected: BackupFile): Promise<boolean> {
    const path = this.pathOf(expected.name);
    if (this.#fs.stat(path)?.sizeBytes !== expected.sizeBytes) return false;
    const file = this.#fs.openRead(path);
    try {
      const check = new CheckingSink(expected);
      const part = Buffer.allocUnsafe(READ_BYTES);
      check.begin();
      for (let position = 0; position < expected.sizeBytes; position += part.length) {
        const count = await readFullyAsync(file, part, position);
        check.write(part.subarray(0, count));
      }
      if (check.end() !== undefined) return false;
      // The restore that brought it may have been killed before this.
      await file.datasyncAsync();
      return true;
    } finally {
      closeQuietly(file);
    }
  }

  /** Where the store is that is being made. */
  get directory(): string {
    return join(this.#root, RESTORING_NAME);
  }

  /** The manifest of the store, with its pages, in the stage. `parent`: where it comes from. */
  async writeManifest(state: ManifestState, parent: Parent): Promise<void> {
    await this.#fs.syncDirectoryAsync(this.directory);
    await saveManifest(this.#fs, this.directory, { ...state, branch: branchMark(this.#note.branch, parent) });
  }

  async moveUp(): Promise<void> {
    const names = this.#fs
      .list(this.pathOf(''))
      .filter((name) => isStoreFile(name) && name !== MANIFEST_NAME);
    for (const name of names) await this.#fs.renameAsync(this.pathOf(name), join(this.#root, name));
    await this.#fs.syncDirectoryAsync(this.#root);
    await this.#fs.renameAsync(this.pathOf(MANIFEST_NAME), join(this.#root, MANIFEST_NAME));
    await this.#fs.syncDirectoryAsync(this.#root);
  }

  /** What is left of the stage. */
  async cleanUp(): Promise<void> {
    for (const name of this.#fs.list(this.pathOf(''))) await this.#fs.unlinkAsync(this.pathOf(name));
    this.#fs.removeDirectory(this.pathOf(''));
    await this.#fs.syncDirectoryAsync(this.#root);
  }

  /** All that an earlier restore has left, into the stage; what is of no use to this one goes. */
  async #gather({ files }: Description, isSame: boolean): Promise<void> {
    const fs = this.#fs;
    const wanted = new Set(isSame ? files.map(({ name }) => name) : []);
    const isNew = fs.makeDirectory(join(this.#root, RESTORING_NAME));
    if (isNew) return await fs.syncDirectoryAsync(this.#root);
    for (const name of fs.list(this.#root).filter(isStoreFile)) {
      if (wanted.has(name)) await fs.renameAsync(join(this.#root, name), this.pathOf(name));
      else await fs.unlinkAsync(join(this.#root, name));
    }
    for (const name of fs.list(this.pathOf('')))
      if (!wanted.has(name) && name !== NOTE_NAME) await fs.unlinkAsync(this.pathOf(name));
  }

  async #writeNote(): Promise<void> {
    const fs = this.#fs;
    const temporary = this.pathOf(NOTE_TEMPORARY_NAME);
    const file: StorageFile = fs.createExclusive(temporary);
    try {
      await writeFullyAsync(file, sealText({ format: TARGET_FORMAT, ...this.#note }), 0);
      await file.datasyncAsync();
    } finally {
      file.close();
    }
    await fs.renameAsync(temporary, this.pathOf(NOTE_NAME));
    await fs.syncDirectoryAsync(this.pathOf(''));
  }
}

/** Files that are moved up, and down again. */
function isStoreFile(name: string): boolean {
  const kind = parseFileName(name)?.kind;
  return kind === 'table' || kind === 'log' || kind === 'page' || kind === 'manifest';
}

/** undefined: there is none, or nothing that can be one. */
function readNote(fs: FileSystem, root: string): Note | undefined {
  const path = join(root, RESTORING_NAME, NOTE_NAME);
  let file: StorageFile;
  try {
    file = fs.openRead(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(file.size());
    for (let done = 0, count = -1; done < bytes.length && count !== 0; done += count)
      count = file.readAt(bytes.subarray(done), done);
    const fields = openSealed(bytes, path);
    return {
      targetId: fields.text('targetId'),
      id: fields.text('id', ID_PATTERN),
      branch: fields.text('branch', BRANCH_PATTERN),
      goal: fields.text('goal'),
    };
  } catch (error) {
    // Then nothing says that the directory was empty.
    if (error instanceof CorruptionError) return undefined;
    throw error;
  } finally {
    closeQuietly(file);
  }
}

/** Whether the store is the one that was restored, and has not gone on since. */
/** Its manifest says where it comes from; a replay is one owner, who writes no more than that. */
function isRestored(fs: FileSystem, root: string, { id, manifest }: Description, goal: string): boolean {
  const state = loadManifest(fs, root);
  const parent = parentOf({ mark: state?.branch });
  if (state === undefined || parent?.backup !== id || state.lastSequence !== parent.sequence) return false;
  const owners = goal === '' ? [state.ownerEpoch] : [state.ownerEpoch, state.ownerEpoch - 1];
  return owners.some((epoch) => manifest.includes(`"ownerEpoch": ${epoch},`));
}

function exists(root: string, what: string): StorageError {
  return new StorageError('STRATA_EXISTS', `the directory ${root} exists and is not empty: ${what}`);
}
