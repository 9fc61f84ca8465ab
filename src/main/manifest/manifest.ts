/**
 * manifest.json, the only root of truth of a store: which tables and logs it consists of.
 *
 *   {"checksum":"crc32:0a1b2c3d",                          spelled as manifest-text.ts says
 *   "manifest": {
 *     "formatVersion": 5,
 *     "storeId": "...", "ownerEpoch": n, "lastTime": n,
 *     "nextFileNumber": n, "lastSequence": n, "logNumber": n,
 *     "epochs": [
 *       {"id":"0123456789abcdef","end":n}                  whose writes they are: kept-state.ts
 *     ],
 *     "sealedLogs": [
 *       {"number":9,"sizeBytes":4096}
 *     ],
 *     "keptLogs": [
 *       {"number":2,"sizeBytes":4096,"firstGroup":n,"firstSequence":n,"time":n}    for changes(): kept-state.ts
 *     ],
 *     "keptLoads": [
 *       {"sequence":n,"after":n,"time":n,"sizeBytes":n,"tables":[6,7]}
 *     ],
 *     "keptTables": [
 *       {"number":6,"sizeBytes":412,"checksum":n}
 *     ],
 *     "obsoleteTables": [
 *       {"number":3,"sizeBytes":412,"checksum":n}
 *     ],
 *     "obsoleteLogs": [
 *       {"number":4,"firstGroup":n}
 *     ],
 *     "obsoletePages": [
 *       {"number":5,"sizeBytes":9120,"checksum":n}
 *     ],
 *     "pages": [
 *       {"level":6,"number":16,"sizeBytes":40960,"checksum":n,"tables":128}   of large levels: manifest-pages.ts
 *     ],
 *     "tables": [
 *       {"level":0,"number":7, ...}                        one line per table of the other levels, in version.ts's order
 *     ]
 *   }}\n
 *
 * It is one JSON text, so that any tool can read it. The exact spelling is part of the format: what is read must be, byte for
 * byte, what this file would write for the same state. That rule alone refuses duplicate and unknown keys, 1.0, -0, 1e999, loose
 * base64 and whatever else two parsers may disagree on.
 *
 * To save: write new pages, sync them and the directory; write manifest.json.tmp, sync it, rename it over manifest.json, sync the
 * directory. Formats 2 to 4 are read, and written as 5 by the next edit; 2 had no pages and none of the fields around them.
 *
 * Invariants: reading writes nothing. Only a missing file means "no store here"; an empty, foreign or damaged one is a
 *             CorruptionError, a newer format STRATA_UNSUPPORTED.
 * Thread:     main.
 * Not chosen: a log of edits (LevelDB's MANIFEST). It writes less than pages do, and costs replay, rotation, a CURRENT file and a
 *             format no tool reads.
 */
import { join } from 'node:path';
import { assert } from '../../shared/base/assert.ts';
import { CorruptionError, StorageError, systemErrorCode } from '../../shared/base/errors.ts';
import { fileNumber } from '../../shared/base/ids.ts';
import { MANIFEST_NAME, MANIFEST_TEMPORARY_NAME } from '../../shared/files/file-names.ts';
import {
  type FileSystem,
  readFully,
  type StorageFile,
  stampOf,
  writeFullyAsync,
} from '../../shared/files/file-system.ts';
import { fits, layOut } from './manifest-pages.ts';
import { decodeRoot, MAX_MANIFEST_BYTES, type PageSource, rootBytes } from './manifest-root.ts';
import { type ManifestState, stateProblem, type TablePage } from './manifest-state.ts';
import { HEADER_START } from './manifest-text.ts';
import { ascending, identityOf } from './obsolete-list.ts';
import { namePages, type PageEntry, pageMemory, readPage, writePages } from './page-files.ts';

export { emptyState, MANIFEST_FORMAT_VERSION, type ManifestState, type SealedLog } from './manifest-state.ts';

/** Lines of a manifest that need no tables and logs to answer for. Fewer are parsed whatever the directory holds. */
const UNPROVEN_LINES = 10_000;
const NEWLINE = 0x0a;
/** Of a manifest whose lines are counted. */
const PART_BYTES: number = 64 * 1024;

/** Reads the manifest in `directory`; undefined when there is none. Pages may be in `pageDirectory` as well. */
export function loadManifest(
  fs: FileSystem,
  directory: string,
  pageDirectory: string = directory,
  countFiles?: () => number,
): ManifestState | undefined {
  const bytes = readRoot(fs, directory);
  return (
    bytes &&
    decodeManifest(bytes, join(directory, MANIFEST_NAME), pagesIn(fs, [directory, pageDirectory], countFiles))
  );
}

