/**
 * Files of the user, not of the store: what `load` reads and where the prompt keeps its history. The command's only
 * importer of node:fs; the store's own files go through src/shared/files/file-system.ts.
 */
import {
  createReadStream,
  type Dirent,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { isError } from '../../shared/base/errors.ts';
import { CommandError, ExitCode } from './exit-codes.ts';

export interface Input {
  /** For messages. */
  readonly name: string;
  readonly stream: Readable;
  /** undefined: not known, as for a pipe. */
  readonly sizeBytes: number | undefined;
}

const READ_CHUNK_BYTES = 256 * 1024;

/** Opens `path`, or standard input for `-`. */
export function openInput(path: string): Input {
  if (path === '-') return { name: 'standard input', stream: process.stdin, sizeBytes: undefined };
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new CommandError(ExitCode.Error, `${path} is a directory`);
    const stream = createReadStream(path, { highWaterMark: READ_CHUNK_BYTES });
    return { name: path, stream, sizeBytes: stat.isFile() ? stat.size : undefined };
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(ExitCode.Error, `cannot read ${path}: ${messageOf(error)}`, error);
  }
}

/** Paths that begin with `start`, in order; those of directories end with a slash. Hidden ones only when they are asked for. */
export function namesAt(start: string): string[] {
  const nameAt = start.lastIndexOf('/') + 1;
  const folder = start.slice(0, nameAt);
  const name = start.slice(nameAt);
  try {
    return readdirSync(folder === '' ? '.' : folder, { withFileTypes: true })
      .filter((entry) => entry.name.startsWith(name) && (name !== '' || !entry.name.startsWith('.')))
      .map((entry) => `${folder}${entry.name}${isFolder(folder, entry) ? '/' : ''}`)
      .sort();
  } catch {
    // No such directory, or not ours to read: nothing to offer.
    return [];
  }
}

function isFolder(folder: string, entry: Dirent): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return statSync(`${folder}${entry.name}`, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Where the prompt keeps its history: STRATAKV_HISTORY if set (empty: nowhere), else the user's state directory.
 */
export function historyPath(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const chosen = env['STRATAKV_HISTORY'];
  if (chosen !== undefined) return chosen === '' ? undefined : chosen;
  const state =
    process.platform === 'win32'
      ? (env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'))
      : env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state');
  return join(state, 'stratakv', 'history');
}

/** Oldest first. No history, or one that can't be read, is an empty one: a prompt never fails over this. */
export function readHistory(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    // First use, or somebody else's file: start with none.
    return [];
  }
}

/** Returns what went wrong, for a remark; history is a convenience and never worth failing. */
export async function writeHistory(path: string, lines: readonly string[]): Promise<string | undefined> {
  try {
    const { makeDirectories } = await import('../../shared/files/make-directories.ts');
    const { nodeFileSystem } = await import('../../shared/files/node-file-system.ts');
    makeDirectories(nodeFileSystem, resolve(dirname(path)));
    // Values typed at a prompt may be secrets: readable by the owner only. Renamed, so that two prompts can't mix lines.
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
    renameSync(temporary, path);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** The version in package.json, which lies above both src and dist. */
export function packageVersion(): string {
  let folder = new URL('.', import.meta.url);
  for (;;) {
    const manifest = parseManifest(new URL('package.json', folder));
    if (manifest?.name === 'stratakv') return manifest.version;
    const above = new URL('..', folder);
    // The root is above itself, with a drive letter too.
    if (above.href === folder.href) return 'unknown';
    folder = above;
  }
}

function parseManifest(url: URL): { readonly name: string; readonly version: string } | undefined {
  try {
    return JSON.parse(readFileSync(url, 'utf8')) as { name: string; version: string };
  } catch {
    // Not in this folder: the caller goes on to the one above.
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return isError(error) ? error.message : String(error);
}
