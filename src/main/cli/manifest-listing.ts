/**
 * dump-manifest: a manifest, or a page of one, as lines or as one JSON document.
 */

import type { FileNumber } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { logName, pageName, tableName } from '../../shared/files/file-names.ts';
import { nodeFileSystem } from '../../shared/files/node-file-system.ts';
import { findPath, openInspected } from '../inspect/inspected-file.ts';
import {
  findManifest,
  inspectManifest,
  MANIFEST_KINDS,
  MANIFEST_WHAT,
  type ManifestFacts,
  readManifest,
} from '../inspect/manifest-facts.ts';
import type { CommandContext } from './context.ts';
import { bytesOf, faultFields, Listing, type ListingOptions, plain, row, verdict } from './listing.ts';
import { formatBytes, formatCount, timeOf } from './quantities.ts';

const WIDTHS: readonly number[] = [-7, -17, 11, 13, 11, 11, 25];
const TITLES: readonly string[] = ['level', 'table', 'size', 'entries', 'deletes', 'shadowed', 'sequences'];
/** Names on a line, at most. */
const MAX_NAMES = 6;
const EXPECTED = { what: MANIFEST_WHAT, kinds: [...MANIFEST_KINDS, 'set-aside'] } as const;

export async function dumpManifest(
  context: CommandContext,
  path: string,
  options: ListingOptions,
): Promise<void> {
  const listing = new Listing(context, options);
  const facts = factsOf(path);
  for (const fault of facts.faults) listing.note(fault);
  await listing.print(listing.isJson ? jsonLines(listing, facts) : textLines(listing, facts), (line) =>
    listing.line(line),
  );
}

/** Of a directory the manifest in force; else whatever is in the file. */
function factsOf(path: string): ManifestFacts {
  const found = findPath(nodeFileSystem, path, MANIFEST_WHAT);
  if (found.isDirectory) return inspectManifest(nodeFileSystem, findManifest(nodeFileSystem, found.path));
  openInspected(nodeFileSystem, path, EXPECTED).close();
  return readManifest(nodeFileSystem, found.path);
}

/** One document on several lines: a store may have a million tables. */
function* jsonLines(listing: Listing, facts: ManifestFacts): Generator<string, void> {
  const { path, bytes, what, isVerified, fields, pages, faults } = facts;
  const { epochs, sealedLogs, keptLogs, keptLoads, keptTables } = facts;
  const { obsoleteTables, obsoleteLogs, obsoletePages } = facts;
  const head = JSON.stringify({
    ...{ type: what, path, bytes, isVerified, ...fields },
    ...{ epochs, sealedLogs, keptLogs, keptLoads, keptTables },
    ...{ obsoleteTables, obsoleteLogs, obsoletePages, pages },
    faults: faults.map(faultFields),
  });
  yield `${head.slice(0, -1)},"tables":[`;
  let comma = '';
  for (const [level, tables] of facts.levels.entries())
    for (const { smallestKey, largestKey, ...table } of tables) {
      const keys = {
        ...listing.keyFields('smallestKey', smallestKey),
        ...listing.keyFields('largestKey', largestKey),
      };
      yield comma + JSON.stringify({ level, ...table, ...keys });
      comma = ',';
    }
  yield ']}';
}

function* textLines(listing: Listing, facts: ManifestFacts): Generator<string, void> {
  const { path, bytes, what, isVerified, fields, faults } = facts;
  const proof = isVerified
    ? 'checksum ok'
    : 'damaged: what follows is what can be read of it, and nothing of it is proven';
  yield `${path}: ${what === 'page' ? 'a page of a manifest, ' : ''}${bytesOf(bytes)}, ${proof}`;
  for (const [name, value] of Object.entries(fields))
    yield `  ${name.padEnd(16)}${name === 'lastTime' ? timeOf(Number(value)) : value}`;
  yield* lists(facts);
  const tables = facts.levels.flat();
  if (tables.length > 0) yield row(WIDTHS, TITLES) + (listing.showsKeys ? '  keys' : '');
  for (const [level, ofLevel] of facts.levels.entries())
    for (const table of ofLevel) yield tableLine(listing, level, table);
  const size = tables.reduce((sum, table) => sum + table.sizeBytes, 0);
  for (const fault of faults) yield `damaged: ${plain(fault)}`;
  yield `${verdict(faults.length)}: ${formatCount(tables.length)} tables, ${formatBytes(size)}`;
}

function* lists(facts: ManifestFacts): Generator<string, void> {
  const { what, epochs, sealedLogs, keptLogs, keptLoads, keptTables } = facts;
  const { obsoleteTables, obsoleteLogs, obsoletePages, pages } = facts;
  if (what === 'page') return;
  const named = (
    name: string,
    files: readonly { readonly number: number }[],
    nameOf: (number: FileNumber) => string,
  ): string => `  ${name.padEnd(16)}${namesOf(files.map(({ number }) => nameOf(number as FileNumber)))}`;
  yield `  ${'epochs'.padEnd(16)}${namesOf(epochs.map(({ id, end }) => `${id} (to ${end})`))}`;
  const sealed = sealedLogs.map(({ number, sizeBytes }) => `${logName(number)} (${sizeBytes} bytes)`);
  yield `  ${'sealed logs'.padEnd(16)}${namesOf(sealed)}`;
  yield named('kept logs', keptLogs, logName);
  const loads = keptLoads.map(({ sequence, tables }) => `${sequence} (${tables.length} tables)`);
  yield `  ${'kept loads'.padEnd(16)}${namesOf(loads)}`;
  yield named('kept tables', keptTables, tableName);
  yield named('obsolete tables', obsoleteTables, tableName);
  yield named('obsolete logs', obsoleteLogs, logName);
  yield named('obsolete pages', obsoletePages, pageName);
  if (pages.length === 0) yield `  ${'pages'.padEnd(16)}none`;
  for (const { level, number, sizeBytes, tables } of pages)
    yield `  page ${pageName(number as FileNumber)}: level ${level}, ${formatCount(tables)} tables, ${bytesOf(sizeBytes)}`;
}

/** All of a few; of many the first and the last, and how many there are. */
function namesOf(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  if (names.length <= MAX_NAMES) return names.join(' ');
  return `${formatCount(names.length)} of them: ${names[0]} .. ${names.at(-1)}   (--json names all)`;
}

function tableLine(listing: Listing, level: number, table: TableInfo): string {
  const cells = [
    `L${level}`,
    tableName(table.number),
    formatBytes(table.sizeBytes),
    formatCount(table.entryCount),
    formatCount(table.tombstoneCount),
    formatCount(table.shadowedCount),
    `${table.smallestSequence}..${table.largestSequence}`,
  ];
  const { rangeDeletes = 0 } = table;
  const ranges = rangeDeletes === 0 ? '' : `  ${formatCount(rangeDeletes)} deleted ranges`;
  const keys = listing.showsKeys
    ? `  ${listing.key(table.smallestKey)} .. ${listing.key(table.largestKey)}`
    : '';
  return row(WIDTHS, cells) + ranges + keys;
}