/** The bytes of manifest.json; undefined when there is none. @throws {@link CorruptionError} for one that is absurdly large. */
export function readRoot(fs: FileSystem, directory: string): Uint8Array | undefined {
  const path = join(directory, MANIFEST_NAME);
  let file: StorageFile;
  try {
    file = fs.openRead(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    refuseMoreLinesThanFiles(fs, directory, file);
    return readWhole(file);
  } finally {
    file.close();
  }
}

/** Reads pages from the directory of the manifest. `countFiles`: how many there are in all directories, if that is known. */
export function pagesIn(
  fs: FileSystem,
  directories: readonly string[],
  countFiles: () => number = () =>
    [...new Set(directories)].reduce((sum, path) => sum + fs.list(path).length, 0),
): PageSource {
  return (storeId, entries) => {
    const claimed = entries.reduce((sum, entry) => sum + entry.tableCount, 0);
    if (claimed > UNPROVEN_LINES) refuseUnproven(claimed, countFiles(), join(directories[0]!, MANIFEST_NAME));
    const memory = pageMemory(entries);
    return entries.map((entry) => readPage(fs, directories, storeId, entry, memory));
  };
}

/**
 * All lines but a few name a file of the directory. A manifest that names a million others is refused before it is taken
 * into memory, where parsing it would take ten times its size.
 *
 * @throws {@link CorruptionError}
 */
export function refuseMoreLinesThanFiles(
  fs: Pick<FileSystem, 'list'>,
  directory: string,
  file: Pick<StorageFile, 'path' | 'readAt'>,
): void {
  const part = Buffer.alloc(PART_BYTES);
  let lines = 0;
  for (let position = 0, length = -1; length !== 0; position += length) {
    length = file.readAt(part, position);
    const bytes = part.subarray(0, length);
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  }
  if (lines > UNPROVEN_LINES) refuseUnproven(lines, fs.list(directory).length, file.path);
}

function refuseUnproven(lines: number, files: number, file: string): void {
  if (lines - UNPROVEN_LINES > files)
    throw new CorruptionError('it names far more tables and logs than there are: most are missing', { file });
}

/**
 * Whether the file at `path` begins as a manifest of ours, damaged or not. Its name is a common one: a web application's
 * manifest.json is nothing of a store's.
 */
export function isManifestOfOurs(fs: FileSystem, path: string): boolean {
  const start = Buffer.from(HEADER_START);
  const file = fs.openRead(path);
  try {
    const found = Buffer.alloc(start.length);
    return readFully(file, found, 0) === start.length && found.equals(start);
  } finally {
    file.close();
  }
}

/**
 * Makes `state` the manifest in `directory`, durably. Pages that do not fit it any more are replaced by new ones. If it rejects,
 * either the old or the new manifest is in force.
 */
export async function saveManifest(fs: FileSystem, directory: string, state: ManifestState): Promise<void> {
  const paged = await withPages(fs, directory, state);
  await stageManifest(fs, directory, encodeManifest(paged));
  await publishManifest(fs, directory);
  await namePages(fs, directory, paged.pages);
}

async function withPages(fs: FileSystem, directory: string, state: ManifestState): Promise<ManifestState> {
  if (fits(state.pages, state.levels)) return state;
  const drafts = layOut(state.levels);
  const numbers = drafts.map((_, i) => fileNumber(state.nextFileNumber + i));
  return {
    ...state,
    nextFileNumber: state.nextFileNumber + drafts.length,
    obsoletePages: ascending([...state.obsoletePages, ...state.pages.map(identityOf)]),
    pages: await writePages(fs, directory, state.storeId, drafts, numbers),
  };
}

/** Writes manifest.json.tmp, synced. If it rejects, the old manifest is in force, for certain. */
export async function stageManifest(fs: FileSystem, directory: string, bytes: Uint8Array): Promise<void> {
  const path = join(directory, MANIFEST_TEMPORARY_NAME);
  // None of this within the call: close() writes a last manifest, and has a limit for a disk that does not answer.
  if (fs.stat(path) !== undefined) await fs.unlinkAsync(path);
  const file = (await fs.createExclusiveAsync?.(path)) ?? fs.createExclusive(path);
  try {
    await writeFullyAsync(file, bytes, 0);
    await file.datasyncAsync();
  } finally {
    file.close();
  }
}

/** Puts the staged manifest in force. If it rejects, nobody knows which one is. */
export async function publishManifest(fs: FileSystem, directory: string): Promise<void> {
  await fs.renameAsync(join(directory, MANIFEST_TEMPORARY_NAME), join(directory, MANIFEST_NAME));
  await fs.syncDirectoryAsync(directory);
}

/**
 * What distinguishes one manifest.json from another without reading it; undefined: there is none. Nobody but the owner replaces
 * it: if it is another one than the owner left there, somebody has put back a copy, say, and it is not to be overwritten.
 */
export function manifestStamp(fs: FileSystem, directory: string): string | undefined {
  return stampOf(fs.stat(join(directory, MANIFEST_NAME)));
}

/** Nobody but the owner of a store writes into its directory. */
export function changedError(file: string): StorageError {
  return new StorageError('STRATA_IO', `${file} was changed by somebody else while the store was open`, {
    file,
  });
}

/** The exact bytes of the file that says `state`. Its pages are files of their own. */
export function encodeManifest(state: ManifestState): Uint8Array {
  const problem = stateProblem(state);
  assert(problem === undefined, `the manifest to be written is invalid: ${problem}`);
  return rootBytes(state);
}

/** @throws {@link CorruptionError}, or StorageError `STRATA_UNSUPPORTED` for a newer format. */
export function decodeManifest(
  bytes: Uint8Array,
  file: string,
  pagesOf: PageSource = noPages,
): ManifestState {
  return decodeRoot(bytes, file, pagesOf);
}

function noPages(_storeId: string, entries: readonly PageEntry[]): TablePage[] {
  if (entries.length === 0) return [];
  throw new CorruptionError('its pages are not there', { file: MANIFEST_NAME });
}

function readWhole(file: StorageFile): Uint8Array {
  const size = file.size();
  if (size > MAX_MANIFEST_BYTES) throw new CorruptionError('the file is too large', { file: file.path });
  const bytes = Buffer.alloc(size);
  return bytes.subarray(0, readFully(file, bytes, 0));
}
