/**
 * Files of the manifest's pages (manifest-pages.ts).
 *
 *   000016.tables    a text as manifest-text.ts spells it:
 *                    "page": {
 *                      "formatVersion": 5, "storeId": "...", "number": 16,
 *                      "tables": [
 *                        {"level":1,"number":7, ...}          one line per table
 *                      ]
 *                    }}\n
 *
 * The root has size and checksum of the whole file. A page is written as 000016.tables.new and synced before a root names it, and
 * gets its name for good after that, as a table does; so what a crash leaves behind is known by its name.
 *
 * Invariants: a page never changes. What is read is what the root means, or a CorruptionError.
 * Thread:     main; writing waits for the disk outside of the call.
 */
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError, systemErrorCode } from '../../shared/base/errors.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { newPagePath, pagePath } from '../../shared/files/file-names.ts';
import {
  closeQuietly,
  type FileSystem,
  readFully,
  type StorageFile,
  writeFullyAsync,
} from '../../shared/files/file-system.ts';
import type { PageDraft } from './manifest-pages.ts';
import { MANIFEST_FORMAT_VERSION, type TablePage } from './manifest-state.ts';
import { checkSpelling, FieldReader, listOf, openText, sealText, tableLinesOf } from './manifest-text.ts';
import { scanPage } from './page-scanner.ts';

/** Of the pages that can be read: one that was written before stays as it is when the root is written anew. */
const PAGE_FORMATS: readonly number[] = [MANIFEST_FORMAT_VERSION, 4, 3];

/** Pages written at the same time: three of libuv's four threads, which leaves one for the log. */
const LANES = 3;
/** Far above what is written: bounds what a hostile root makes us read. */
const MAX_READ_BYTES: number = 16 * 1024 * 1024;

/** A line of the root about a page. */
export interface PageEntry extends Omit<TablePage, 'tables'> {
  readonly tableCount: number;
}

export function encodePage(storeId: string, number: number, { level, tables }: PageDraft): Buffer {
  return sealText(bodyOf(storeId, number, tableLinesOf(tables.map((table) => ({ level, table })))));
}

function bodyOf(
  storeId: string,
  number: number,
  lines: readonly string[],
  formatVersion: number = MANIFEST_FORMAT_VERSION,
): string {
  return `${headOf(storeId, number, formatVersion)}"tables": ${listOf(lines)}\n}}\n`;
}

function headOf(storeId: string, number: number, formatVersion: number): string {
  const fields = [
    `"formatVersion": ${formatVersion}`,
    `"storeId": ${JSON.stringify(storeId)}`,
    `"number": ${number}`,
  ];
  return `"page": {\n${fields.map((field) => `  ${field},\n`).join('')}  `;
}

/** @throws {@link CorruptionError} unless `bytes` are those of the page that `entry` means. */
export function decodePage(bytes: Uint8Array, file: string, storeId: string, entry: PageEntry): TablePage {
  const { level, number, sizeBytes, checksum } = entry;
  if (bytes.length !== sizeBytes || crc32(bytes) !== checksum)
    throw new CorruptionError('it is not the page that the manifest names', { file });
  const body = openText(bytes, file);
  let tables: TableInfo[] | undefined;
  for (const version of PAGE_FORMATS)
    tables ??= scanPage(
      body,
      `${headOf(storeId, number, version)}"tables": [\n    `,
      level,
      entry.tableCount,
    );
  tables ??= readTables(body, file, storeId, entry);
  return { level, number, sizeBytes, checksum, tables };
}

