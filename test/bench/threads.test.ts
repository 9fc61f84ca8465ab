/**
 * The benchmark of threads: who takes part, how readers start and are counted, and the table that comes of it.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Dataset } from '../../bench/data/dataset.ts';
import type { Outcome } from '../../bench/measure/measurement.ts';
import { Meter } from '../../bench/measure/meter.ts';
import { summarize, type WorkloadSummary } from '../../bench/report/statistics.ts';
import { toText, verdictTable } from '../../bench/report/tables.ts';
import { judge } from '../../bench/report/targets.ts';
import { threadsTable } from '../../bench/report/threads-table.ts';
import { openBenchStore } from '../../bench/stores/open-store.ts';
import { isAble, STORE_NAMES } from '../../bench/stores/store.ts';
import { ReaderTally } from '../../bench/threads/reader-tally.ts';
import type { Reading } from '../../bench/threads/reader-task.ts';
import { Readers } from '../../bench/threads/readers.ts';
import { StartLine } from '../../bench/threads/start-line.ts';
import { CATALOG, chooseWorkloads } from '../../bench/workloads/catalog.ts';
import { DEFAULT_SHAPE, type Workload } from '../../bench/workloads/workload.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const MIB = 1024 * 1024;
const RECORDS = 2000;

function workloadNamed(name: string): Workload {
  return CATALOG.find((each) => each.name === name)!;
}

describe('the group threads', () => {
  test('is measured when it is named, and by no quick run that names nothing', () => {
    assert.equal(chooseWorkloads([], true).filter(({ group }) => group === 'threads').length, 0);
    assert.equal(chooseWorkloads(['threads'], true).length, 12);
  });

  test('leaves out the stores that have nothing for it', () => {
    const able = (name: string): string[] =>
      STORE_NAMES.filter((store) => isAble(store, workloadNamed(name)));
    assert.deepEqual(able('threads-get-2'), ['stratakv', 'classic-level', 'lmdb', 'lmdb-nosync']);
    assert.deepEqual(able('threads-scan-0'), ['stratakv', 'classic-level', 'lmdb', 'lmdb-nosync']);
    assert.deepEqual(able('ingest-1'), ['stratakv']);
    assert.deepEqual(able('ingest-2'), ['stratakv', 'classic-level', 'lmdb', 'rocksdb', 'lmdb-nosync']);
    assert.ok(!able('readrandom-sync').includes('rocksdb') && able('readrandom').includes('db_bench'));
  });
});

test('StartLine and ReaderTally: counts are seen at every lap, and a lap says when it is over', () => {
  const line = StartLine.make(2);
  const [first, second] = [0, 1].map((reader) => new ReaderTally(new StartLine(line.shared), reader));
  line.go();
  first!.operations = 5;
  assert.deepEqual(line.counts(), [0, 0]);
  assert.equal(first!.lap(), false);
  second!.operations = 7;
  assert.equal(second!.lap(), false);
  assert.deepEqual(line.counts(), [5, 7]);
  line.end();
  assert.equal(first!.lap(), true);
});

/** Has `use` measure two readers of a store of RECORDS records, which are told that it has `claimed`. */
async function withReaders(
  t: TestContext,
  reading: Reading,
  claimed: number,
  use: (readers: Readers) => Promise<void>,
): Promise<void> {
  const directory = temporaryDirectory(t);
  const options = { directory, writeBufferBytes: MIB, cacheBytes: MIB, isThreaded: true };
  const store = await openBenchStore('stratakv', options);
  try {
    const data = new Dataset(RECORDS, DEFAULT_SHAPE);
    const records = Array.from({ length: RECORDS }, (_, record) => record);
    await store.write(
      records.map((record) => data.key(record)),
      records.map((record) => data.value(record)),
    );
    const readers = await Readers.start(2, (reader) => ({
      reader,
      reading,
      store: 'stratakv',
      options,
      port: store.share?.(),
      records: claimed,
      shape: DEFAULT_SHAPE,
      seed: reader,
    }));
    await use(readers);
  } finally {
    await store.close();
  }
}

