/**
 * The readers behind dump-table, dump-log and dump-manifest, over damaged bytes: every flip and every length of a small file, and
 * mutants and noise. What is not hit is shown, what is hit is a fault, and nothing throws, hangs or takes memory.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileWindow } from '../../src/main/inspect/file-window.ts';
import { WrongFile } from '../../src/main/inspect/inspected-file.ts';
import { type LogFact, logFacts } from '../../src/main/inspect/log-facts.ts';
import { LogSearch } from '../../src/main/inspect/log-search.ts';
import { readLines } from '../../src/main/inspect/manifest-lines.ts';
import { type TableFact, tableFacts } from '../../src/main/inspect/table-facts.ts';
import { encodeManifest } from '../../src/main/manifest/manifest.ts';
import { emptyState } from '../../src/main/manifest/manifest-state.ts';
import { readLog } from '../../src/main/open/log-reader.ts';
import { StorageError } from '../../src/shared/base/errors.ts';
import { RECORD_HEADER_BYTES, RecordType, sealRecord } from '../../src/shared/log/log-format.ts';
import { fuzz, mutate } from '../helpers/fuzz.ts';
import { buildLog, type LogGroup } from '../helpers/log-files.ts';
import { MemoryFile } from '../helpers/memory-file.ts';
import type { Random } from '../helpers/rng.ts';
import { buildTable, put, type Row, sourceOf, tombstone } from '../helpers/tables.ts';

const NUMBER = 7;
const ROWS: readonly Row[] = Array.from({ length: 30 }, (_, i) =>
  i % 7 === 3 ? tombstone(`key${100 + i}`, 50 + i) : put(`key${100 + i}`, 50 + i, `v${i * i}`),
);
const TABLE: Uint8Array = buildTable(ROWS, { blockSizeBytes: 64 }).bytes;
const GROUPS: readonly LogGroup[] = [
  { entries: [['a', 'one']] },
  {
    entries: [
      ['b', 'two'],
      ['c', undefined],
    ],
  },
  { timeMs: 1234 },
  { entries: [['d', 'x'.repeat(40)]], syncedUpTo: 60 },
  { entries: [['e', 'end']] },
];
const LOG = buildLog({ number: NUMBER, firstSequence: 5, groups: GROUPS });

interface ReadTable {
  readonly blocks: readonly Extract<TableFact, { kind: 'block' }>[];
  /** `key sequence`; the sequence is counted from the first. */
  readonly entries: readonly string[];
  readonly faults: readonly StorageError[];
}

function readTable(bytes: Uint8Array, nameNumber: number | undefined = NUMBER): ReadTable {
  const blocks: Extract<TableFact, { kind: 'block' }>[] = [];
  const entries: string[] = [];
  const faults: StorageError[] = [];
  for (const fact of tableFacts(sourceOf(bytes), nameNumber, () => true)) {
    if (fact.kind === 'block') blocks.push(fact);
    else if (fact.kind === 'fault') faults.push(fact.error);
    else if (fact.kind === 'entry') {
      const sequence = fact.isSequenceRelative ? fact.sequence : fact.sequence - 50;
      entries.push(`${Buffer.from(fact.key).toString('latin1')} ${sequence}`);
    }
  }
  return { blocks, entries, faults };
}

interface ReadLog {
  readonly records: readonly number[];
  readonly entries: readonly string[];
  readonly faults: readonly StorageError[];
  readonly summary: Extract<LogFact, { kind: 'summary' }>;
}

function readDump(bytes: Uint8Array): ReadLog {
  const records: number[] = [];
  const entries: string[] = [];
  const faults: StorageError[] = [];
  let summary: ReadLog['summary'] | undefined;
  for (const fact of logFacts(new MemoryFile('000007.log', bytes), NUMBER, undefined, () => true)) {
    if (fact.kind === 'record') records.push(fact.offset);
    else if (fact.kind === 'entry')
      entries.push(`${fact.sequence} ${fact.key().length + fact.value().length}`);
    else if (fact.kind === 'fault') faults.push(fact.error);
    else if (fact.kind === 'summary') summary = fact;
  }
  return { records, entries, faults, summary: summary! };
}

const SOUND_TABLE = readTable(TABLE);
const SOUND_LOG = readDump(LOG.bytes);

/** All faults are of the disk or of another release, with a file. */
function checkFaults(faults: readonly StorageError[]): void {
  for (const fault of faults) {
    assert.ok(fault instanceof StorageError && fault.file !== undefined, String(fault));
    assert.match(fault.code, /^STRATA_(?:CORRUPTION|UNSUPPORTED)$/);
  }
}

test('a table: any flipped bit is a fault, and only entries of the block that it hits are lost', () => {
  assert.ok(SOUND_TABLE.blocks.length > 4 && SOUND_TABLE.faults.length === 0);
  assert.equal(SOUND_TABLE.entries.length, ROWS.length);
  for (let at = 0; at < TABLE.length; at++) {
    const mutant = TABLE.slice();
    mutant[at]! ^= 1 << (at % 8);
    const { blocks, entries, faults } = readTable(mutant);
    checkFaults(faults);
    assert.ok(faults.length > 0 && faults.every(({ offset }) => offset !== undefined), `byte ${at}`);
    const hit = SOUND_TABLE.blocks.find(
      ({ offset, storedBytes }) => at >= offset && at < offset + storedBytes,
    );
    assert.equal(entries.length, ROWS.length - (hit?.entries ?? 0), `byte ${at}: ${faults[0]}`);
    assert.ok(
      entries.every((entry) => SOUND_TABLE.entries.includes(entry)),
      `byte ${at}`,
    );
    if (hit !== undefined) assert.equal(faults[0]!.offset, hit.offset);
    assert.equal(blocks.filter(({ isSound }) => !isSound).length, hit === undefined ? 0 : 1, `byte ${at}`);
  }
});

