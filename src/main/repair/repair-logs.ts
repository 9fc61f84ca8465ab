/**
 * The logs of a store under repair.
 *
 *   sound      open would replay them without complaint: they stay as they are
 *   otherwise  every intact record counts, before damage and behind it, and goes into tables with its own sequence numbers:
 *              1. which logs count: from the newest back, each start record names its predecessor and its length. What is
 *                 outside this chain, or behind that length, was given up by an earlier recovery. Where a start record is
 *                 lost, the log before it in number follows
 *              2. unbroken runs of records become memtables, and those tables: a record is a group of writes, whole or not
 *                 there, but writes between two runs are lost
 *
 * A deleted range without an end, which no table can hold, ends behind the last key of all tables and logs (LastKey): what is
 * written later is newer.
 *
 * Invariants: reads logs, writes tables. One log in memory at a time, two where such a range is found.
 * Thread:     main; workers write.
 */
import { join } from 'node:path';
import { compareBytes, compareKeys, copyBytes } from '../../shared/base/bytes.ts';
import { Entry } from '../../shared/base/entry.ts';
import { CorruptionError } from '../../shared/base/errors.ts';
import { fileNumber } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { logName } from '../../shared/files/file-names.ts';
import { readFully } from '../../shared/files/file-system.ts';
import { readEntry } from '../../shared/log/entry-codec.ts';
import {
  claimedEnd,
  entryEnd,
  MIN_START_PAYLOAD_BYTES,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
  readStart,
  START_RECORD_BYTES,
} from '../../shared/log/log-format.ts';
import { worstCaseNodeBytes } from '../../shared/memtable/node-room.ts';
import type { DamagedRange } from '../../shared/threads/jobs.ts';
import { EntryWalk } from '../open/entry-walk.ts';
import { MAX_LOG_BYTES } from '../open/log-files.ts';
import { RecordSearch } from '../open/record-search.ts';
import { createMemtable } from '../write/memtable-list.ts';
import type { Workshop } from './workshop.ts';

const NO_BYTES = new Uint8Array(0);

/** Records that lie back to back, bytes[start, end). */
interface RecordRange {
  readonly start: number;
  end: number;
}

/** Groups that follow each other in sequence. An object per stretch without damage: there may be millions of groups. */
interface Run {
  readonly firstSequence: number;
  readonly ranges: RecordRange[];
  count: number;
}

interface SalvagedLog {
  readonly bytes: Uint8Array;
  /** undefined: the start record is lost. */
  readonly start: { readonly previousLog: number; readonly previousBytes: number } | undefined;
  readonly runs: readonly Run[];
  readonly damage: readonly DamagedRange[];
}

export interface LogSalvage {
  /** Level 0 tables of what verifies. */
  readonly tables: readonly TableInfo[];
  /** Names of logs that are damaged or given up. */
  readonly damaged: readonly string[];
}

/** What a start record says of the log before its own; undefined: nothing does. */
type Link = { readonly previousLog: number; readonly previousBytes: number } | undefined;

/**
 * Salvages the logs `numbers`; `lengths` are those that a sound manifest knows, `older` the tables that what they delete may be
 * in.
 */
export async function salvageLogs(
  shop: Workshop,
  numbers: readonly number[],
  lengths: ReadonlyMap<number, number>,
  older: readonly TableInfo[],
): Promise<LogSalvage> {
  const tables: TableInfo[] = [];
  const damaged: string[] = [];
  const files = findLogs(shop, numbers);
  for (const number of numbers) {
    const name = logName(fileNumber(number));
    if ([...files.values()].includes(name)) continue;
    shop.log.note({ name, kind: 'log', outcome: 'dropped' });
    shop.log.warn(`${name}: a copy of another log`);
    damaged.push(name);
  }
  const lastKey = new LastKey(shop, files, older);
  let link: Link;
  for (const [number, name] of [...files].sort(([a], [b]) => b - a)) {
    if (link !== undefined && link.previousLog < number) {
      shop.log.note({ name, kind: 'log', outcome: 'dropped' });
      shop.log.warn(`${name}: given up by an earlier recovery, and not used`);
      damaged.push(name);
      continue;
    }
    if (link !== undefined && link.previousLog > number)
      shop.log.warn(`${logName(fileNumber(link.previousLog))} is missing; older logs are used without it`);
    const length = link?.previousLog === number ? link.previousBytes : lengths.get(number);
    const log = readSalvagedLog(shop, name, number, length);
    for (const run of log.runs) {
      const table = await buildTable(shop, log.bytes, run, lastKey);
      if (table !== undefined) tables.push(table);
    }
    const entries = noteLog(shop, name, log);
    if (log.damage.length > 0) damaged.push(name);
    link = log.start ?? (entries > 0 ? undefined : link);
  }
  return { tables, damaged };
}

