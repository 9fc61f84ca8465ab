/**
 * CompactionIterator: scenarios as text (testdata/compaction-iterator.txt), and random merges against a model that
 * knows nothing of stripes: what a reader at any snapshot sees of inputs and deeper tables is the same before and after.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU64 } from '../../src/shared/base/bytes.ts';
import { EntryKind } from '../../src/shared/base/entry.ts';
import type { SequenceNumber } from '../../src/shared/base/ids.ts';
import type { KeyRange } from '../../src/shared/base/iterator.ts';
import { MergingIterator } from '../../src/shared/merge/merging-iterator.ts';
import type { KeyBounds } from '../../src/shared/threads/jobs.ts';
import { CompactionIterator, type CompactionIteratorOptions } from '../../src/workers/compaction-iterator.ts';
import { DeeperLevels } from '../../src/workers/deeper-levels.ts';
import {
  type ArrayEntry,
  ArrayIterator,
  bytesOf,
  compareEntries,
  copyEntry,
  del,
  expiring,
  put,
  showEntry,
} from '../helpers/array-iterator.ts';
import { runScenarios, type Scenario } from '../helpers/datadriven.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

type Times = Pick<CompactionIteratorOptions, 'snapshotTimes' | 'nowMs'>;
type Options = Omit<CompactionIteratorOptions, 'deeper' | keyof Times> &
  Partial<Times> & { deeper: KeyBounds[][] | 'unknown' };

/** The survivors; checks what must hold for any merge. */
function compactRuns(runs: readonly ArrayEntry[][], options: Options): ArrayEntry[] {
  const input = new MergingIterator(runs.map((run) => new ArrayIterator(run)));
  const iterator = new CompactionIterator(input, {
    snapshotTimes: options.snapshots.map(() => 0),
    nowMs: 0,
    ...options,
    deeper: new DeeperLevels(options.deeper),
  });
  const survivors: ArrayEntry[] = [];
  while (iterator.next()) {
    const entry = copyEntry(iterator.entry);
    const before = survivors.at(-1);
    const isFirstOfKey = before === undefined || keyText(before) !== keyText(entry);
    assert.equal(iterator.startsKey, isFirstOfKey);
    if (before !== undefined) assert.ok(compareEntries(before, entry) < 0, 'survivors rise strictly');
    survivors.push(entry);
  }
  assert.equal(iterator.next(), false, 'the end stays the end');
  return survivors;
}

const keyText = (entry: ArrayEntry): string => new TextDecoder().decode(entry.key);
const snapshotsOf = (numbers: readonly number[]): SequenceNumber[] => numbers as SequenceNumber[];

function parseEntry(text: string): ArrayEntry {
  const [, key = '', number = '', end = ''] = /^(.*)@(\d+)(-|!\d+)?$/.exec(text) ?? assert.fail(text);
  const sequence = Number(number);
  if (end.startsWith('!')) return expiring(key, sequence, Number(end.slice(1)));
  return end === '' ? put(key, sequence) : del(key, sequence);
}

function parseRange(text: string | undefined): KeyRange {
  const [start = '', end = ''] = text?.split('..') ?? [];
  return {
    start: start === '' ? undefined : bytesOf(start),
    end: end === '' ? undefined : bytesOf(end),
  };
}

function runScenario({ args, input }: Scenario): string {
  const runs = input.map((line) => line.split(' ').map(parseEntry));
  const bounds = (text: string): KeyBounds => {
    const [smallest = '', largest = ''] = text.split('-');
    return { smallest: bytesOf(smallest), largest: bytesOf(largest) };
  };
  const numbers = (name: string): number[] => (args.get(name)?.split(',') ?? []).map(Number);
  const snapshots = snapshotsOf(numbers('snapshots'));
  const survivors = compactRuns(runs, {
    snapshots,
    snapshotTimes: args.has('times') ? numbers('times') : snapshots.map(() => 0),
    nowMs: numbers('now')[0] ?? 0,
    deeper: (args.get('deeper')?.split('/') ?? []).map((level) => level.split(',').map(bounds)),
    range: parseRange(args.get('range')),
  });
  return survivors.map(showEntry).join(' ');
}

runScenarios('compaction-iterator.txt', runScenario);

test('CompactionIterator keeps every delete when it can not know what lies deeper', () => {
  const survivors = compactRuns([[del('a', 9), put('a', 5), put('b', 3)]], {
    snapshots: [],
    deeper: 'unknown',
  });
  assert.deepEqual(survivors.map(showEntry), ['a@9-', 'b@3']);
});

test('CompactionIterator refuses an entry of a kind it does not know', () => {
  const strange = { ...put('a', 1), kind: 7 as EntryKind };
  assert.throws(() => compactRuns([[strange]], { snapshots: [], deeper: [] }), {
    code: 'STRATA_UNSUPPORTED',
  });
});

test('CompactionIterator calls onPulse every few blocks of input, also while it drops everything', () => {
  const deletes = Array.from({ length: 10_000 }, (_, i) => del(`key${String(i).padStart(6, '0')}`, i + 1));
  const pulses: number[] = [];
  const onPulse = (entriesRead: number): void => void pulses.push(entriesRead);
  assert.deepEqual(compactRuns([deletes], { snapshots: [], deeper: [], onPulse }), []);
  assert.ok(pulses.length > 10, `${pulses.length} pulses`);
  const stop = (): never => {
    throw new Error('told to stop');
  };
  assert.throws(() => compactRuns([deletes], { snapshots: [], deeper: [], onPulse: stop }), /told to stop/);
});