/** Of any spelling that the text may have, to say what is wrong with it. @throws {@link CorruptionError} */
function readTables(body: Uint8Array, file: string, storeId: string, entry: PageEntry): TableInfo[] {
  const { level, number } = entry;
  const reader = new FieldReader(file);
  const page = reader.parse(body, 'page');
  const lines = reader.tables(page);
  const formatVersion = reader.number(page, 'formatVersion');
  if (!PAGE_FORMATS.includes(formatVersion)) throw new CorruptionError('the format is unknown', { file });
  if (lines.length !== entry.tableCount || lines.some((line) => line.level !== level))
    throw new CorruptionError('the page has other tables than the manifest says', { file });
  checkSpelling(
    bodyOf(
      storeId,
      number,
      lines.map(({ line }) => line),
      formatVersion,
    ),
    body,
    file,
  );
  return lines.map(({ table }) => table);
}

/** For {@link readPage}: large enough for each of `entries` that it reads. */
export function pageMemory(entries: readonly PageEntry[]): Uint8Array {
  const largest = entries.reduce((most, { sizeBytes }) => Math.max(most, sizeBytes), 0);
  return new Uint8Array(Math.min(largest, MAX_READ_BYTES));
}

/**
 * Reads the page from the first of `directories` that has it, under either of its names. Its text is in `memory` meanwhile, and
 * nothing of it is kept.
 */
export function readPage(
  fs: Pick<FileSystem, 'openRead'>,
  directories: readonly string[],
  storeId: string,
  entry: PageEntry,
  memory: Uint8Array = pageMemory([entry]),
): TablePage {
  const file = openPageFile(fs, directories, entry.number as FileNumber);
  try {
    if (entry.sizeBytes > MAX_READ_BYTES || file.size() !== entry.sizeBytes)
      throw new CorruptionError('it is not the page that the manifest names', { file: file.path });
    const bytes = memory.subarray(0, entry.sizeBytes);
    return decodePage(bytes.subarray(0, readFully(file, bytes, 0)), file.path, storeId, entry);
  } finally {
    file.close();
  }
}

function openPageFile(
  fs: Pick<FileSystem, 'openRead'>,
  directories: readonly string[],
  number: FileNumber,
): StorageFile {
  for (const directory of directories) {
    for (const path of [pagePath(directory, number), newPagePath(directory, number)]) {
      try {
        return fs.openRead(path);
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
      }
    }
  }
  throw new CorruptionError('a page that the manifest names is missing', {
    file: pagePath(directories[0]!, number),
  });
}

/**
 * Writes `drafts` as files with their first names, synced, a few at a time. When it rejects, some may be there: `numbers` says
 * which names they have.
 */
export async function writePages(
  fs: FileSystem,
  directory: string,
  storeId: string,
  drafts: readonly PageDraft[],
  numbers: readonly FileNumber[],
): Promise<TablePage[]> {
  const pages: TablePage[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < drafts.length) {
      const i = next++;
      pages[i] = await writePage(fs, directory, storeId, drafts[i]!, numbers[i]!);
    }
  };
  const lanes = Array.from({ length: Math.min(LANES, drafts.length) }, lane);
  const outcomes = await Promise.allSettled(lanes);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  // A root must not be on the disk before the names of its pages are.
  if (drafts.length > 0) await fs.syncDirectoryAsync(directory);
  return pages;
}

async function writePage(
  fs: FileSystem,
  directory: string,
  storeId: string,
  draft: PageDraft,
  number: FileNumber,
): Promise<TablePage> {
  const path = newPagePath(directory, number);
  const file = (await fs.createExclusiveAsync?.(path)) ?? fs.createExclusive(path);
  try {
    const bytes = encodePage(storeId, number, draft);
    const checksum = crc32(bytes);
    await writeFullyAsync(file, bytes, 0);
    await file.datasyncAsync();
    return { ...draft, number, sizeBytes: bytes.length, checksum };
  } finally {
    closeQuietly(file);
  }
}

/** A durable root names these pages. */
export async function namePages(
  fs: FileSystem,
  directory: string,
  pages: readonly { readonly number: number }[],
): Promise<void> {
  for (const { number } of pages) {
    const path = pagePath(directory, number as FileNumber);
    try {
      await fs.renameAsync(newPagePath(directory, number as FileNumber), path);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || fs.stat(path) === undefined) throw error;
    }
  }
}
