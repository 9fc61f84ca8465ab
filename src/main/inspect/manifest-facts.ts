/**
 * What a manifest says: the root (manifest.json) with its pages, or one page alone; and whether the files it names are there.
 *
 *   sound      as the store reads it, checksums and rules and all
 *   damaged    what can be read of it line by line (manifest-lines.ts), and of each page likewise: nothing of that is proven
 *
 * A running store replaces its manifest and deletes files that the one before named. So where something is missing and the
 * manifest has been replaced meanwhile, all is read again.
 *
 * Invariants: reads only. Each fault has a file, and an offset where there is one.
 * Thread:     main.
 */
import { basename, dirname, join } from 'node:path';
import { CorruptionError, type StorageError } from '../../shared/base/errors.ts';
import { type FileNumber, LEVEL_COUNT, type Level, MAX_FILE_NUMBER } from '../../shared/base/ids.ts';
import type { LeveledTable, TableInfo } from '../../shared/base/version-edit.ts';
import type { ClosedEpoch } from '../../shared/changes/history.ts';
import {
  logPath,
  MANIFEST_NAME,
  newPagePath,
  pagePath,
  parseFileName,
  type StoreFile,
  tablePath,
} from '../../shared/files/file-names.ts';
import { type FileSystem, readFully, type StorageFile } from '../../shared/files/file-system.ts';
import { statTableFile } from '../../shared/table/table-file.ts';
import { findEpochs } from '../files/epochs.ts';
import { decodeManifest, manifestStamp, pagesIn, refuseMoreLinesThanFiles } from '../manifest/manifest.ts';
import { MAX_MANIFEST_BYTES } from '../manifest/manifest-root.ts';
import type {
  KeptLoad,
  KeptLog,
  ManifestState,
  ObsoleteLog,
  ObsoleteTable,
  SealedLog,
} from '../manifest/manifest-state.ts';
import { openText } from '../manifest/manifest-text.ts';
import { readPage } from '../manifest/page-files.ts';
import { faultOf, WrongFile } from './inspected-file.ts';
import { type Fields, type ReadLines, readLines } from './manifest-lines.ts';

export interface PageFacts {
  readonly level: number;
  readonly number: number;
  readonly sizeBytes: number;
  readonly checksum: number;
  /** How many tables it has, as the root says. */
  readonly tables: number;
}

export interface ManifestFacts {
  readonly path: string;
  readonly bytes: number;
  readonly what: 'manifest' | 'page';
  /** Checksums match, and it obeys the rules: what follows is what was written. */
  readonly isVerified: boolean;
  /** formatVersion, storeId, branch, ownerEpoch, lastTime, nextFileNumber, lastSequence, logNumber: those that could be read. */
  readonly fields: Fields;
  readonly epochs: readonly ClosedEpoch[];
  readonly sealedLogs: readonly SealedLog[];
  readonly keptLogs: readonly KeptLog[];
  readonly keptLoads: readonly KeptLoad[];
  readonly keptTables: readonly ObsoleteTable[];
  readonly obsoleteTables: readonly ObsoleteTable[];
  readonly obsoleteLogs: readonly ObsoleteLog[];
  readonly obsoletePages: readonly ObsoleteTable[];
  readonly pages: readonly PageFacts[];
  /** LEVEL_COUNT of them. */
  readonly levels: readonly (readonly TableInfo[])[];
  /** Of a sound root. */
  readonly state: ManifestState | undefined;
  readonly faults: readonly StorageError[];
}

export const MANIFEST_WHAT: string = `${MANIFEST_NAME}, a page of it (000016.tables), or the directory of a store`;
export const MANIFEST_KINDS: readonly StoreFile['kind'][] = [
  'manifest',
  'manifest-temporary',
  'page',
  'new-page',
];
/** A directory with one of these is, or was, a store's. */
const STORE_KINDS: ReadonlySet<StoreFile['kind'] | undefined> = new Set(['table', 'log', 'page']);
const PAGE_FIELDS = ['level', 'number', 'sizeBytes', 'checksum', 'tables'] as const;

const KEPT_LOG_FIELDS = ['number', 'sizeBytes', 'firstGroup', 'firstSequence', 'time'] as const;

/** So often a running store may replace its manifest under our eyes. */
const ATTEMPTS = 5;
/** Of a damaged text so much is read line by line. */
const MAX_LOOSE_BYTES: number = 64 * 1024 * 1024;
/** Absent files are named so far, and then counted. */
const MAX_ABSENT = 20;