test('a table cut anywhere: the blocks before the cut are shown, and the cut is a fault', () => {
  for (let length = 0; length < TABLE.length; length++) {
    const { entries, faults } = readTable(TABLE.subarray(0, length));
    checkFaults(faults);
    assert.ok(faults.length > 0);
    const whole = SOUND_TABLE.blocks.filter(({ offset, storedBytes }) => offset + storedBytes <= length);
    const count = whole.reduce((sum, block) => sum + block.entries, 0);
    assert.equal(entries.length, count, `length ${length}`);
  }
});

test('a log: any flipped bit is a fault or a torn tail, and only the record that it hits is lost', () => {
  assert.deepEqual(SOUND_LOG.records, LOG.offsets.slice(0, -1));
  assert.equal(SOUND_LOG.faults.length, 0);
  const last = LOG.offsets.at(-2)!;
  for (let at = 0; at < LOG.bytes.length; at++) {
    const mutant = LOG.bytes.slice();
    mutant[at]! ^= 1 << (at % 8);
    const { records, faults, summary } = readDump(mutant);
    checkFaults(faults);
    assert.equal(faults.length, at < last ? 1 : 0, `byte ${at}: ${faults}`);
    assert.equal(summary.end, at < last ? 'damage' : 'torn tail');
    const hit = LOG.offsets.findLast((offset) => offset <= at)!;
    assert.deepEqual(
      records,
      SOUND_LOG.records.filter((offset) => offset !== hit),
      `byte ${at}`,
    );
    assert.equal(summary.validBytes, hit);
  }
});

test('a log cut anywhere: the records before the cut are shown, and count', () => {
  for (let length = 0; length < LOG.bytes.length; length++) {
    const { records, summary } = readDump(LOG.bytes.subarray(0, length));
    const whole = LOG.offsets.slice(0, -1).filter((_, i) => LOG.offsets[i + 1]! <= length);
    assert.deepEqual(records, whole, `length ${length}`);
    assert.equal(
      summary.validBytes,
      LOG.offsets.findLast((offset) => offset <= length),
    );
  }
});

test('dump-log and recovery agree about what counts', (t) => {
  fuzz(t, (random) => {
    const bytes = mutate(LOG.bytes, random);
    const dumped = readDump(bytes);
    checkFaults(dumped.faults);
    try {
      const { validBytes, entryCount, start } = readLog(bytes, '000007.log', NUMBER);
      if (start === undefined) return false;
      assert.deepEqual(dumped.faults, []);
      assert.deepEqual([dumped.summary.validBytes, dumped.summary.validEntries], [validBytes, entryCount]);
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      assert.ok(dumped.faults.length > 0, `recovery says: ${error.message}`);
      return false;
    }
  });
});

test('tables with any damage are read to their end', (t) => {
  fuzz(t, (random) => {
    const bytes = random.chance(0.2) ? random.bytes(random.below(400)) : mutate(TABLE, random);
    const { faults, entries } = readTable(bytes);
    checkFaults(faults);
    assert.ok(entries.every((entry) => SOUND_TABLE.entries.includes(entry)));
    try {
      readTable(bytes, undefined);
    } catch (error) {
      assert.ok(error instanceof WrongFile, String(error));
    }
    return faults.length === 0;
  });
});

test('manifests with any damage are read to their end', (t) => {
  const sound = encodeManifest({ ...emptyState('01234567-89ab-4def-8123-456789abcdef'), lastSequence: 9 });
  fuzz(t, (random) => {
    const bytes = random.chance(0.1) ? noise(random) : mutate(sound, random);
    const { faults } = readLines(bytes, 'manifest.json');
    checkFaults(faults);
    assert.ok(faults.length <= 21);
    return faults.length === 0;
  });
});

test('the search behind damage finds a record wherever it lies in its parts', () => {
  const window = new FileWindow(new MemoryFile('000007.log', LOG.bytes, 7));
  for (let partBytes = 150; partBytes < 250; partBytes += 3) {
    const search = new LogSearch(window, LOG.bytes.length, NUMBER, partBytes);
    const found: number[] = [];
    for (let at = 0; ; ) {
      const record = search.next(at);
      if (record === undefined) break;
      found.push(record.at);
      at = record.at + 1;
    }
    assert.deepEqual(found, SOUND_LOG.records, `parts of ${partBytes}`);
  }
});

test('the search is not misled by a record inside of one that a part cuts off', () => {
  const image = LOG.bytes.subarray(0, LOG.offsets[1]!);
  const payloadLength = 40 + image.length;
  const outer = new Uint8Array(RECORD_HEADER_BYTES + payloadLength);
  outer.set(image, RECORD_HEADER_BYTES + 20);
  const header = {
    type: RecordType.Group,
    logNumber: NUMBER,
    firstSequence: LOG.nextSequence,
    syncedUpTo: 0,
  };
  sealRecord(outer, 0, { ...header, payloadLength });
  const bytes = new Uint8Array(Buffer.concat([Buffer.alloc(200), outer]));
  const window = new FileWindow(new MemoryFile('000007.log', bytes));
  for (let partBytes = 2 * outer.length; partBytes < bytes.length; partBytes++) {
    const search = new LogSearch(window, bytes.length, NUMBER, partBytes);
    const found: number[] = [];
    for (let at = 0, record = search.next(at); record !== undefined; record = search.next(at)) {
      found.push(record.at);
      at = record.at + RECORD_HEADER_BYTES + record.header.payloadLength;
    }
    assert.deepEqual(found, [200], `parts of ${partBytes}`);
  }
});

function noise(random: Random): Uint8Array {
  return random.bytes(random.below(2000));
}
