/**
 * The text of manifest.json, to and from a state: see manifest.ts for what it looks like.
 *
 * Thread: main. Pure, except that it reads the pages.
 */
import { assert } from '../../shared/base/assert.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import { type FileNumber, LEVEL_COUNT, type Level, level as toLevel } from '../../shared/base/ids.ts';
import type { LeveledTable, TableInfo } from '../../shared/base/version-edit.ts';
import type { ClosedEpoch } from '../../shared/changes/history.ts';
import type { TableSequence } from '../../shared/read/table-list.ts';
import { type KeptState, NOTHING_KEPT } from './kept-state.ts';
import {
  emptyState,
  MANIFEST_FORMAT_VERSION,
  MAX_TABLE_COUNT,
  type ManifestState,
  type ObsoleteLog,
  type ObsoleteTable,
  type SealedLog,
  stateProblem,
  type TablePage,
} from './manifest-state.ts';
import {
  checkSpelling,
  FieldReader,
  type Fields,
  listOf,
  openText,
  sealText,
  tableLinesOf,
} from './manifest-text.ts';
import type { PageEntry } from './page-files.ts';

/** Node's strings end at 512 MiB. */
export const MAX_MANIFEST_BYTES: number = 500 * 1024 * 1024;
/** Before there were pages. */
const FORMAT_WITHOUT_PAGES = 2;
/** All that can be read. */
const FORMATS: readonly unknown[] = [FORMAT_WITHOUT_PAGES, 3, 4, MANIFEST_FORMAT_VERSION];
/** From here on it names the epochs of its history, and what is kept for changes(). */
const FORMAT_WITH_EPOCHS = 5;

/** Reads all pages that a root names. */
export type PageSource = (storeId: string, entries: readonly PageEntry[]) => TablePage[];

/** The exact bytes of the file that says `state`, which is known to be sound. Its pages are files already. */
export function rootBytes(state: ManifestState<TableSequence>): Uint8Array {
  assert(state.formatVersion === MANIFEST_FORMAT_VERSION, 'the manifest to be written has another format');
  const bytes = sealText(bodyOf(state));
  assert(bytes.length <= MAX_MANIFEST_BYTES, 'the manifest to be written is too large');
  return bytes;
}

/** @throws {@link CorruptionError}, or StorageError `STRATA_UNSUPPORTED` for a newer format. */
export function decodeRoot(bytes: Uint8Array, file: string, pagesOf: PageSource): ManifestState {
  const body = openText(bytes, file);
  const reader = new FieldReader(file);
  const manifest = reader.parse(body, 'manifest');
  const formatVersion: unknown = reader.has(manifest, 'formatVersion')
    ? manifest['formatVersion']
    : undefined;
  if (
    typeof formatVersion === 'number' &&
    Number.isSafeInteger(formatVersion) &&
    formatVersion > MANIFEST_FORMAT_VERSION
  ) {
    const message = `format version ${formatVersion} is newer than this version of stratakv can read: ${file}`;
    throw new StorageError('STRATA_UNSUPPORTED', message, { file });
  }
  if (typeof formatVersion !== 'number' || !FORMATS.includes(formatVersion))
    throw new CorruptionError('the format is unknown', { file });
  const state = stateOf(reader, manifest, formatVersion, pagesOf);
  const problem = stateProblem(state);
  if (problem !== undefined) throw new CorruptionError(problem, { file });
  checkSpelling(bodyOf(state), body, file);
  return { ...state, formatVersion: MANIFEST_FORMAT_VERSION };
}

function bodyOf(state: ManifestState<TableSequence>): string {
  const { sealedLogs, obsoleteTables, obsoleteLogs, obsoletePages, pages, levels } = state;
  const inPages = new Set(pages.map((page) => page.level));
  const inline = levels.flatMap((tables, i) => {
    const level = toLevel(i);
    return inPages.has(level) ? [] : Array.from(tables, (table): LeveledTable => ({ level, table }));
  });
  const hasPages = state.formatVersion !== FORMAT_WITHOUT_PAGES;
  const hasEpochs = state.formatVersion >= FORMAT_WITH_EPOCHS;
  const fields = [
    `"formatVersion": ${state.formatVersion}`,
    `"storeId": ${JSON.stringify(state.storeId)}`,
    ...(state.branch === undefined ? [] : [`"branch": ${JSON.stringify(state.branch)}`]),
    ...(hasPages ? [`"ownerEpoch": ${state.ownerEpoch}`, `"lastTime": ${state.lastTime}`] : []),
    `"nextFileNumber": ${state.nextFileNumber}`,
    `"lastSequence": ${state.lastSequence}`,
    `"logNumber": ${state.logNumber}`,
    ...(hasEpochs ? [`"epochs": ${listOf(state.epochs.map(epochLine))}`] : []),
    `"sealedLogs": ${listOf(sealedLogs.map(({ number, sizeBytes }) => JSON.stringify({ number, sizeBytes })))}`,
    ...(hasEpochs ? keptFields(state) : []),
    `"obsoleteTables": ${listOf(obsoleteTables.map(obsoleteLine))}`,
    `"obsoleteLogs": ${listOf(obsoleteLogs.map(({ number, firstGroup }) => JSON.stringify({ number, firstGroup })))}`,
    ...(hasPages
      ? [
          `"obsoletePages": ${listOf(obsoletePages.map(obsoleteLine))}`,
          `"pages": ${listOf(pages.map(pageLine))}`,
        ]
      : []),
    `"tables": ${listOf(tableLinesOf(inline))}`,
  ];
  return `"manifest": {\n  ${fields.join(',\n  ')}\n}}\n`;
}

