/**
 * What lies in the directory of a store to be repaired, and what its manifest says.
 *
 *   sound       manifest.json is intact; or, where it is not, an intact manifest.json.tmp: the edit after it, complete
 *   damaged     its text still says which tables were live, if every line of its list fits the file it is about (liveTables)
 *   missing     nothing is known
 *
 * Invariants: reads only. A newer format is refused: STRATA_UNSUPPORTED.
 * Thread:     main.
 */
import { join } from 'node:path';
import { CorruptionError } from '../../shared/base/errors.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import {
  MANIFEST_NAME,
  MANIFEST_TEMPORARY_NAME,
  parseFileName,
  type StoreFile,
} from '../../shared/files/file-names.ts';
import { type FileSystem, readFully } from '../../shared/files/file-system.ts';
import {
  decodeManifest,
  type ManifestState,
  pagesIn,
  refuseMoreLinesThanFiles,
} from '../manifest/manifest.ts';
import { type ListedTable, readListed } from './listed-tables.ts';

export interface SurveyedManifest {
  readonly state: ManifestState | undefined;
  /** Why manifest.json is not in order; undefined when it is. */
  readonly problem: CorruptionError | undefined;
  readonly isPresent: boolean;
  /** What a damaged one lists; undefined where nobody knows whether the list is complete. */
  readonly listed: readonly ListedTable[] | undefined;
}

export interface Survey {
  readonly manifest: SurveyedManifest;
  /** Names of files, by the number of the table. */
  readonly tables: ReadonlyMap<number, string>;
  /** The same of tables that an earlier repair has set aside. */
  readonly tablesAside: ReadonlyMap<number, string>;
  /** Names of tables that no manifest has named, as far as is known: what they hold is in logs or other tables, if it counts. */
  readonly newTables: readonly string[];
  /** Names of the manifest's pages, of this one or of another. */
  readonly pages: readonly string[];
  /** Ascending. */
  readonly logs: readonly number[];
  /** No file has a higher number, nor does a sound manifest name one. */
  readonly highestNumber: number;
}

export function surveyStore(fs: FileSystem, directory: string): Survey {
  const tables = new Map<number, string>();
  const tablesAside = new Map<number, string>();
  const logs: number[] = [];
  let highestNumber = 0;
  const manifest = surveyManifest(fs, directory);
  const named = new Set<number>(
    [...(manifest.state?.levels.flat() ?? []), ...(manifest.listed ?? [])].map(({ number }) => number),
  );
  const newTables: string[] = [];
  const pages: string[] = [];
  for (const [name, file] of regularFiles(fs, directory)) {
    if (!('number' in file)) continue;
    highestNumber = Math.max(highestNumber, file.number);
    if (file.kind === 'table') tables.set(file.number, name);
    else if (file.kind === 'page') pages.push(name);
    else if (file.kind === 'log') logs.push(file.number);
    else if (file.kind === 'set-aside' && file.of === 'table') tablesAside.set(file.number, name);
    else if (file.kind === 'new-table') newTables.push(name);
  }
  // A crash kept them from their names for good.
  const unnamed = newTables.filter((name) => {
    const { number } = parseFileName(name) as { readonly number: FileNumber };
    if (!named.has(number) || tables.has(number)) return true;
    tables.set(number, name);
    return false;
  });
  logs.sort((a, b) => a - b);
  return {
    manifest,
    tables,
    tablesAside,
    newTables: unnamed,
    pages,
    logs,
    highestNumber: Math.max(highestNumber, (manifest.state?.nextFileNumber ?? 1) - 1),
  };
}

/** Only names of ours, and only regular files: a symbolic link is nothing to us. */
function regularFiles(fs: FileSystem, directory: string): [string, StoreFile][] {
  return fs
    .list(directory)
    .sort()
    .flatMap((name): [string, StoreFile][] => {
      const file = parseFileName(name);
      return file !== undefined && fs.stat(join(directory, name))?.kind === 'file' ? [[name, file]] : [];
    });
}

function surveyManifest(fs: FileSystem, directory: string): SurveyedManifest {
  const main = readManifest(fs, directory, MANIFEST_NAME);
  if (!(main.state instanceof CorruptionError))
    return { state: main.state, problem: undefined, isPresent: true, listed: undefined };
  const next = readManifest(fs, directory, MANIFEST_TEMPORARY_NAME).state;
  return {
    state: next instanceof CorruptionError ? undefined : next,
    problem: main.state,
    isPresent: main.isPresent,
    listed: main.bytes === undefined ? undefined : readListed(fs, directory, main.bytes),
  };
}

interface ReadManifest {
  readonly state: ManifestState | CorruptionError;
  readonly isPresent: boolean;
  /** Of one that is not sound, and not absurd. */
  readonly bytes?: Uint8Array | undefined;
}

function readManifest(fs: FileSystem, directory: string, name: string): ReadManifest {
  const path = join(directory, name);
  if (fs.stat(path)?.kind !== 'file')
    return { state: new CorruptionError('the manifest is missing', { file: path }), isPresent: false };
  const file = fs.openRead(path);
  let bytes: Uint8Array | undefined;
  try {
    refuseMoreLinesThanFiles(fs, directory, file);
    const whole = new Uint8Array(file.size());
    bytes = whole.subarray(0, readFully(file, whole, 0));
    return { state: decodeManifest(bytes, path, pagesIn(fs, [directory])), isPresent: true };
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return { state: error, isPresent: true, bytes };
  } finally {
    file.close();
  }
}