test('CompactionIterator changes nothing that any reader sees, and keeps no more than that takes', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 2000; round++)
    checkAgainstModel(randomCase(random), `seed ${seed} round ${round}`);
});

interface Case {
  readonly runs: ArrayEntry[][];
  readonly snapshots: number[];
  /** By which each snapshot, and at last everybody else, reads: rising. */
  readonly times: number[];
  readonly deeperEntries: ArrayEntry[];
  readonly deeper: KeyBounds[][];
}

function randomCase(random: Random): Case {
  const keys = Array.from({ length: random.between(1, 6) }, (_, i) => String.fromCharCode(97 + i));
  const last = random.between(1, 40);
  const expiryShare = random.pick([0, 0.5]);
  /** Below this sequence a key's versions lie in a deeper table. */
  const sunk = new Map(keys.map((key) => [key, random.chance(0.5) ? 0 : random.between(0, last)]));
  const runs: ArrayEntry[][] = Array.from({ length: random.between(1, 4) }, () => []);
  const levels: ArrayEntry[][] = Array.from({ length: random.between(1, 3) }, () => []);
  for (let sequence = 1; sequence <= last; sequence++) {
    const key = random.pick(keys);
    const entry = random.chance(0.4)
      ? del(key, sequence)
      : random.chance(expiryShare)
        ? expiring(key, sequence, random.between(1, 30))
        : put(key, sequence);
    random.pick(sequence <= sunk.get(key)! ? levels : runs).push(entry);
  }
  const sequences = new Set(Array.from({ length: random.below(5) }, () => random.between(0, last)));
  const snapshots = [...sequences].sort((a, b) => a - b);
  const times = Array.from({ length: snapshots.length + 1 }, () => random.between(0, 30));
  return {
    runs,
    snapshots,
    times: times.sort((a, b) => a - b),
    deeperEntries: levels.flat(),
    deeper: levels.map((entries) => boundsOf(entries, random)),
  };
}

/** Cuts a level into tables, whose bounds also cover keys that are not in them. */
function boundsOf(entries: readonly ArrayEntry[], random: Random): KeyBounds[] {
  const tables: KeyBounds[] = [];
  for (const key of [...new Set(entries.map(keyText))].sort()) {
    const before = tables.at(-1);
    if (before !== undefined && random.chance(0.5)) {
      tables[tables.length - 1] = { smallest: before.smallest, largest: bytesOf(key) };
    } else {
      tables.push({ smallest: bytesOf(key), largest: bytesOf(key) });
    }
  }
  return tables;
}

/** The value a reader at `snapshot` gets, by that time; undefined when there is none. */
function read(
  entries: readonly ArrayEntry[],
  key: string,
  snapshot: number,
  time: number,
): string | undefined {
  const newest = entries
    .filter((entry) => keyText(entry) === key && entry.sequence <= snapshot)
    .sort(compareEntries)[0];
  if (newest === undefined || newest.kind === EntryKind.Delete) return undefined;
  if (newest.kind === EntryKind.ExpiringPut && readU64(newest.value, 0) <= time) return undefined;
  return new TextDecoder().decode(newest.value);
}

function checkAgainstModel({ runs, snapshots, times, deeperEntries, deeper }: Case, label: string): void {
  const expiry = { snapshotTimes: times.slice(0, -1), nowMs: times.at(-1)! };
  const survivors = compactRuns(runs, { snapshots: snapshotsOf(snapshots), ...expiry, deeper });
  const before = [...runs.flat(), ...deeperEntries];
  const after = [...survivors, ...deeperEntries];
  const moments = [...snapshots, Number.MAX_SAFE_INTEGER];
  for (const key of new Set(before.map(keyText))) {
    const seen = moments.map((moment, i) => read(before, key, moment, times[i]!));
    assert.deepEqual(
      moments.map((moment, i) => read(after, key, moment, times[i]!)),
      seen,
      `${label}: key ${key}, ${runs.map((run) => run.map(showEntry).join(' ')).join(' | ')} -> ${survivors.map(showEntry).join(' ')}`,
    );
    const versions = survivors.filter((entry) => keyText(entry) === key);
    const isDeeper = deeper.some((tables) =>
      tables.some(({ smallest, largest }) => {
        const [low, high] = [new TextDecoder().decode(smallest), new TextDecoder().decode(largest)];
        return low <= key && key <= high;
      }),
    );
    // Where nothing lies below, an entry is needed for each change of what successive readers see, and for no more.
    const changes = seen.filter((value, i) => value !== seen[i - 1]).length;
    const expires = before.some(({ kind }) => kind === EntryKind.ExpiringPut);
    const message = `${label}: key ${key} keeps just what is needed`;
    // What expires between two readers is a change without an entry.
    if (!isDeeper && expires) assert.ok(versions.length <= changes, message);
    else if (!isDeeper) assert.equal(versions.length, changes, message);
  }
}