function keptFields({ keptLogs, keptLoads, keptTables }: KeptState): string[] {
  const logs = keptLogs.map(({ number, sizeBytes, firstGroup, firstSequence, time }) =>
    JSON.stringify({ number, sizeBytes, firstGroup, firstSequence, time }),
  );
  const loads = keptLoads.map(({ sequence, after, time, sizeBytes, tables }) =>
    JSON.stringify({ sequence, after, time, sizeBytes, tables }),
  );
  return [
    `"keptLogs": ${listOf(logs)}`,
    `"keptLoads": ${listOf(loads)}`,
    `"keptTables": ${listOf(keptTables.map(obsoleteLine))}`,
  ];
}

function epochLine({ id, end }: ClosedEpoch): string {
  return `{"id":"${id}","end":${end}}`;
}

function obsoleteLine({ number, sizeBytes, checksum }: ObsoleteTable): string {
  return `{"number":${number},"sizeBytes":${sizeBytes},"checksum":${checksum}}`;
}

function pageLine({ level, number, sizeBytes, checksum, tables }: TablePage): string {
  return `{"level":${level},"number":${number},"sizeBytes":${sizeBytes},"checksum":${checksum},"tables":${tables.length}}`;
}

function stateOf(
  reader: FieldReader,
  manifest: Fields,
  formatVersion: number,
  pagesOf: PageSource,
): ManifestState {
  const storeId = reader.text(manifest, 'storeId');
  const items = (name: string): Fields[] => reader.list(manifest, name).map((item) => reader.object(item));
  const levels: TableInfo[][] = Array.from({ length: LEVEL_COUNT }, () => []);
  const newest =
    formatVersion === FORMAT_WITHOUT_PAGES
      ? emptyState(storeId)
      : {
          ownerEpoch: reader.number(manifest, 'ownerEpoch'),
          lastTime: reader.number(manifest, 'lastTime'),
          obsoletePages: items('obsoletePages').map((fields) => obsoleteOf(reader, fields)),
          pages: pagesOf(storeId, entriesOf(reader, items('pages'))),
        };
  const kept = formatVersion < FORMAT_WITH_EPOCHS ? NOTHING_KEPT : keptOf(reader, manifest, items);
  for (const { level, tables } of newest.pages) for (const table of tables) levels[level]!.push(table);
  const inPages = new Set(newest.pages.map((page) => page.level));
  for (const { level, table } of reader.tables(manifest)) {
    if (inPages.has(level)) reader.fail('level');
    levels[level]!.push(table);
  }
  return {
    formatVersion,
    storeId,
    ownerEpoch: newest.ownerEpoch,
    lastTime: newest.lastTime,
    nextFileNumber: reader.number(manifest, 'nextFileNumber'),
    lastSequence: reader.number(manifest, 'lastSequence'),
    logNumber: reader.number(manifest, 'logNumber'),
    sealedLogs: items('sealedLogs').map(
      (fields): SealedLog => ({
        number: reader.number(fields, 'number') as FileNumber,
        sizeBytes: reader.number(fields, 'sizeBytes'),
      }),
    ),
    obsoleteTables: items('obsoleteTables').map((fields) => obsoleteOf(reader, fields)),
    obsoleteLogs: items('obsoleteLogs').map(
      (fields): ObsoleteLog => ({
        number: reader.number(fields, 'number'),
        firstGroup: reader.number(fields, 'firstGroup'),
      }),
    ),
    obsoletePages: newest.obsoletePages,
    pages: newest.pages,
    ...kept,
    levels,
  };
}

function keptOf(reader: FieldReader, manifest: Fields, items: (name: string) => Fields[]): KeptState {
  return {
    ...(reader.has(manifest, 'branch') ? { branch: reader.text(manifest, 'branch') } : {}),
    epochs: items('epochs').map((fields) => ({
      id: reader.text(fields, 'id'),
      end: reader.number(fields, 'end'),
    })),
    keptLogs: items('keptLogs').map((fields) => ({
      number: reader.number(fields, 'number'),
      sizeBytes: reader.number(fields, 'sizeBytes'),
      firstGroup: reader.number(fields, 'firstGroup'),
      firstSequence: reader.number(fields, 'firstSequence'),
      time: reader.number(fields, 'time'),
    })),
    keptLoads: items('keptLoads').map((fields) => ({
      sequence: reader.number(fields, 'sequence'),
      after: reader.number(fields, 'after'),
      time: reader.number(fields, 'time'),
      sizeBytes: reader.number(fields, 'sizeBytes'),
      tables: reader.numbers(fields, 'tables'),
    })),
    keptTables: items('keptTables').map((fields) => obsoleteOf(reader, fields)),
  };
}

function obsoleteOf(reader: FieldReader, fields: Fields): ObsoleteTable {
  return {
    number: reader.number(fields, 'number'),
    sizeBytes: reader.number(fields, 'sizeBytes'),
    checksum: reader.number(fields, 'checksum'),
  };
}

/** Checked before the files are read: the names of files are made of the numbers. */
function entriesOf(reader: FieldReader, items: readonly Fields[]): PageEntry[] {
  let tableCount = 0;
  return items.map((fields) => {
    const entry = {
      ...obsoleteOf(reader, fields),
      level: reader.number(fields, 'level') as Level,
      tableCount: reader.number(fields, 'tables'),
    };
    const { level, number, sizeBytes } = entry;
    if (!Number.isInteger(level) || level < 0 || level >= LEVEL_COUNT) reader.fail('level');
    if (!Number.isSafeInteger(number) || number < 1) reader.fail('number');
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1) reader.fail('sizeBytes');
    if (!Number.isSafeInteger(entry.tableCount) || entry.tableCount < 1) reader.fail('tables');
    tableCount += entry.tableCount;
    if (tableCount > MAX_TABLE_COUNT) reader.fail('tables');
    return entry;
  });
}