/** By number, the names of the files: a log under another log's name is found by the number in its start record. */
function findLogs(shop: Workshop, numbers: readonly number[]): Map<number, string> {
  const files = new Map<number, string>();
  const misnamed: [number, string][] = [];
  for (const number of numbers) {
    const name = logName(fileNumber(number));
    const own = ownNumber(shop, name);
    if (own === undefined || own === number) files.set(number, name);
    else misnamed.push([own, name]);
  }
  for (const [number, name] of misnamed) if (!files.has(number)) files.set(number, name);
  return files;
}

/** What the start record says; undefined when it is lost. */
function ownNumber(shop: Workshop, name: string): number | undefined {
  const file = shop.fs.openRead(join(shop.directory, name));
  try {
    const bytes = new Uint8Array(START_RECORD_BYTES);
    const count = readFully(file, bytes, 0);
    const number = readStart(bytes, RECORD_HEADER_BYTES).logNumber;
    return number > 0 && readRecord(bytes, 0, count, number) !== undefined ? number : undefined;
  } finally {
    file.close();
  }
}

/** Returns how many entries verify. */
function noteLog(shop: Workshop, name: string, log: SalvagedLog): number {
  const entries = log.runs.reduce((sum, run) => sum + run.count, 0);
  const isDamaged = log.damage.length > 0;
  shop.log.note({
    name,
    kind: 'log',
    outcome: isDamaged ? (entries > 0 ? 'salvaged' : 'dropped') : 'merged',
    entries,
    lostEntries: isDamaged ? undefined : 0,
    lostTombstones: isDamaged ? undefined : 0,
    lostRangeDeletes: isDamaged ? undefined : 0,
    damage: log.damage,
  });
  if (isDamaged && entries > 0)
    shop.log.warn(`${name}: what is kept of it may not be a prefix of what was written`);
  return entries;
}

/** `length`: where the log is known to have ended. */
function readSalvagedLog(
  shop: Workshop,
  name: string,
  number: number,
  length: number | undefined,
): SalvagedLog {
  const path = join(shop.directory, name);
  const bytes = readLogFile(shop, path);
  const end = Math.min(length ?? bytes.length, bytes.length);
  const search = new RecordSearch(bytes, 0, end, number);
  const runs: Run[] = [];
  const damage: DamagedRange[] = [];
  let start: SalvagedLog['start'];
  let position = 0;
  for (let found = search.next(0); found !== undefined; found = search.next(position)) {
    const { at, header } = found;
    const payload = at + RECORD_HEADER_BYTES;
    const next = payload + header.payloadLength;
    const reason = 'no intact record stands here';
    if (at > position) damage.push({ offset: position, bytes: at - position, reason });
    if (header.type === RecordType.Start && at === 0 && header.payloadLength >= MIN_START_PAYLOAD_BYTES)
      start = readStart(bytes, payload);
    else if (header.type !== RecordType.Note) {
      const problem = addGroup(runs, bytes, { start: at, end: next }, header.firstSequence, path);
      if (problem !== undefined) damage.push({ offset: at, bytes: next - at, reason: problem });
    }
    position = next;
  }
  if (position < end)
    damage.push({ offset: position, bytes: end - position, reason: 'no intact record follows' });
  if (length !== undefined && bytes.length < length)
    damage.push({ offset: bytes.length, bytes: length - bytes.length, reason: 'the log is cut short' });
  return { bytes, start, runs, damage };
}

function readLogFile(shop: Workshop, path: string): Uint8Array {
  const file = shop.fs.openRead(path);
  try {
    const bytes = new Uint8Array(Math.min(file.size(), MAX_LOG_BYTES));
    return bytes.subarray(0, readFully(file, bytes, 0));
  } finally {
    file.close();
  }
}

