/**
 * manifest.json, the only root of truth of a store: which tables and logs it consists of.
 *
 *   bytes 0..29   {"checksum":"crc32:0a1b2c3d",\n      CRC32 (8 lower-case hex digits) of all bytes from 30 on
 *   bytes 30..    "manifest": {
 *                   "formatVersion": 2,
 *                   "storeId": "...", "nextFileNumber": n, "lastSequence": n, "logNumber": n,
 *                   "sealedLogs": [
 *                     {"number":9,"sizeBytes":4096}
 *                   ],
 *                   "obsoleteTables": [
 *                     {"number":3,"sizeBytes":412,"checksum":n}
 *                   ],
 *                   "obsoleteLogs": [
 *                     {"number":4,"firstGroup":n}
 *                   ],
 *                   "tables": [
 *                     {"level":0,"number":7, ...}            keys in base64; one line per table, in version.ts's order
 *                   ]
 *                 }}\n
 *
 * Together the two parts are one JSON text, so that any tool can read it. The exact spelling is part of the format:
 * what is read must be, byte for byte, what this file would write for the same state. That rule alone refuses duplicate
 * and unknown keys, 1.0, -0, 1e999, loose base64 and whatever else two parsers may disagree on.
 *
 * To save: write manifest.json.tmp, sync it, rename it over manifest.json, sync the directory.
 *
 * Invariants: reading writes nothing. Only a missing file means "no store here"; an empty, foreign or damaged one is a
 *             CorruptionError, a newer format STRATA_UNSUPPORTED.
 * Thread:     main.
 * Not chosen: a log of edits (LevelDB's MANIFEST). It saves writing some hundred bytes per table and edit, and costs
 *             replay, rotation, a CURRENT file and a format no tool reads.
 */
import { join } from 'node:path';
import { assert } from '../shared/assert.ts';
import { crc32 } from '../shared/checksum.ts';
import { CorruptionError, StorageError, systemErrorCode } from '../shared/errors.ts';
import { MANIFEST_NAME, MANIFEST_TEMPORARY_NAME } from '../shared/file-names.ts';
import { type FileSystem, readFully, type StorageFile, writeFullyAsync } from '../shared/file-system.ts';
import { type FileNumber, LEVEL_COUNT, type SequenceNumber } from '../shared/ids.ts';
import type { TableMeta } from '../shared/version-edit.ts';
import {
  MANIFEST_FORMAT_VERSION,
  type ManifestState,
  type SealedLog,
  stateProblem,
} from './manifest-state.ts';

export { emptyState, MANIFEST_FORMAT_VERSION, type ManifestState, type SealedLog } from './manifest-state.ts';

const HEADER_LENGTH = 30;
const HEADER_START = '{"checksum":"crc32:';
/** Node's strings end at 512 MiB. Some two million tables fit. */
const MAX_MANIFEST_BYTES: number = 500 * 1024 * 1024;
/** Lines of a manifest that need no tables and logs to answer for. Fewer are parsed whatever the directory holds. */
const UNPROVEN_LINES = 10_000;
const NEWLINE = 0x0a;
/** Of a manifest whose lines are counted. */
const PART_BYTES: number = 64 * 1024;

/** Reads the manifest in `directory`; undefined when there is none. */
export function loadManifest(fs: FileSystem, directory: string): ManifestState | undefined {
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
    return decodeManifest(readWhole(file), path);
  } finally {
    file.close();
  }
}

/**
 * Each line names a file of the directory, but for a few. A manifest that names a million others is refused before it is taken
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
  if (lines > UNPROVEN_LINES && lines - UNPROVEN_LINES > fs.list(directory).length)
    throw new CorruptionError('it names far more tables and logs than there are: most are missing', {
      file: file.path,
    });
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

/** Makes `state` the manifest in `directory`, durably. If it rejects, either the old or the new one is in force. */
export async function saveManifest(fs: FileSystem, directory: string, state: ManifestState): Promise<void> {
  await stageManifest(fs, directory, state);
  await publishManifest(fs, directory);
}

