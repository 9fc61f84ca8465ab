/**
 * The jobs of an ingestion, without an engine: runs hold what the chunks held, any cut of the merge gives the same tables'
 * content, and damage to a run is noticed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { planRanges } from '../../src/main/ingest/run-ranges.ts';
import { compareKeys } from '../../src/shared/base/bytes.ts';
import { CorruptionError, errorFromWire } from '../../src/shared/base/errors.ts';
import { fileNumber, sequenceNumber } from '../../src/shared/base/ids.ts';
import { runPath } from '../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { IngestChunk } from '../../src/shared/ingest/chunk.ts';
import type { RunMeta } from '../../src/shared/ingest/run.ts';
import type {
  IngestMergeJob,
  IngestMergeResult,
  IngestRunResult,
  Job,
} from '../../src/shared/threads/jobs.ts';
import { OutputNumbers } from '../../src/shared/threads/output-numbers.ts';
import { runJob } from '../../src/workers/run-job.ts';
import { JobStore, TABLE_OPTIONS } from '../helpers/job-store.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

type Pair = readonly [key: Uint8Array, value: Uint8Array];

class Bench {
  readonly store: JobStore;
  #number = 100;

  constructor(t: TestContext) {
    this.store = new JobStore(t);
  }

  run(pairs: readonly Pair[]): RunMeta {
    const chunk = new IngestChunk(
      pairs.reduce((sum, [key, value]) => sum + key.length + value.length + 8, 8),
    );
    for (const [key, value] of pairs) chunk.add(key, key.length, value, value.length);
    const { run } = this.#carryOut({
      ...this.#context(),
      kind: 'ingest-run',
      ...chunk.packed,
      output: fileNumber(this.#number++),
    }) as IngestRunResult;
    return run;
  }

  merge(runs: readonly RunMeta[], parts: number): IngestMergeResult[] {
    return planRanges(runs, parts).map(({ range, slices, sharedLength }) =>
      this.#merge({ runs: slices, range, sharedLength, output: this.#tables() }),
    );
  }

  mergeToRun(runs: readonly RunMeta[]): RunMeta {
    const { range, slices, sharedLength } = planRanges(runs, 1)[0]!;
    const output = { kind: 'run', number: fileNumber(this.#number++) } as const;
    return this.#merge({ runs: slices, range, sharedLength, output }).run!;
  }

  /** What the tables of a merge hold. */
  read(results: readonly IngestMergeResult[]): string[] {
    const tables = results.flatMap(({ outputs }) => outputs);
    for (let i = 1; i < tables.length; i++)
      assert.ok(compareKeys(tables[i - 1]!.largestKey, tables[i]!.smallestKey) < 0, 'tables overlap');
    return tables.flatMap((table) => {
      assert.equal(table.smallestSequence, 77);
      assert.equal(table.largestSequence, 77);
      return this.store.readTable(table).map(({ key, value }) => show([key, value]));
    });
  }

  #tables(): IngestMergeJob['output'] {
    return {
      kind: 'tables',
      grandparents: [],
      sequence: sequenceNumber(77),
      outputs: OutputNumbers.create(60).buffer,
      maxFileSizeBytes: 4096,
      table: TABLE_OPTIONS,
    };
  }

  #merge(rest: Pick<IngestMergeJob, 'runs' | 'range' | 'sharedLength' | 'output'>): IngestMergeResult {
    return this.#carryOut({ ...this.#context(), kind: 'ingest-merge', ...rest }) as IngestMergeResult;
  }

  #carryOut(job: Job): unknown {
    const reply = runJob(job, nodeFileSystem);
    if (!reply.ok) throw errorFromWire(reply.error);
    return reply.value;
  }

  #context(): { directory: string; fileSystem: undefined; control: SharedArrayBuffer; slot: number } {
    return {
      directory: this.store.directory,
      fileSystem: undefined,
      control: this.store.control.buffer as SharedArrayBuffer,
      slot: 0,
    };
  }
}

/** Of much, its length and digest. */
function show([key, value]: Pair): string {
  const text = Buffer.from(value);
  const shown =
    text.length > 64
      ? `${text.length}/${createHash('sha1').update(text).digest('hex')}`
      : text.toString('hex');
  return `${Buffer.from(key).toString('hex')}=${shown}`;
}

function chunksOf(random: Random): Pair[][] {
  const beginning = random.chance(0.5) ? 'a common beginning/' : '';
  return Array.from({ length: random.between(1, 9) }, (_, c) =>
    Array.from({ length: random.between(1, 400) }, (_, i): Pair => {
      const length = random.chance(0.02) ? random.between(1000, 200_000) : random.between(0, 40);
      return [Buffer.from(`${beginning}${random.below(1500)}`), Buffer.from(`${c}/${i}`.padEnd(length, '.'))];
    }),
  );
}

function expectedOf(chunks: readonly (readonly Pair[])[]): string[] {
  const model = new Map(chunks.flat().map((pair) => [Buffer.from(pair[0]).toString('latin1'), pair]));
  return [...model.values()].sort(([a], [b]) => compareKeys(a, b)).map(show);
}

test('whatever the chunks, however the merge is cut: the last of equal keys, each once, none missed', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 12; round++) {
    const bench = new Bench(t);
    const chunks = chunksOf(random);
    const runs = chunks.map((pairs) => bench.run(pairs));
    const expected = expectedOf(chunks);
    for (const parts of [1, 2, 7]) {
      const results = bench.merge(runs, parts);
      assert.deepEqual(bench.read(results), expected, `${parts} parts`);
      const read = results.reduce((sum, { recordsRead }) => sum + recordsRead, 0);
      assert.equal(
        read,
        runs.reduce((sum, { recordCount }) => sum + recordCount, 0),
      );
    }
    const half = runs.length >> 1;
    if (half === 0) continue;
    const fewer = [bench.mergeToRun(runs.slice(0, half)), bench.mergeToRun(runs.slice(half))];
    assert.deepEqual(bench.read(bench.merge(fewer, 3)), expected, 'in two steps');
  }
});

test('sorted chunks become disjoint runs, of which a range needs few', (t) => {
  const bench = new Bench(t);
  const pairs = Array.from(
    { length: 16_000 },
    (_, i): Pair => [Buffer.from(String(i).padStart(6, '0')), Buffer.alloc(100)],
  );
  const runs = Array.from({ length: 8 }, (_, c) => bench.run(pairs.slice(c * 2000, c * 2000 + 2000)));
  const ranges = planRanges(runs, 8);
  assert.ok(ranges.length > 4, `${ranges.length} ranges`);
  for (const { slices } of ranges) assert.ok(slices.length <= 3, `${slices.length} slices`);
  assert.deepEqual(bench.read(bench.merge(runs, 8)), pairs.map(show));
});

test('every damaged byte of a run is an error that names the file', (t) => {
  const bench = new Bench(t);
  const run = bench.run([
    [Buffer.from('key'), Buffer.from('value')],
    [Buffer.from('other'), Buffer.from('value')],
  ]);
  const path = runPath(bench.store.directory, run.number);
  const sound = readFileSync(path);
  for (let i = 0; i < sound.length; i++) {
    const damaged = Buffer.from(sound);
    damaged[i]! ^= 0x11;
    writeFileSync(path, damaged);
    assert.throws(
      () => bench.merge([run], 1),
      (error) => error instanceof CorruptionError && error.file === path,
    );
  }
  for (let length = 0; length < sound.length; length++) {
    writeFileSync(path, sound.subarray(0, length));
    assert.throws(() => bench.merge([run], 1), CorruptionError);
  }
});