/** Appends the record of a group to the last run, or begins one; returns what is wrong with it if something is. */
function addGroup(
  runs: Run[],
  bytes: Uint8Array,
  record: RecordRange,
  firstSequence: number,
  path: string,
): string | undefined {
  const payload = record.start + RECORD_HEADER_BYTES;
  if (record.end === payload) return 'a record is empty';
  let count: number;
  try {
    const walk = new EntryWalk();
    walk.beginAt(bytes, payload);
    count = walk.count(bytes, payload, record.end, path);
  } catch (error) {
    if (error instanceof CorruptionError) return 'a record holds what is no entry';
    throw error;
  }
  const last = runs.at(-1);
  const next = last === undefined ? 0 : last.firstSequence + last.count;
  if (firstSequence < Math.max(next, 1) || !Number.isSafeInteger(firstSequence + count))
    return 'a record is out of order';
  if (last === undefined || next !== firstSequence) {
    runs.push({ firstSequence, ranges: [record], count });
    return undefined;
  }
  const range = last.ranges.at(-1)!;
  if (range.end === record.start) range.end = record.end;
  else last.ranges.push(record);
  last.count += count;
  return undefined;
}

/** The last key that there is, in tables and in all logs. They are read for it once, and only if somebody asks. */
class LastKey {
  readonly #shop: Workshop;
  readonly #files: ReadonlyMap<number, string>;
  readonly #older: readonly TableInfo[];
  #key: Uint8Array | undefined;

  constructor(shop: Workshop, files: ReadonlyMap<number, string>, older: readonly TableInfo[]) {
    this.#shop = shop;
    this.#files = files;
    this.#older = older;
  }

  get(): Uint8Array {
    this.#key ??= this.#find();
    return this.#key;
  }

  #find(): Uint8Array {
    let last: Uint8Array = new Uint8Array(0);
    for (const { largestKey } of this.#older) if (compareKeys(largestKey, last) > 0) last = largestKey;
    const entry = new Entry();
    for (const [number, name] of this.#files) {
      const { bytes, runs } = readSalvagedLog(this.#shop, name, number, undefined);
      forEachRecord(bytes, runs, (from, to) => {
        for (let ref = from; ref < to; ref = entryEnd(ref, entry.valueEnd)) {
          readEntry(bytes, ref, 0, entry);
          const { keyStart, keyEnd } = entry;
          if (compareBytes(bytes, keyStart, keyEnd, last, 0, last.length) > 0)
            last = copyBytes(bytes, keyStart, keyEnd);
        }
      });
    }
    return last;
  }
}

/** Calls `visit` with where the entries of each record begin and end. */
function forEachRecord(
  bytes: Uint8Array,
  runs: readonly Run[],
  visit: (from: number, to: number) => void,
): void {
  for (const { start, end } of runs.flatMap((run) => run.ranges))
    for (let record = start; record < end; record = claimedEnd(bytes, record, end))
      visit(record + RECORD_HEADER_BYTES, claimedEnd(bytes, record, end));
}

async function buildTable(
  shop: Workshop,
  bytes: Uint8Array,
  run: Run,
  lastKey: LastKey,
): Promise<TableInfo | undefined> {
  if (shop.isDryRun) return undefined;
  const dataBytes = run.ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const needed = dataBytes + worstCaseNodeBytes(run.count, 0);
  const memtable = createMemtable(needed, needed, run.firstSequence);
  forEachRecord(bytes, [run], (from, to) => memtable.appendEncoded(bytes, from, to));
  memtable.arena.publish(run.count);
  const isEndless = memtable.ranges?.list(Number.MAX_SAFE_INTEGER).some(({ end }) => end === undefined);
  // All keys of the run are among those, so that all stay.
  const deeper = isEndless === true ? [[{ smallest: NO_BYTES, largest: lastKey.get() }]] : 'unknown';
  const { output } = await shop.run<'flush'>((context) => ({
    ...context,
    kind: 'flush',
    memtable: memtable.arena.buffer,
    output: shop.allocateNumber(),
    table: shop.options.table,
    snapshots: [],
    snapshotTimes: [],
    nowMs: 0,
    deeper,
  }));
  return output;
}
