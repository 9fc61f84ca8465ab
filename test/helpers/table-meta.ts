/**
 * Tables and versions for tests that need only their meta data.
 *
 *   7:[a-c]                        table 7 with the keys a to c
 *   7:[a-c]@3-9 size=50 dead=20/30 sequence range; size in bytes; 20 of 30 entries are tombstones; or
 *                                  shadowed=20/30: old versions
 */

import { fileNumber, LEVEL_COUNT, type SequenceNumber } from '../../src/shared/base/ids.ts';
import type { TableInfo } from '../../src/shared/base/version-edit.ts';
import { hullOf, Version } from '../../src/shared/read/version.ts';

export function tableMeta(
  number: number,
  smallest: string,
  largest: string,
  rest: Partial<TableInfo> = {},
): TableInfo {
  return {
    number: fileNumber(number),
    sizeBytes: 100,
    checksum: 0xdeadbeef,
    entryCount: 10,
    tombstoneCount: 0,
    shadowedCount: 0,
    rawBytes: 200,
    smallestKey: new TextEncoder().encode(smallest),
    largestKey: new TextEncoder().encode(largest),
    smallestSequence: 1 as SequenceNumber,
    largestSequence: 1 as SequenceNumber,
    ...rest,
  };
}

export function parseTable(text: string): TableInfo {
  const match =
    /^(\d+):\[(.*?)-(.*?)\](?:@(\d+)-(\d+))?(?: size=(\d+))?(?: (dead|shadowed)=(\d+)\/(\d+))?$/.exec(
      text.trim(),
    );
  if (match === null) throw new Error(`not a table: ${text}`);
  const [, number, smallest, largest, from, to, size, kind, count, entries] = match;
  return tableMeta(Number(number), smallest!, largest!, {
    smallestSequence: Number(from ?? 1) as SequenceNumber,
    largestSequence: Number(to ?? 1) as SequenceNumber,
    sizeBytes: Number(size ?? 100),
    tombstoneCount: kind === 'dead' ? Number(count) : 0,
    shadowedCount: kind === 'shadowed' ? Number(count) : 0,
    entryCount: Number(entries ?? 10),
  });
}

/** Lines of `L0: table; table`, in any order of levels. */
export function parseLevels(lines: readonly string[]): TableInfo[][] {
  const levels: TableInfo[][] = Array.from({ length: LEVEL_COUNT }, () => []);
  for (const line of lines) {
    const match = /^L([0-7]): *(.*)$/.exec(line);
    if (match === null) throw new Error(`not a level: ${line}`);
    levels[Number(match[1])]!.push(...match[2]!.split(';').map(parseTable));
  }
  return levels;
}

export function parseVersion(lines: readonly string[]): Version {
  return Version.fromLevels(parseLevels(lines));
}

const decoder = new TextDecoder();

export function showTable(table: TableInfo): string {
  return `${table.number}:[${decoder.decode(table.smallestKey)}-${decoder.decode(table.largestKey)}]`;
}

export function showTables(tables: readonly TableInfo[]): string {
  return tables.length === 0 ? '-' : tables.map(showTable).join(' ');
}

export function showVersion(version: Version): string {
  return version.levels
    .flatMap((tables, i) => (tables.length === 0 ? [] : [`L${i}: ${showTables(tables)}`]))
    .join('\n');
}

/** A table that a merge of `tables` could have made: their hull, as one table. */
export function mergedTable(number: number, tables: readonly TableInfo[]): TableInfo {
  const hull = hullOf(tables)!;
  const sequences = tables.flatMap((table) => [table.smallestSequence, table.largestSequence]);
  return {
    ...tableMeta(number, '', ''),
    smallestKey: hull.start,
    largestKey: hull.end,
    sizeBytes: tables.reduce((sum, table) => sum + table.sizeBytes, 0),
    smallestSequence: Math.min(...sequences) as SequenceNumber,
    largestSequence: Math.max(...sequences) as SequenceNumber,
  };
}
