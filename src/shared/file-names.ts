/**
 * Names of a store's files. Names are built from integers and parsed by one exact pattern; nothing else in the
 * directory is ever touched.
 *
 *   manifest.json        the root of truth           manifest.json.tmp    a replacement being written
 *   000012.log           a write-ahead log           LOCK                 who holds the store
 *   000013.sst           a table
 */
import { join } from 'node:path';
import { type FileNumber, fileNumber } from './ids.ts';

export const MANIFEST_NAME = 'manifest.json';
export const MANIFEST_TEMPORARY_NAME = 'manifest.json.tmp';
export const LOCK_NAME = 'LOCK';

export type StoreFile =
  | { readonly kind: 'log' | 'table'; readonly number: FileNumber }
  | { readonly kind: 'manifest' | 'manifest-temporary' | 'lock' };

export function logName(number: FileNumber): string {
  return `${String(number).padStart(6, '0')}.log`;
}

export function tableName(number: FileNumber): string {
  return `${String(number).padStart(6, '0')}.sst`;
}

export function tablePath(directory: string, number: FileNumber): string {
  return join(directory, tableName(number));
}

export function logPath(directory: string, number: FileNumber): string {
  return join(directory, logName(number));
}

/** What `name` is to a store; undefined for a file that is not ours. */
export function parseFileName(name: string): StoreFile | undefined {
  if (name === MANIFEST_NAME) return { kind: 'manifest' };
  if (name === MANIFEST_TEMPORARY_NAME) return { kind: 'manifest-temporary' };
  if (name === LOCK_NAME) return { kind: 'lock' };
  const match = /^(\d{6,16})\.(log|sst)$/.exec(name);
  if (match === null) return undefined;
  const value = Number(match[1]);
  if (!Number.isSafeInteger(value)) return undefined;
  const kind = match[2] === 'log' ? 'log' : 'table';
  const number = fileNumber(value);
  // Only the spelling we would write ourselves: `0000012.log` is somebody else's.
  return name === (kind === 'log' ? logName(number) : tableName(number)) ? { kind, number } : undefined;
}