/** Writes manifest.json.tmp, synced. If it rejects, the old manifest is in force, for certain. */
export async function stageManifest(fs: FileSystem, directory: string, state: ManifestState): Promise<void> {
  const bytes = encodeManifest(state);
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
 * What tells one manifest.json from another without reading it; undefined: there is none. Nobody but the owner replaces it: if
 * it is another one than the owner left there, somebody has put back a copy, say, and it is not to be overwritten.
 */
export function manifestStamp(fs: FileSystem, directory: string): string | undefined {
  const stat = fs.stat(join(directory, MANIFEST_NAME));
  return stat && [stat.device, stat.inode, stat.sizeBytes, stat.modifiedMs].join(' ');
}

/** The exact bytes of the file that says `state`. */
export function encodeManifest(state: ManifestState): Uint8Array {
  const problem =
    state.formatVersion === MANIFEST_FORMAT_VERSION ? stateProblem(state) : 'not the current format version';
  assert(problem === undefined, `the manifest to be written is invalid: ${problem}`);
  const body = Buffer.from(bodyOf(state));
  assert(HEADER_LENGTH + body.length <= MAX_MANIFEST_BYTES, 'the manifest to be written is too large');
  return Buffer.concat([Buffer.from(headerOf(body)), body]);
}

/** @throws {@link CorruptionError}, or StorageError `STRATA_UNSUPPORTED` for a newer format. */
export function decodeManifest(bytes: Uint8Array, file: string): ManifestState {
  const body = bytes.subarray(HEADER_LENGTH);
  const header = Buffer.from(headerOf(body));
  if (!header.equals(bytes.subarray(0, HEADER_LENGTH))) {
    throw new CorruptionError('the checksum does not match', { file });
  }
  const manifest = parseBody(body, file);
  const formatVersion = manifest.get('formatVersion');
  if (typeof formatVersion === 'number' && Number.isSafeInteger(formatVersion)) {
    if (formatVersion > MANIFEST_FORMAT_VERSION) {
      const message = `format version ${formatVersion} is newer than this version of stratakv can read: ${file}`;
      throw new StorageError('STRATA_UNSUPPORTED', message, { file });
    }
  }
  const state = new StateReader(file).state(manifest);
  const problem =
    state.formatVersion === MANIFEST_FORMAT_VERSION ? stateProblem(state) : 'the format is unknown';
  if (problem !== undefined) throw new CorruptionError(problem, { file });
  if (!Buffer.from(bodyOf(state)).equals(body)) {
    throw new CorruptionError('the text is not spelled as this store writes it', { file });
  }
  return state;
}

function readWhole(file: StorageFile): Uint8Array {
  const size = file.size();
  if (size > MAX_MANIFEST_BYTES) throw new CorruptionError('the file is too large', { file: file.path });
  const bytes = Buffer.alloc(size);
  return bytes.subarray(0, readFully(file, bytes, 0));
}

function headerOf(body: Uint8Array): string {
  return `${HEADER_START}${crc32(body).toString(16).padStart(8, '0')}",\n`;
}

function bodyOf(state: ManifestState): string {
  const fields = [
    `"formatVersion": ${state.formatVersion}`,
    `"storeId": ${JSON.stringify(state.storeId)}`,
    `"nextFileNumber": ${state.nextFileNumber}`,
    `"lastSequence": ${state.lastSequence}`,
    `"logNumber": ${state.logNumber}`,
    `"sealedLogs": ${listOf(state.sealedLogs.map(({ number, sizeBytes }) => JSON.stringify({ number, sizeBytes })))}`,
    `"obsoleteTables": ${listOf(
      state.obsoleteTables.map(({ number, sizeBytes, checksum }) =>
        JSON.stringify({ number, sizeBytes, checksum }),
      ),
    )}`,
    `"obsoleteLogs": ${listOf(state.obsoleteLogs.map(({ number, firstGroup }) => JSON.stringify({ number, firstGroup })))}`,
    `"tables": ${listOf(state.levels.flatMap((tables, level) => tables.map((table) => lineOf(level, table))))}`,
  ];
  return `"manifest": {\n  ${fields.join(',\n  ')}\n}}\n`;
}

function listOf(lines: readonly string[]): string {
  return lines.length === 0 ? '[]' : `[\n    ${lines.join(',\n    ')}\n  ]`;
}

/** Tables are immutable and outlive many manifests: with 10,000 of them this saves most of the work of an edit. */
const tableLines = new WeakMap<TableMeta, string>();

function lineOf(level: number, table: TableMeta): string {
  let line = tableLines.get(table);
  if (line === undefined) {
    const text = JSON.stringify({
      number: table.number,
      sizeBytes: table.sizeBytes,
      checksum: table.checksum,
      entryCount: table.entryCount,
      tombstoneCount: table.tombstoneCount,
      shadowedCount: table.shadowedCount,
      rawBytes: table.rawBytes,
      smallestKey: toBase64(table.smallestKey),
      largestKey: toBase64(table.largestKey),
      smallestSequence: table.smallestSequence,
      largestSequence: table.largestSequence,
    });
    line = text.slice(1);
    tableLines.set(table, line);
  }
  // The level is not the table's own: a table may move without being rewritten.
  return `{"level":${level},${line}`;
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

/** A JSON object, as a Map: `__proto__` and `constructor` are names like any other there. */
type Fields = ReadonlyMap<string, unknown>;

function parseBody(body: Uint8Array, file: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(`{${Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8')}`);
  } catch {
    // JSON.parse quotes the text around the error, which may be key bytes; the message stays our own.
    throw new CorruptionError('the text is not json', { file });
  }
  const reader = new StateReader(file);
  return reader.fields(reader.fields(value).get('manifest'));
}

/** Builds fresh, typed objects out of parsed JSON, field by field; nothing parsed is passed on. */
class StateReader {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  state(manifest: Fields): ManifestState {
    const levels: TableMeta[][] = Array.from({ length: LEVEL_COUNT }, () => []);
    for (const item of this.#list(manifest, 'tables')) {
      const fields = this.fields(item);
      const level = levels[this.#number(fields, 'level')];
      if (level === undefined) this.#fail('level');
      level.push(this.#table(fields));
    }
    return {
      formatVersion: this.#number(manifest, 'formatVersion'),
      storeId: this.#text(manifest, 'storeId'),
      nextFileNumber: this.#number(manifest, 'nextFileNumber'),
      lastSequence: this.#number(manifest, 'lastSequence'),
      logNumber: this.#number(manifest, 'logNumber'),
      sealedLogs: this.#list(manifest, 'sealedLogs').map((item) => this.#sealedLog(this.fields(item))),
      obsoleteTables: this.#list(manifest, 'obsoleteTables').map((item) => {
        const fields = this.fields(item);
        return {
          number: this.#number(fields, 'number'),
          sizeBytes: this.#number(fields, 'sizeBytes'),
          checksum: this.#number(fields, 'checksum'),
        };
      }),
      obsoleteLogs: this.#list(manifest, 'obsoleteLogs').map((item) => {
        const fields = this.fields(item);
        return { number: this.#number(fields, 'number'), firstGroup: this.#number(fields, 'firstGroup') };
      }),
      levels,
    };
  }

  fields(value: unknown): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.#fail('object');
    return new Map(Object.entries(value));
  }

  #sealedLog(fields: Fields): SealedLog {
    return {
      number: this.#number(fields, 'number') as FileNumber,
      sizeBytes: this.#number(fields, 'sizeBytes'),
    };
  }

  #table(fields: Fields): TableMeta {
    return {
      number: this.#number(fields, 'number') as FileNumber,
      sizeBytes: this.#number(fields, 'sizeBytes'),
      checksum: this.#number(fields, 'checksum'),
      entryCount: this.#number(fields, 'entryCount'),
      tombstoneCount: this.#number(fields, 'tombstoneCount'),
      shadowedCount: this.#number(fields, 'shadowedCount'),
      rawBytes: this.#number(fields, 'rawBytes'),
      smallestKey: this.#bytes(fields, 'smallestKey'),
      largestKey: this.#bytes(fields, 'largestKey'),
      smallestSequence: this.#number(fields, 'smallestSequence') as SequenceNumber,
      largestSequence: this.#number(fields, 'largestSequence') as SequenceNumber,
    };
  }

  /** Its range is checked with all others, by stateProblem(). */
  #number(fields: Fields, name: string): number {
    const value = fields.get(name);
    if (typeof value !== 'number') this.#fail(name);
    return value;
  }

  #text(fields: Fields, name: string): string {
    const value = fields.get(name);
    if (typeof value !== 'string') this.#fail(name);
    return value;
  }

  /** Loose base64 is taken here and refused by the comparison of the whole text. */
  #bytes(fields: Fields, name: string): Uint8Array {
    // Copied out of Buffer's shared pool: a TableMeta is posted to workers, which clones whole backing buffers.
    return new Uint8Array(Buffer.from(this.#text(fields, name), 'base64'));
  }

  #list(fields: Fields, name: string): readonly unknown[] {
    const value = fields.get(name);
    if (!Array.isArray(value)) this.#fail(name);
    return value;
  }

  #fail(name: string): never {
    throw new CorruptionError(`field ${name} is missing or of the wrong type`, { file: this.#file });
  }
}
