/**
 * The tables in the text of a damaged manifest, and in those of its pages: which ones were live, if every list begins, goes on
 * and ends as it should. Nothing of it is believed that the files of the tables do not bear out (rebuild.ts).
 *
 * Thread: main. Reads only.
 */
import { systemErrorCode } from '../../shared/base/errors.ts';
import { type FileNumber, MAX_FILE_NUMBER } from '../../shared/base/ids.ts';
import { newPagePath, pagePath } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully } from '../../shared/files/file-system.ts';

/** A table as a damaged manifest has it: unproven. */
export interface ListedTable {
  readonly number: number;
  readonly sizeBytes: number;
  readonly checksum: number;
}

const TABLE_LINE =
  /^ {4}\{"level":[0-7],(?:"shared":\[\d+,\d+\],)?"number":(\d+),"sizeBytes":(\d+),"checksum":(\d+),"entryCount":\d+,[^{}]*"largestSequence":\d+(?:,"rangeDeletes":\d+)?(?:,"expiry":\[[\d,]+\])?\},?$/;
const PAGE_LINE = /^ {4}\{"level":[0-7],"number":(\d+),"sizeBytes":\d+,"checksum":\d+,"tables":(\d+)\},?$/;
/** Formats without pages say so in this line. */
const UNPAGED = '  "formatVersion": 2,';

/** Of a larger list, which a damaged manifest of 300,000 tables may have, repair takes what the tables themselves say. */
const MAX_LISTED_BYTES: number = 64 * 1024 * 1024;

/** The tables that the text of a damaged manifest lists, with its pages; undefined where nobody knows whether that is all. */
export function readListed(fs: FileSystem, directory: string, bytes: Uint8Array): ListedTable[] | undefined {
  const lines = linesOf(bytes);
  if (lines === undefined) return undefined;
  const listed = readTables(lines);
  const pages = lines.includes(UNPAGED) ? [] : readPages(lines);
  if (listed === undefined || pages === undefined) return undefined;
  for (const { number, tableCount } of pages) {
    const page = readPageFile(fs, directory, number);
    const tables = page && readTables(linesOf(page) ?? []);
    if (tables?.length !== tableCount) return undefined;
    listed.push(...tables);
  }
  return new Set(listed.map(({ number }) => number)).size === listed.length ? listed : undefined;
}

function linesOf(bytes: Uint8Array): string[] | undefined {
  if (bytes.length > MAX_LISTED_BYTES) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').split('\n');
}

/** The list at the end of a text. */
function readTables(lines: readonly string[]): ListedTable[] | undefined {
  const first = firstOf(lines, 'tables');
  if (first < 0) return undefined;
  const isEmpty = lines[first] === '  "tables": []';
  const tail = lines.slice(isEmpty ? first + 1 : -3).join('\n');
  if (tail !== (isEmpty ? '}}\n' : '  ]\n}}\n')) return undefined;
  const matches = matchAll(isEmpty ? [] : lines.slice(first + 1, -3), TABLE_LINE);
  return matches?.map((match) => {
    const [number, sizeBytes, checksum] = match.slice(1, 4).map(Number) as [number, number, number];
    return { number, sizeBytes, checksum };
  });
}

/** The list right before the tables. */
function readPages(
  lines: readonly string[],
): { readonly number: number; readonly tableCount: number }[] | undefined {
  const end = firstOf(lines, 'tables') - 1;
  if (lines[end] === '  "pages": [],') return [];
  const first = firstOf(lines, 'pages');
  if (first < 0 || lines[end] !== '  ],') return undefined;
  return matchAll(lines.slice(first + 1, end), PAGE_LINE)?.map((match) => ({
    number: Number(match[1]),
    tableCount: Number(match[2]),
  }));
}

function firstOf(lines: readonly string[], name: string): number {
  return lines.findIndex((line) => line === `  "${name}": [` || line === `  "${name}": []`);
}

function matchAll(lines: readonly string[], pattern: RegExp): RegExpExecArray[] | undefined {
  const matches = lines.map((line, i) =>
    line.endsWith(',') === i + 1 < lines.length ? pattern.exec(line) : null,
  );
  return matches.every((match) => match !== null) ? matches : undefined;
}

function readPageFile(fs: FileSystem, directory: string, number: number): Uint8Array | undefined {
  if (number > MAX_FILE_NUMBER) return undefined;
  for (const path of [
    pagePath(directory, number as FileNumber),
    newPagePath(directory, number as FileNumber),
  ]) {
    try {
      if (fs.stat(path)?.kind !== 'file') continue;
      const file = fs.openRead(path);
      try {
        const size = file.size();
        if (size > MAX_LISTED_BYTES) return undefined;
        const bytes = new Uint8Array(size);
        return bytes.subarray(0, readFully(file, bytes, 0));
      } finally {
        file.close();
      }
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return undefined;
}