describe('Readers', () => {
  for (const reading of ['get', 'scan'] as const) {
    test(`${reading}: read in threads of their own, and are gone afterwards`, async (t) => {
      const meter = new Meter(1);
      await withReaders(t, reading, RECORDS, async (readers) => {
        meter.begin();
        await readers.run(meter, 0.2);
        meter.end();
        await readers.join();
      });
      const { operations, latencyUs, extra } = meter.report(undefined, true);
      assert.ok(operations > 0);
      assert.ok(latencyUs !== null);
      // A timer may fire a little early.
      assert.ok(extra['phaseSeconds']! > 0.15 && extra['allCpuSeconds']! > 0);
    });
  }

  test('a reader that finds something else than was loaded fails the measurement', async (t) => {
    const reading = withReaders(t, 'get', RECORDS * 1000, () => assert.fail('they were ready'));
    await assert.rejects(reading, /record \d+ was not found/);
  });
});

function summaryOf(
  name: string,
  opsPerSecond: number,
  extra: Readonly<Record<string, number>> = {},
): WorkloadSummary {
  const measurement: Outcome['measurement'] = {
    operations: opsPerSecond,
    seconds: 1,
    opsPerSecond,
    latencyUs: null,
    loopDelayMs: null,
    cpuSeconds: 1,
    userBytes: 0,
    writtenBytes: null,
    diskBytes: null,
    peakMemoryBytes: null,
    settledSeconds: name.startsWith('ingest') ? 2 : null,
    isCalm: true,
    series: [],
    extra,
  };
  const outcome = { workload: name, store: 'stratakv', round: 0, measurement, error: undefined };
  return summarize({ name, group: 'threads', operation: 'an operation' }, [outcome]);
}

describe('the report', () => {
  const summaries = [
    summaryOf('threads-get-0', 300_000),
    summaryOf('threads-get-1', 200_000, { phaseSeconds: 1, allCpuSeconds: 1, ownerCpuSeconds: 0.001 }),
    summaryOf('threads-get-2', 380_000, { phaseSeconds: 1, allCpuSeconds: 2, ownerCpuSeconds: 0.002 }),
    summaryOf('threads-get-4', 360_000),
    summaryOf('ingest-2', 1_000_000, { phaseSeconds: 2, allCpuSeconds: 4, ownerCpuSeconds: 1 }),
    summaryOf('ingest-1', 600_000, { phaseSeconds: 3, allCpuSeconds: 4, ownerCpuSeconds: 1 }),
    summaryOf('ingest-batches', 400_000),
  ];

  test('has a row per store and kind: speeds, what two give over one, and the extrapolation', () => {
    const table = threadsTable(summaries, 2)!;
    assert.match(table.head.at(-1)!, /extrapolated/);
    // The serial part is 2 / 1.9 - 1; four threads on two cores say nothing.
    assert.deepEqual(table.rows[0], [
      ...['getSync', 'stratakv', '300,000', '200,000', '380,000', '360,000', '1.90x'],
      ...['5.00', '5.26', '0.2 %', '5.3 %', '8.9x'],
    ]);
    // Speeds until settled; the serial part is the owner's share of all processor time.
    assert.deepEqual(table.rows[1], [
      ...['ingest', 'stratakv', '-', '300,000', '500,000', '-', '1.67x'],
      ...['2.22', '2.00', '50.0 %', '25.0 %', '3.4x'],
    ]);
    assert.equal(table.rows.length, 2);
  });

  test('fits no law to speeds that other processes had a part in', () => {
    const busy = summaryOf('threads-get-2', 250_000, { phaseSeconds: 2, othersCpuSeconds: 0.5 });
    const row = threadsTable([summaryOf('threads-get-1', 200_000), busy], 2)!.rows[0]!;
    assert.deepEqual(row.slice(-2), ['-', 'busy machine']);
  });

  test('has no such table when nothing of it was measured', () => {
    assert.equal(threadsTable([summaryOf('readrandom', 1)], 2), undefined);
    assert.equal(threadsTable([summaryOf('threads-get-1', 1)], 2), undefined);
  });

  test('judges our store against itself', () => {
    const text = toText(verdictTable(judge(summaries)));
    assert.match(text, /getSync, two reading threads +one thread +1\.90x +1\.7x +pass/);
    assert.match(text, /ingest, until settled +our batches +2\.50x +2x +pass/);
    assert.match(text, /scan, two reading threads +one thread +- +1\.7x +not measured/);
  });
});
