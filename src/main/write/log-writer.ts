/**
 * Writes one write-ahead log: the file whose bytes are the data part of one memtable's arena.
 *
 * The file is created with the memtable, when the first write needs one, so that opening a store writes nothing. Bytes are
 * written front to back and never again; the writer knows how far it has written and how far a completed fdatasync reaches.
 *
 * A first write that fails may have left nothing in the file ({@link LogWriter.hasNothing}), or a part. Such a log can be
 * deleted, as no write in it was acknowledged; one that has been written to before can't.
 *
 * Invariants: syncedUpTo <= writtenUpTo; both are file offsets. The new file's directory entry is synced before the first
 *             sync is reported done.
 * Thread:     main.     Owns: the log's file descriptor.
 */
import { ioError } from '../../shared/base/errors.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import { logPath } from '../../shared/files/file-names.ts';
import {
  closeQuietly,
  type FileSystem,
  type StorageFile,
  writeFully,
  writeFullyAsync,
} from '../../shared/files/file-system.ts';
import { firstGroupIn } from '../files/file-identity.ts';
import type { SyncableLog } from './log-sync.ts';

/** What of a file system a log needs. */
export type LogFiles = Pick<FileSystem, 'createExclusive' | 'syncDirectoryAsync'>;
/** Of a write that goes through the thread pool: so often is it seen to get on. */
const PART_BYTES: number = 16 * 1024 * 1024;

export class LogWriter implements SyncableLog {
  readonly number: FileNumber;
  readonly path: string;
  readonly #fs: LogFiles;
  readonly #directory: string;
  #file: StorageFile | undefined;
  #writtenUpTo = 0;
  #syncedUpTo = 0;
  #directorySynced = false;
  #syncing: Promise<void> | undefined;
  #isRetired = false;
  #steps = 0;
  #firstGroup = 0;

  private constructor(fs: LogFiles, directory: string, number: FileNumber, path: string) {
    this.#fs = fs;
    this.#directory = directory;
    this.number = number;
    this.path = path;
    this.#file = fs.createExclusive(path);
  }

  /** Creates the file. */
  static create(fs: LogFiles, directory: string, number: FileNumber): LogWriter {
    return new LogWriter(fs, directory, number, logPath(directory, number));
  }

  /** Bytes handed to the operating system. */
  get writtenUpTo(): number {
    return this.#writtenUpTo;
  }

  get syncedUpTo(): number {
    return this.#syncedUpTo;
  }

  /** Rises with every part of a write and with every sync that ends: whether the disk answers. */
  get steps(): number {
    return this.#steps;
  }

  /** The checksum of the first group of writes; 0 before there is one. */
  get firstGroup(): number {
    return this.#firstGroup;
  }

  write(bytes: Uint8Array): void {
    if (this.#writtenUpTo === 0) this.#firstGroup = firstGroupIn(bytes);
    writeFully(this.#openFile(), bytes, this.#writtenUpTo);
    this.#writtenUpTo += bytes.length;
  }

  async writeAsync(bytes: Uint8Array): Promise<void> {
    const file = this.#openFile();
    if (this.#writtenUpTo === 0) this.#firstGroup = firstGroupIn(bytes);
    for (let done = 0; done < bytes.length; done += PART_BYTES) {
      await writeFullyAsync(file, bytes.subarray(done, done + PART_BYTES), this.#writtenUpTo + done);
      this.#steps++;
    }
    this.#writtenUpTo += bytes.length;
  }

  /** Whether the file still has its name, as far as is known; true once it is retired, and may be deleted. */
  get isLinked(): boolean {
    return this.#isRetired || (this.#file?.isLinked?.() ?? true);
  }

  /** Whether the file is empty, for certain. */
  get hasNothing(): boolean {
    try {
      return this.#file?.size() === 0;
    } catch {
      // A disk that can't say how long a file is may have written to it.
      return false;
    }
  }

  /** Makes everything written before the call survive power loss. Calls queue up; a retired log has nothing to sync. */
  async sync(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    if (this.#isRetired || this.#file === undefined || this.#syncedUpTo === this.#writtenUpTo) return;
    this.#syncing = this.#syncOnce(this.#file, this.#writtenUpTo);
    try {
      await this.#syncing;
    } finally {
      this.#syncing = undefined;
      if (this.#isRetired) this.#close();
    }
  }

  async #syncOnce(file: StorageFile, upTo: number): Promise<void> {
    await file.datasyncAsync();
    this.#steps++;
    if (!this.#directorySynced) {
      await this.#fs.syncDirectoryAsync(this.#directory);
      this.#directorySynced = true;
      this.#steps++;
    }
    this.#syncedUpTo = upTo;
  }

  /** The log is no longer needed, or the store closes: gives up the file, after a sync that is under way. */
  retire(): void {
    this.#isRetired = true;
    if (this.#syncing === undefined) this.#close();
  }

  #openFile(): StorageFile {
    if (this.#file === undefined) throw ioError('write', this.path, new Error('the log is closed'));
    return this.#file;
  }

  /** What of the log is needed has been synced, or its writers were rejected. */
  #close(): void {
    if (this.#file !== undefined) closeQuietly(this.#file);
    this.#file = undefined;
  }
}

/** A log of the previous run, to be synced once: after a crash its bytes may be in the page cache only. */
export class RecoveredLogFile implements SyncableLog {
  readonly number: FileNumber;
  readonly writtenUpTo: number;
  readonly syncedUpTo = 0;
  readonly #fs: FileSystem;
  readonly #directory: string;

  constructor(fs: FileSystem, directory: string, number: FileNumber, sizeBytes: number) {
    this.#fs = fs;
    this.#directory = directory;
    this.number = number;
    this.writtenUpTo = sizeBytes;
  }

  async sync(): Promise<void> {
    // Windows refuses to flush a file that is open for reading; NTFS writes back what a dead process left behind.
    if (process.platform === 'win32') return;
    const file = this.#fs.openRead(logPath(this.#directory, this.number));
    try {
      await file.datasyncAsync();
    } finally {
      file.close();
    }
    await this.#fs.syncDirectoryAsync(this.#directory);
  }
}