/** The manifest of a store, manifest.json at `path`, and whether the files that it names are there. */
export function inspectManifest(fs: FileSystem, path: string): ManifestFacts {
  const directory = dirname(path);
  for (let attempt = 1; ; attempt++) {
    const stamp = manifestStamp(fs, directory);
    const facts = readManifest(fs, path);
    const faults = [...facts.faults, ...absentFiles(fs, directory, facts)];
    if (faults.length === 0 || attempt === ATTEMPTS || manifestStamp(fs, directory) === stamp)
      return { ...facts, faults };
  }
}

/** The manifest, or the page of one, in the file at `path`. */
export function readManifest(fs: FileSystem, path: string): ManifestFacts {
  const file = fs.openRead(path);
  try {
    const size = file.size();
    const sound = readSound(fs, file, size);
    if ('state' in sound) return soundFacts(path, size, sound.state);
    return looseFacts(fs, file, size, sound.fault);
  } finally {
    file.close();
  }
}

function readSound(
  fs: FileSystem,
  file: StorageFile,
  size: number,
): { readonly state: ManifestState } | { readonly fault: StorageError } {
  const directory = dirname(file.path);
  try {
    if (size > MAX_MANIFEST_BYTES) throw new CorruptionError('the file is too large', { file: file.path });
    refuseMoreLinesThanFiles(fs, directory, file);
    const bytes = readFirst(file, size);
    return { state: decodeManifest(bytes, file.path, pagesIn(fs, [directory])) };
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

function soundFacts(path: string, bytes: number, state: ManifestState): ManifestFacts {
  const { formatVersion, storeId, branch, ownerEpoch, lastTime, nextFileNumber, lastSequence, logNumber } =
    state;
  const named = { formatVersion, storeId, ...(branch === undefined ? {} : { branch }) };
  return {
    path,
    bytes,
    what: 'manifest',
    isVerified: true,
    fields: { ...named, ownerEpoch, lastTime, nextFileNumber, lastSequence, logNumber },
    epochs: state.epochs,
    sealedLogs: state.sealedLogs,
    keptLogs: state.keptLogs,
    keptLoads: state.keptLoads,
    keptTables: state.keptTables,
    obsoleteTables: state.obsoleteTables,
    obsoleteLogs: state.obsoleteLogs,
    obsoletePages: state.obsoletePages,
    pages: state.pages.map(({ tables, ...page }) => ({ ...page, tables: tables.length })),
    levels: state.levels,
    state,
    faults: [],
  };
}

/** The manifest of the store in `directory`, in whichever epoch it is. */
export function findManifest(fs: FileSystem, directory: string): string {
  const { current } = findEpochs(fs, directory);
  const path = join(current.directory, MANIFEST_NAME);
  if (fs.stat(path) !== undefined) return path;
  const isStore = fs.list(current.directory).some((name) => STORE_KINDS.has(parseFileName(name)?.kind));
  if (isStore) throw new CorruptionError('the manifest is missing', { file: path });
  throw new WrongFile(`${directory} holds no store: expected a directory with a ${MANIFEST_NAME}`);
}

function looseFacts(fs: FileSystem, file: StorageFile, size: number, fault: StorageError): ManifestFacts {
  const { path } = file;
  const bytes = readFirst(file, Math.min(size, MAX_LOOSE_BYTES));
  const lines = readLines(bytes, path);
  const isPage = lines.name === 'page';
  if (lines.name === undefined && !isNamedAsManifest(path))
    throw new WrongFile(`${path} is no manifest: expected ${MANIFEST_WHAT}`);
  const faults = [isPage ? sealFault(bytes, path) : fault, ...lines.faults].filter(
    (one) => one !== undefined,
  );
  const isVerified = isPage && faults.length === 0;
  if (size > bytes.length)
    faults.push(
      new CorruptionError('what follows is too much to be shown', { file: path, offset: bytes.length }),
    );
  const tables = [...lines.tables];
  const pages = isPage ? [] : listOf<PageFacts>(lines, 'pages', PAGE_FIELDS);
  for (const page of pages)
    tables.push(...pageTables(fs, dirname(path), String(lines.fields['storeId']), page, faults));
  const identity = ['number', 'sizeBytes', 'checksum'] as const;
  return {
    path,
    bytes: size,
    what: isPage ? 'page' : 'manifest',
    isVerified,
    fields: lines.fields,
    epochs: lines.epochs,
    sealedLogs: listOf<SealedLog>(lines, 'sealedLogs', ['number', 'sizeBytes']),
    keptLogs: listOf<KeptLog>(lines, 'keptLogs', KEPT_LOG_FIELDS),
    keptLoads: lines.keptLoads,
    keptTables: listOf<ObsoleteTable>(lines, 'keptTables', identity),
    obsoleteTables: listOf<ObsoleteTable>(lines, 'obsoleteTables', identity),
    obsoleteLogs: listOf<ObsoleteLog>(lines, 'obsoleteLogs', ['number', 'firstGroup']),
    obsoletePages: listOf<ObsoleteTable>(lines, 'obsoletePages', identity),
    pages,
    levels: levelsOf(tables),
    state: undefined,
    faults,
  };
}

/** The tables of a page: as the store reads it, or line by line, with a fault. */
function pageTables(
  fs: FileSystem,
  directory: string,
  storeId: string,
  { tables: tableCount, ...page }: PageFacts,
  faults: StorageError[],
): readonly LeveledTable[] {
  const level = page.level as Level;
  try {
    const { tables } = readPage(fs, [directory], storeId, { ...page, level, tableCount });
    return tables.map((table) => ({ level, table }));
  } catch (error) {
    const fault = faultOf(error);
    if (!faults.some(({ message }) => message === fault.message)) faults.push(fault);
  }
  const number = page.number as FileNumber;
  for (const path of [pagePath(directory, number), newPagePath(directory, number)]) {
    if (fs.stat(path)?.kind !== 'file') continue;
    const file = fs.openRead(path);
    try {
      const lines = readLines(readFirst(file, Math.min(file.size(), MAX_LOOSE_BYTES)), path);
      faults.push(...lines.faults);
      return lines.tables;
    } finally {
      file.close();
    }
  }
  return [];
}

/** Files that the manifest names and that are not there, or not as long as it says. */
function absentFiles(fs: FileSystem, directory: string, facts: ManifestFacts): StorageError[] {
  const faults: StorageError[] = [];
  let count = 0;
  const check = (path: string, found: number | undefined, expected: number): void => {
    if (found === expected || ++count > MAX_ABSENT) return;
    const message =
      found === undefined
        ? 'a file that the manifest names is missing'
        : `the file has ${found} bytes where the manifest has ${expected}`;
    faults.push(new CorruptionError(message, { file: path }));
  };
  const tables = [...facts.levels.flat(), ...facts.keptTables];
  for (const { number, sizeBytes } of tables) {
    const named = number as FileNumber;
    check(tablePath(directory, named), statTableFile(fs, directory, named)?.sizeBytes, sizeBytes);
  }
  for (const { number: named, sizeBytes } of [...facts.sealedLogs, ...facts.keptLogs]) {
    const number = named as FileNumber;
    const found = fs.stat(logPath(directory, number))?.sizeBytes;
    // What lies behind its end does not count.
    check(logPath(directory, number), found === undefined ? found : Math.min(found, sizeBytes), sizeBytes);
  }
  if (count > MAX_ABSENT)
    faults.push(
      new CorruptionError(`${count - MAX_ABSENT} more files are missing or of another size`, {
        file: facts.path,
      }),
    );
  return faults;
}

/** The numbers that were read as one of the lists, where each item has all of `names`. */
function listOf<T>(lines: ReadLines, list: string, names: readonly (keyof T & string)[]): readonly T[] {
  const items = lines.lists[list] ?? [];
  const isFile = ({ number }: Readonly<Record<string, number>>): boolean =>
    number === undefined || number <= MAX_FILE_NUMBER;
  return items.filter((item) => isFile(item) && names.every((name) => name in item)) as unknown as T[];
}

function levelsOf(tables: readonly LeveledTable[]): TableInfo[][] {
  const levels: TableInfo[][] = Array.from({ length: LEVEL_COUNT }, () => []);
  for (const { level, table } of tables) if (table.number <= MAX_FILE_NUMBER) levels[level]!.push(table);
  return levels;
}

function sealFault(bytes: Uint8Array, path: string): StorageError | undefined {
  try {
    openText(bytes, path);
    return undefined;
  } catch (error) {
    return faultOf(error);
  }
}

function isNamedAsManifest(path: string): boolean {
  const named = parseFileName(basename(path));
  return named !== undefined && MANIFEST_KINDS.includes(named.kind === 'set-aside' ? named.of : named.kind);
}

function readFirst(file: StorageFile, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, readFully(file, bytes, 0));
}
