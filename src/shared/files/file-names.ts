/**
 * Names of a store's files. Names are built from integers and parsed by one exact pattern; nothing else in the
 * directory is ever touched.
 *
 *   manifest.json        the root of truth           manifest.json.tmp    a replacement being written
 *   000012.log           a write-ahead log           LOCK                 who holds the store
 *   000013.sst           a table                     000014.run           a sorted part of an ingestion under way
 *   000015.sst.new       a table that no durable manifest has named yet
 *   000016.tables        a page of the manifest: a part of its list of tables (manifest-pages.ts); 000016.tables.new likewise
 *   LOCK-0a1b....sock    the socket of an owner (lock-socket.ts)
 *   epoch-000001         a directory: where the files are since an owner elsewhere was superseded (epochs.ts)
 *   restoring            a directory: what a restore under way has brought so far (backup/restore-stage.ts)
 *   000013.sst.set-aside a damaged file (of any kind but LOCK) that repair has replaced, kept for whoever wants to look; a
 *                        second one of that name gets -2, and so on
 */
import { join } from 'node:path';
import { type FileNumber, fileNumber, MAX_FILE_NUMBER } from '../base/ids.ts';

export const MANIFEST_NAME = 'manifest.json';
export const MANIFEST_TEMPORARY_NAME = 'manifest.json.tmp';
export const LOCK_NAME = 'LOCK';
export const RESTORING_NAME = 'restoring';

export type StoreFile =
  | {
      readonly kind: 'log' | 'table' | 'new-table' | 'run' | 'page' | 'new-page';
      readonly number: FileNumber;
    }
  | { readonly kind: 'manifest' | 'manifest-temporary' | 'lock' | 'lock-socket' | 'restoring' }
  | { readonly kind: 'epoch'; readonly epoch: number }
  /** `number` is that of the log, the table or the page of a manifest; 0 for a manifest itself. */
  | { readonly kind: 'set-aside'; readonly of: 'log' | 'table' | 'manifest'; readonly number: FileNumber };

export function logName(number: FileNumber): string {
  return `${String(number).padStart(6, '0')}.log`;
}

export function tableName(number: FileNumber): string {
  return `${String(number).padStart(6, '0')}.sst`;
}

/** What a table is called until a durable manifest names it. */
export function newTableName(number: FileNumber): string {
  return `${tableName(number)}.new`;
}

/** A page of the manifest. */
export function pageName(number: FileNumber): string {
  return `${String(number).padStart(6, '0')}.tables`;
}

/** What a page is called until a durable manifest names it. */
export function newPageName(number: FileNumber): string {
  return `${pageName(number)}.new`;
}

export function runName(number: FileNumber): string {
  return `${String(number).padStart(6, '0')}.run`;
}

export function tablePath(directory: string, number: FileNumber): string {
  return join(directory, tableName(number));
}

export function newTablePath(directory: string, number: FileNumber): string {
  return join(directory, newTableName(number));
}

export function pagePath(directory: string, number: FileNumber): string {
  return join(directory, pageName(number));
}

export function newPagePath(directory: string, number: FileNumber): string {
  return join(directory, newPageName(number));
}

export function logPath(directory: string, number: FileNumber): string {
  return join(directory, logName(number));
}

export function runPath(directory: string, number: FileNumber): string {
  return join(directory, runName(number));
}

export function lockSocketName(id: string): string {
  return `LOCK-${id}.sock`;
}

/** The directory of an epoch; 0, where every store begins, is the store's own. */
export function epochName(epoch: number): string {
  return `epoch-${String(epoch).padStart(6, '0')}`;
}

/** What the file `name` is called once it is set aside, as the `attempt`-th of that name. */
export function setAsideName(name: string, attempt = 1): string {
  return `${name}.set-aside${attempt === 1 ? '' : `-${attempt}`}`;
}

/** What `name` is to a store; undefined for a file that is not ours. */
export function parseFileName(name: string): StoreFile | undefined {
  // First what a large directory is full of: this is asked of every name in it.
  const numbered = parseNumbered(name);
  if (numbered !== undefined) return numbered;
  if (name === MANIFEST_NAME) return { kind: 'manifest' };
  if (name === MANIFEST_TEMPORARY_NAME) return { kind: 'manifest-temporary' };
  if (name === LOCK_NAME) return { kind: 'lock' };
  if (name === RESTORING_NAME) return { kind: 'restoring' };
  const aside = /^(.+)\.set-aside(?:-(?:[2-9]|[1-9]\d{1,5}))?$/.exec(name);
  if (aside !== null) return parseSetAside(aside[1]!);
  if (/^LOCK-[0-9a-f]{16}\.sock$/.test(name)) return { kind: 'lock-socket' };
  const epoch = /^epoch-(\d{6})$/.exec(name);
  return epoch !== null && Number(epoch[1]) > 0 ? { kind: 'epoch', epoch: Number(epoch[1]) } : undefined;
}

const DIGIT_0 = 0x30;
/** Digits that numbers are padded to. */
const MIN_DIGITS = 6;
const MAX_DIGITS = 10;

/** A number in the spelling that we would write ourselves (`0000012.log` is somebody else's), and what follows it. */
function parseNumbered(name: string): StoreFile | undefined {
  let digits = 0;
  let value = 0;
  for (; digits <= MAX_DIGITS; digits++) {
    const digit = name.charCodeAt(digits) - DIGIT_0;
    // Behind the end it is NaN.
    if (!(digit >= 0 && digit <= 9)) break;
    value = value * 10 + digit;
  }
  if (digits < MIN_DIGITS || value > MAX_FILE_NUMBER) return undefined;
  if (digits > MIN_DIGITS && name.charCodeAt(0) === DIGIT_0) return undefined;
  const kind = numberedKind(name.slice(digits));
  return kind === undefined ? undefined : { kind, number: fileNumber(value) };
}

function numberedKind(
  extension: string,
): 'log' | 'table' | 'new-table' | 'page' | 'new-page' | 'run' | undefined {
  switch (extension) {
    case '.sst':
      return 'table';
    case '.log':
      return 'log';
    case '.sst.new':
      return 'new-table';
    case '.tables':
      return 'page';
    case '.tables.new':
      return 'new-page';
    case '.run':
      return 'run';
    default:
      return undefined;
  }
}

function parseSetAside(original: string): StoreFile | undefined {
  const of = parseFileName(original);
  if (of?.kind === 'manifest') return { kind: 'set-aside', of: 'manifest', number: fileNumber(0) };
  if (of?.kind === 'page' || of?.kind === 'new-page')
    return { kind: 'set-aside', of: 'manifest', number: of.number };
  if (of?.kind === 'new-table') return { kind: 'set-aside', of: 'table', number: of.number };
  if (of?.kind !== 'log' && of?.kind !== 'table') return undefined;
  return { kind: 'set-aside', of: of.kind, number: of.number };
}
