/**
 * levels: the levels of a store as a picture, or as one JSON document.
 *
 *   level  files      MiB  score  keys from the first to the last
 *   L0         2      3.1   0.50  [====================]
 *                                      [=========================]
 *   L6        12     24.0   0.97  [==][====][===][==][===][====][==]
 *
 * One table is [===], as wide as its part of the keys (level-map.ts); # where it, or some, are too small for that. The tables of
 * L0 overlap, so each has a line of its own, newest first.
 */
import { nodeFileSystem } from '../../shared/files/node-file-system.ts';
import type { LevelPicture } from '../door/levels.ts';
import { findPath, WrongFile } from '../inspect/inspected-file.ts';
import { type MappedLevel, type MappedTable, mapLevels } from '../inspect/level-map.ts';
import { findManifest, inspectManifest } from '../inspect/manifest-facts.ts';
import type { CommandContext } from './context.ts';
import { faultFields, Listing, type ListingOptions, plain, row } from './listing.ts';
import { formatCount } from './quantities.ts';

const EXPECTED = 'the directory of a store';
const WIDTHS: readonly number[] = [-6, 6, 11, 7];
/** The columns before the bars, and the space between. */
const LEFT_WIDTH = 32;
const LEAST_BAR_WIDTH = 20;
/** Of the tables of L0 so many have a line of their own. */
const MAX_LINES = 12;
const MIB = 1024 * 1024;

export async function showLevels(
  context: CommandContext,
  path: string,
  options: ListingOptions,
): Promise<void> {
  const listing = new Listing(context, options);
  const found = findPath(nodeFileSystem, path, EXPECTED);
  if (!found.isDirectory) throw new WrongFile(`${path} is a file; expected ${EXPECTED}`);
  const picture = await pictureOf(context, found.path);
  for (const fault of picture.faults) listing.note(fault);
  const lines = listing.isJson ? [document(listing, picture)] : textLines(listing, picture);
  await listing.print(lines, (line) => listing.line(line));
}

/** Of the process that has the store open, if there is one that can be asked; else of its files. */
async function pictureOf({ session }: CommandContext, directory: string): Promise<LevelPicture> {
  const owner = await session.owner(directory);
  if (owner !== undefined) return await owner.levels();
  const facts = inspectManifest(nodeFileSystem, findManifest(nodeFileSystem, directory));
  return { ...facts, levels: mapLevels(facts) };
}

function document(listing: Listing, { path, isVerified, faults, levels }: LevelPicture): string {
  const shown = levels.map(({ smallestKey, largestKey, score, tables, ...level }) => ({
    ...level,
    score: score ?? null,
    ...listing.keyFields('smallestKey', smallestKey),
    ...listing.keyFields('largestKey', largestKey),
    tables,
  }));
  return JSON.stringify({ type: 'levels', path, isVerified, levels: shown, faults: faults.map(faultFields) });
}

function* textLines(
  listing: Listing,
  { path, isVerified, faults, levels }: LevelPicture,
): Generator<string, void> {
  const width = Math.max(LEAST_BAR_WIDTH, listing.columns - LEFT_WIDTH - 1);
  if (!isVerified) yield `${path} is damaged: what follows is what can be read of it`;
  yield `${row(WIDTHS, ['level', 'files', 'MiB', 'score'])}  keys, from the first to the last`;
  for (const level of levels) if (level.files > 0) yield* levelLines(level, width);
  const files = levels.reduce((sum, level) => sum + level.files, 0);
  const bytes = levels.reduce((sum, level) => sum + level.bytes, 0);
  yield row(WIDTHS, ['all', formatCount(files), mebibytes(bytes)]);
  if (listing.showsKeys)
    for (const { level, smallestKey, largestKey } of levels)
      if (smallestKey !== undefined && largestKey !== undefined)
        yield `L${level}    ${listing.key(smallestKey)} .. ${listing.key(largestKey)}`;
  for (const fault of faults) yield `damaged: ${plain(fault)}`;
}

function* levelLines(
  { level, files, bytes, score, tables }: MappedLevel,
  width: number,
): Generator<string, void> {
  const cells = [`L${level}`, formatCount(files), mebibytes(bytes), score?.toFixed(2) ?? '-'];
  const left = row(WIDTHS, cells).padEnd(LEFT_WIDTH - 2);
  if (level > 0) {
    yield `${left}  ${bar(tables, width)}`;
    return;
  }
  const alone = tables.length > MAX_LINES ? MAX_LINES - 1 : tables.length;
  for (const [i, table] of tables.slice(0, alone).entries())
    yield `${i === 0 ? left : ' '.repeat(LEFT_WIDTH - 2)}  ${bar([table], width)}`;
  if (alone < tables.length)
    yield `${`and ${formatCount(tables.length - alone)} older ones`.padStart(LEFT_WIDTH - 2)}  ${cover(tables.slice(alone), width)}`;
}

function mebibytes(bytes: number): string {
  if (bytes > 0 && bytes < MIB / 1000) return '<0.001';
  return (bytes / MIB).toFixed(bytes < MIB / 10 ? 3 : 1);
}

/** Tables that share no key, side by side. */
function bar(tables: readonly MappedTable[], width: number): string {
  const columns = new Array<string>(width).fill(' ');
  for (const { from, to } of tables) {
    const start = Math.min(Math.round(from * width), width - 1);
    const end = Math.max(Math.round(to * width), start + 1);
    if (end - start === 1) columns[start] = '#';
    else {
      columns.fill('=', start + 1, end - 1);
      columns[start] = columns[start] === ' ' ? '[' : '#';
      columns[end - 1] = ']';
    }
  }
  return columns.join('').trimEnd();
}

/** Where there is any table. */
function cover(tables: readonly MappedTable[], width: number): string {
  const columns = new Array<string>(width).fill(' ');
  for (const { from, to } of tables) columns.fill('=', Math.floor(from * width), Math.ceil(to * width));
  return columns.join('').trimEnd();
}
