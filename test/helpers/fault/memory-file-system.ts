/**
 * A disk in memory that starts as a crash state: a module for ModuleSpec, for stores without threads.
 *
 * A thousand crash states a second is what it is for: nothing of a state is written anywhere, and blocks that nobody reads
 * are never put together. The files live in this module, under an id that the spec carries.
 *
 * Thread: main.     Not chosen: tmpfs and hard links, ten system calls per file and state; a sample of the states is
 *                   opened there as well (crash-search.ts).
 */
import { basename } from 'node:path';
import { ioError } from '../../../src/shared/base/errors.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../../src/shared/files/file-system.ts';

/** A file's bytes, made when first needed. */
export interface LazyFile {
  bytes(): Uint8Array;
}

class MemoryFile {
  readonly #source: LazyFile | undefined;
  #bytes: Uint8Array | undefined;
  #length = 0;

  constructor(source?: LazyFile) {
    this.#source = source;
  }

  get content(): Uint8Array {
    if (this.#bytes === undefined) {
      this.#bytes = this.#source?.bytes() ?? new Uint8Array(1024);
      this.#length = this.#source === undefined ? 0 : this.#bytes.length;
    }
    return this.#bytes.subarray(0, this.#length);
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (this.#bytes === undefined || this.#bytes.length < end) {
      const grown = new Uint8Array(end * 2);
      grown.set(this.content);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, position);
    this.#length = Math.max(this.#length, end);
  }
}

const disks = new Map<number, MemoryFileSystem>();
let diskCount = 0;

/** A disk with these files in `directory`; undefined: not even that is there, but everything above it. */
export function mountMemory(
  directory: string,
  files: ReadonlyMap<string, LazyFile> | undefined,
): {
  readonly spec: ModuleSpec;
  readonly unmount: () => void;
} {
  const id = ++diskCount;
  const spec = { module: import.meta.url, options: { id } };
  disks.set(id, new MemoryFileSystem(spec, id, directory, files));
  return { spec, unmount: () => disks.delete(id) };
}

export function createFileSystem(options: { readonly id: number }): FileSystem {
  const disk = disks.get(options.id);
  if (disk === undefined) throw new Error('this disk is not mounted in this thread');
  return disk;
}

/** All paths are taken for names in the one directory there is. */
class MemoryFileSystem implements FileSystem {
  readonly spec: ModuleSpec;
  readonly #id: number;
  readonly #directory: string;
  readonly #files = new Map<string, MemoryFile>();
  #hasDirectory: boolean;

  constructor(
    spec: ModuleSpec,
    id: number,
    directory: string,
    files: ReadonlyMap<string, LazyFile> | undefined,
  ) {
    this.spec = spec;
    this.#id = id;
    this.#directory = directory;
    this.#hasDirectory = files !== undefined;
    for (const [name, file] of files ?? []) this.#files.set(name, new MemoryFile(file));
  }

  #need(path: string, action: string): MemoryFile {
    const file = this.#files.get(basename(path));
    if (file === undefined) throw ioError(action, path, systemError('ENOENT'));
    return file;
  }

  openRead(path: string): StorageFile {
    return openFile(path, this.#need(path, 'open'));
  }

  async openReadAsync(path: string): Promise<StorageFile> {
    return this.openRead(path);
  }

  createExclusive(path: string): StorageFile {
    if (this.#files.has(basename(path))) throw ioError('create', path, systemError('EEXIST'));
    const file = new MemoryFile();
    this.#files.set(basename(path), file);
    return openFile(path, file);
  }

  rename(from: string, to: string): void {
    const file = this.#need(from, 'rename');
    this.#files.delete(basename(from));
    this.#files.set(basename(to), file);
  }

  async renameAsync(from: string, to: string): Promise<void> {
    this.rename(from, to);
  }

  unlink(path: string): void {
    this.#need(path, 'delete');
    this.#files.delete(basename(path));
  }

  async unlinkAsync(path: string): Promise<void> {
    this.unlink(path);
  }

  makeDirectory(): boolean {
    this.#hasDirectory = true;
    return true;
  }

  removeDirectory(): void {
    this.#hasDirectory = false;
  }

  list(): string[] {
    return [...this.#files.keys()];
  }

  stat(path: string): ReturnType<FileSystem['stat']> {
    const file = this.#files.get(basename(path));
    if (file !== undefined)
      return { kind: 'file', sizeBytes: file.content.length, device: 0, inode: this.#id, modifiedMs: 0 };
    const isDirectory = path === this.#directory ? this.#hasDirectory : this.#directory.startsWith(path);
    return isDirectory
      ? { kind: 'directory', sizeBytes: 0, device: -process.pid, inode: this.#id, modifiedMs: 0 }
      : undefined;
  }

  realPath(path: string): string {
    return path;
  }

  syncDirectory(): void {
    // Memory is as durable as it gets here.
  }

  async syncDirectoryAsync(): Promise<void> {
    // See above.
  }
}

function openFile(path: string, file: MemoryFile): StorageFile {
  const readAt = (into: Uint8Array, position: number): number => {
    const part = file.content.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  };
  return {
    path,
    readAt,
    readAtAsync: async (into, position) => readAt(into, position),
    writeAt: (bytes, position) => {
      file.write(bytes, position);
      return bytes.length;
    },
    writeAtAsync: async (bytes, position) => {
      file.write(bytes, position);
      return bytes.length;
    },
    datasync: () => undefined,
    datasyncAsync: async () => undefined,
    size: () => file.content.length,
    close: () => undefined,
  };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: in memory`), { code });
}
