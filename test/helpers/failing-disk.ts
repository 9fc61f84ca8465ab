/**
 * The real disk with switches, under every thread of a store: while one is on, that kind of operation fails.
 *
 *   const disk = new FailingDisk();
 *   const engine = await openEngine(path, options, { fileSystem: disk.spec });
 *   disk.fail('createTable', 'ENOSPC');
 *
 * The switches are words of shared memory, so that workers see them at once.
 */
import { ioError } from '../../src/shared/base/errors.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';

const OPERATIONS = [
  'createTable',
  'writeLargeTable',
  'createRun',
  'openTable',
  'readTable',
  'writeLog',
  'syncLog',
  'stageManifest',
  'renameManifest',
] as const;
const CODES = ['', 'ENOSPC', 'EIO', 'EFBIG', 'EMFILE', 'ESTALE'] as const;
/** Above what a flush of a tiny memtable writes: only compactions write beyond it. */
const LARGE_TABLE_BYTES = 12_288;

export type DiskOperation = (typeof OPERATIONS)[number];

interface DiskOptions {
  readonly switches: SharedArrayBuffer;
}

export class FailingDisk {
  readonly #words = new Int32Array(new SharedArrayBuffer(OPERATIONS.length * 4));

  get spec(): ModuleSpec {
    const options: DiskOptions = { switches: this.#words.buffer as SharedArrayBuffer };
    return { module: import.meta.url, options };
  }

  fail(operation: DiskOperation, code: Exclude<(typeof CODES)[number], ''>): void {
    Atomics.store(this.#words, OPERATIONS.indexOf(operation), CODES.indexOf(code));
  }

  recover(): void {
    for (let i = 0; i < this.#words.length; i++) Atomics.store(this.#words, i, 0);
  }
}

export function createFileSystem(options: DiskOptions): FileSystem {
  const words = new Int32Array(options.switches);
  const check = (operation: DiskOperation, path: string): void => {
    const code = CODES[Atomics.load(words, OPERATIONS.indexOf(operation))]!;
    if (code === '') return;
    const cause = Object.assign(new Error(`${code}: from the failing disk`), { code });
    throw ioError('write', path, cause);
  };
  return {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    spec: { module: import.meta.url, options },
    openRead: (path) => {
      if (!isTable(path)) return nodeFileSystem.openRead(path);
      check('openTable', path);
      return failingReads(nodeFileSystem.openRead(path), check);
    },
    openReadAsync: async (path) => {
      if (!isTable(path)) return await openLater(path);
      check('openTable', path);
      return failingReads(await openLater(path), check);
    },
    createExclusive: (path) => {
      if (path.endsWith('.sst.new')) check('createTable', path);
      if (path.endsWith('.run')) check('createRun', path);
      if (path.endsWith('.tmp')) check('stageManifest', path);
      const file = nodeFileSystem.createExclusive(path);
      if (path.endsWith('.sst.new')) return failingTable(file, check);
      return path.endsWith('.log') ? failingLog(file, check) : file;
    },
    renameAsync: async (from, to) => {
      if (to.endsWith('manifest.json')) check('renameManifest', to);
      await nodeFileSystem.renameAsync(from, to);
    },
  };
}

function isTable(path: string): boolean {
  return path.endsWith('.sst') || path.endsWith('.sst.new');
}

async function openLater(path: string): Promise<StorageFile> {
  return (await nodeFileSystem.openReadAsync?.(path)) ?? nodeFileSystem.openRead(path);
}

/** What memory has can be read whatever the disk does: mapped, or with readResident. */
function failingReads(
  file: StorageFile,
  check: (operation: DiskOperation, path: string) => void,
): StorageFile {
  return {
    path: file.path,
    readAt: (into, position) => {
      check('readTable', file.path);
      return file.readAt(into, position);
    },
    readAtAsync: async (into, position) => {
      check('readTable', file.path);
      return (await file.readAtAsync?.(into, position)) ?? file.readAt(into, position);
    },
    get readResident() {
      return file.readResident;
    },
    writeAt: (bytes, position) => file.writeAt(bytes, position),
    writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
    datasync: () => file.datasync(),
    datasyncAsync: () => file.datasyncAsync(),
    size: () => file.size(),
    isLinked: () => file.isLinked?.() ?? true,
    map: () => file.map?.(),
    close: () => file.close(),
  };
}

function failingLog(file: StorageFile, check: (operation: DiskOperation, path: string) => void): StorageFile {
  return {
    path: file.path,
    readAt: (into, position) => file.readAt(into, position),
    writeAt: (bytes, position) => {
      check('writeLog', file.path);
      return file.writeAt(bytes, position);
    },
    writeAtAsync: async (bytes, position) => {
      check('writeLog', file.path);
      return await file.writeAtAsync(bytes, position);
    },
    datasync: () => file.datasync(),
    datasyncAsync: async () => {
      check('syncLog', file.path);
      await file.datasyncAsync();
    },
    size: () => file.size(),
    close: () => file.close(),
  };
}

function failingTable(
  file: StorageFile,
  check: (operation: DiskOperation, path: string) => void,
): StorageFile {
  return {
    path: file.path,
    readAt: (into, position) => file.readAt(into, position),
    writeAt: (bytes, position) => {
      if (position + bytes.length > LARGE_TABLE_BYTES) check('writeLargeTable', file.path);
      return file.writeAt(bytes, position);
    },
    writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
    datasync: () => file.datasync(),
    datasyncAsync: () => file.datasyncAsync(),
    size: () => file.size(),
    close: () => file.close(),
  };
}
