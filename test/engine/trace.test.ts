/**
 * The trace of real stores: every event comes up, operations end, nothing is made for nobody, and what listens may be as it
 * likes.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  type EngineOptions,
  type StorageEngine,
  StorageError,
  type TraceRecord,
} from '../../src/main/index.ts';
import { TRACE_OPERATIONS, TRACE_POINTS, Trace } from '../../src/main/store/trace.ts';
import { fill, newPath, openAt, openOn, turn, until } from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';
import { has, of, traced } from '../helpers/traces.ts';

const MAIN: string = pathToFileURL(resolve(import.meta.dirname, '..', '..', 'src', 'main', 'index.js')).href;

/** Writes, flushes, compactions, an ingestion, a table that is read; nothing runs when it resolves. */
async function live(engine: StorageEngine): Promise<void> {
  for (let round = 0; round < 3; round++) await fill(engine, 250, 60, round);
  await engine.flush();
  await engine.get('key-000007');
  await engine.compact();
  await engine.ingest([['b', '2']]);
  await engine.put('left', 'in the log');
}

/** A directory as a process that died left it: what close() has measured is as if it had not. */
function leaveLogs(path: string, count = 20, valueBytes = 1): void {
  const source = `
    const { StorageEngine } = await import(${JSON.stringify(MAIN)});
    const engine = await StorageEngine.open(process.argv[1], { threads: 0 });
    for (let i = 0; i < ${count}; i++) await engine.put('k' + i, 'v'.repeat(${valueBytes}));
    process.kill(process.pid, 'SIGKILL');
  `;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', source, path]);
  assert.equal(signal, 'SIGKILL');
}

function logsOf(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith('.log'));
}

test('every event of the table comes up in the lives of stores', async (t) => {
  const { records, options } = traced();
  const path = newPath(t);
  const engine = await openAt(t, path, options);
  await live(engine);
  await engine.close();

  // A crash: a torn log behind a sound one, and what a job had begun.
  leaveLogs(path);
  appendFileSync(join(path, logsOf(path).at(-1)!), 'torn');
  writeFileSync(join(path, '000900.sst.new'), 'a table that no manifest names');
  await (await openAt(t, path, options)).close();
  has(of(records, 'orphans', 'point').at(-1), {
    files: ['000900.sst.new'],
    failed: 0,
  });
  const torn = of(records, 'log-replayed', 'point').filter(({ tornBytes }) => tornBytes > 0);
  assert.deepEqual(
    torn.map(({ tornBytes, entries, isSealed }) => [tornBytes, entries, isSealed]),
    [[4, 20, false]],
  );

  await giveUpLog(t, options);
  await takeOver(t, options);
  await failInBackground(t, options);

  await until(() => of(records, 'close', 'end').length >= 5);
  const seen = new Set(records.map(({ event }) => event as string));
  // The queue is never full here: test/main/store/trace.test.ts fills it.
  const expected = [...TRACE_POINTS, ...TRACE_OPERATIONS].filter((event) => event !== 'records-dropped');
  assert.deepEqual(
    expected.filter((event) => !seen.has(event)),
    [],
  );
  checkPage(records);
});

/** docs/trace.md names the event, and each field of its records. */
function checkPage(records: readonly TraceRecord[]): void {
  const page = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'trace.md'), 'utf8');
  const named = new Set(Array.from(page.matchAll(/`([\w-]+)`/g), ([, name]) => name!));
  const names = records.flatMap((record) => [record.event, ...Object.keys(record)]);
  const missing = [...names, ...TRACE_POINTS, ...TRACE_OPERATIONS].filter((name) => !named.has(name));
  assert.deepEqual([...new Set(missing)], []);
}

/** The first append to a log is lost, and the next owner begins another: the lost one is outside the chain. */
async function giveUpLog(t: TestContext, options: EngineOptions): Promise<void> {
  const path = newPath(t);
  leaveLogs(path);
  truncateSync(join(path, logsOf(path)[0]!), 5);
  leaveLogs(path);
  await (await openAt(t, path, options)).close();
}

/** An owner whose move to another directory was cut short. */
async function takeOver(t: TestContext, options: EngineOptions): Promise<void> {
  const path = newPath(t);
  await (await openAt(t, path)).close();
  mkdirSync(join(path, 'epoch-000001'));
  await (await openAt(t, path, options)).close();
}

async function failInBackground(t: TestContext, options: EngineOptions): Promise<void> {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, options);
  await engine.put('k', 'v');
  disk.fail('createTable', 'ENOSPC');
  await assert.rejects(engine.flush(), StorageError);
  disk.recover();
  await engine.flush();
  await engine.close();
}

test('each start has one end, in order, and jobs name what they work for', async (t) => {
  const { records, options } = traced();
  const engine = await openAt(t, newPath(t), options);
  await live(engine);
  await engine.close();
  await until(() => of(records, 'close', 'end').length > 0);
  const open = new Set<number>();
  let lastId = 0;
  for (const record of records) {
    if (record.phase === 'point') continue;
    if (record.phase === 'start') {
      assert.equal(record.id, ++lastId, 'ids rise by one');
      open.add(record.id);
    } else
      assert.ok(open.delete(record.id), `${record.event}#${record.id} has ended without a start, or twice`);
  }
  assert.deepEqual([...open], []);
  const kinds = new Map(
    records.flatMap((record) => (record.phase === 'start' ? [[record.id, record.event]] : [])),
  );
  const parents = of(records, 'job', 'start').map(({ kind, parent }) => `${kind} for ${kinds.get(parent!)}`);
  assert.deepEqual([...new Set(parents)].sort(), [
    'compact for compaction',
    'flush for flush',
    'ingest-merge for ingestion',
    'ingest-run for ingestion',
  ]);
});

test('a flush says why: a full memtable, somebody asked, logs of before, the store closes', async (t) => {
  const { records, options } = traced();
  const path = newPath(t);
  const reasons = (): string[] => of(records.splice(0), 'flush', 'start').map(({ reason }) => reason);
  const engine = await openAt(t, path, options);
  await fill(engine, 200, 60);
  await until(() => engine.stats().memtables.count <= 1);
  await turn();
  assert.deepEqual([...new Set(reasons())], ['full']);
  await engine.flush();
  await turn();
  assert.deepEqual(reasons(), ['requested']);
  await engine.close();

  const large = await openAt(t, path, { ...options, writeBufferSize: 8 << 20 });
  await fill(large, 2000, 1000);
  await large.close();
  await turn();
  assert.deepEqual(reasons(), ['closing']);

  leaveLogs(path, 2000, 1000);
  const recovered = await openAt(t, path, { ...options, writeBufferSize: 8 << 20 });
  await until(() => recovered.stats().memtables.count === 0);
  await turn();
  assert.deepEqual(reasons(), ['recovered']);
});

test('a compaction says why it was picked, of what, and into what', async (t) => {
  const { records, options } = traced();
  const engine = await openAt(t, newPath(t), options);
  await live(engine);
  const { jobs } = engine.stats();
  await engine.close();
  await until(() => of(records, 'close', 'end').length > 0);
  const starts = of(records, 'compaction', 'start');
  const ends = of(records, 'compaction', 'end');
  assert.equal(ends.length, jobs.compactions + jobs.moves);
  const due = starts.find(({ reason }) => reason === 'l0-count')!;
  assert.ok(
    due.score >= 1 && due.scores[0] === due.score && due.l0CompactionTrigger === 4,
    JSON.stringify(due),
  );
  const manual = starts.find(({ reason, kind }) => reason === 'manual' && kind === 'merge')!;
  const end = ends.find(({ id }) => id === manual.id)!;
  const inputs = [...manual.inputs, ...manual.overlapping];
  const sum = (tables: readonly { entries: number }[]): number =>
    tables.reduce((total, { entries }) => total + entries, 0);
  assert.equal(end.entriesRead, sum(inputs));
  assert.equal(end.entriesWritten, sum(end.outputs));
  const deleted = of(records, 'file-deleted', 'point').map(({ file }) => file);
  for (const { table } of inputs) assert.ok(deleted.includes(`${String(table).padStart(6, '0')}.sst`));
});

test('nothing is made for nobody: a store without listeners never builds a record', async (t) => {
  const point = t.mock.method(Trace.prototype, 'point');
  const begin = t.mock.method(Trace.prototype, 'begin');
  const path = newPath(t);
  const engine = await openAt(t, path);
  await live(engine);
  await engine.close();
  await (await openAt(t, path)).close();
  assert.deepEqual([point.mock.callCount(), begin.mock.callCount()], [0, 0]);

  // Somebody listens to one event: that one alone is made.
  const heard: unknown[] = [];
  const note = (message: unknown): void => void heard.push(message);
  subscribe('stratakv:trace:log-created', note);
  t.after(() => unsubscribe('stratakv:trace:log-created', note));
  const again = await openAt(t, path);
  await live(again);
  await again.close();
  await turn();
  assert.ok(heard.length > 0);
  assert.equal(begin.mock.callCount(), 0);
  assert.deepEqual([...new Set(point.mock.calls.map(({ arguments: [name] }) => name))], ['log-created']);
});

test('an open that fails is traced, and a logger that is none is refused before anything is done', async (t) => {
  const { records, options } = traced();
  const path = newPath(t);
  await assert.rejects(openAt(t, path, { ...options, createIfMissing: false }), {
    code: 'STRATA_NO_DATABASE',
  });
  await until(() => of(records, 'open', 'error').length > 0);
  has(records.at(-1), {
    store: path,
    code: 'STRATA_NO_DATABASE',
    severity: 'warn',
  });
  await assert.rejects(openAt(t, path, { logger: {} as never }), { code: 'STRATA_INVALID_ARGUMENT' });
});

test('a logger may write to the store at each record, and read from it', async (t) => {
  let engine: StorageEngine | undefined;
  const writes: Promise<unknown>[] = [];
  const options: EngineOptions = {
    logger: ({ event, phase }) => {
      if (engine === undefined || writes.length >= 500) return;
      writes.push(engine.put(`told-${writes.length}`, `${event} ${phase}`.padEnd(300)), engine.get('told-0'));
    },
  };
  engine = await openAt(t, newPath(t), options);
  await live(engine);
  await until(() => writes.length >= 500);
  await Promise.all(writes);
  assert.ok(await engine.has('told-498'));
  await engine.close();
});

test('a logger that always throws: each is an uncaught exception, and the store lives its life', async (t) => {
  const uncaught: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  let calls = 0;
  const path = newPath(t);
  const engine = await openAt(t, path, {
    logger: () => {
      calls++;
      throw new Error('no log today');
    },
  });
  await live(engine);
  await engine.close();
  await until(() => uncaught.length >= calls);
  assert.ok(calls > 20);
  assert.ok(uncaught.every((error) => (error as Error).message === 'no log today'));
  const again = await openAt(t, path);
  assert.equal((await again.get('left'))?.toString(), 'in the log');
});

/** Runs a small life in a process of its own; returns what it says on stderr. */
function traceOf(t: TestContext, setting: string | undefined): string {
  const { STRATAKV_TRACE: _, ...env } = process.env;
  const source = `
    const { StorageEngine } = await import(${JSON.stringify(MAIN)});
    const engine = await StorageEngine.open(process.argv[1], { threads: 1 });
    await engine.put('secret-key', 'secret-value');
    await engine.flush();
    await engine.close();
    process.stdout.write('done');
  `;
  const path = newPath(t);
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', source, path],
    { encoding: 'utf8', env: setting === undefined ? env : { ...env, STRATAKV_TRACE: setting } },
  );
  assert.deepEqual([status, stdout], [0, 'done']);
  rmSync(path, { recursive: true });
  return stderr;
}

test('STRATAKV_TRACE=1 has lines of text on stderr, =json lines of JSON, unset nothing; neither has keys or values', (t) => {
  assert.equal(traceOf(t, undefined), '');
  const text = traceOf(t, '1');
  const lines = text.trimEnd().split('\n');
  for (const line of lines)
    assert.match(
      line,
      /^\d{4}-\d\d-\d\dT[\d:.]+Z (?:debug|info|warn|error) \S+ [a-z-]+(?:#\d+ (?:start|end))?(?: \S+=|$)/,
    );
  assert.match(lines[0]!, / open#1 start readOnly=false sync=false threads=1 /);
  assert.match(lines.at(-1)!, / close#\d+ end elapsedMs=[\d.]+ hasGivenUp=false$/);
  assert.match(text, / flush#(\d+) start reason=requested .*\n[\s\S]* flush#\1 end elapsedMs=/);
  const json = traceOf(t, 'json');
  const records = json
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as TraceRecord);
  assert.deepEqual(
    of(records, 'flush', 'end').map(({ entriesWritten }) => entriesWritten),
    [1],
  );
  assert.ok(!/secret/.test(text + json));
});

test('a process whose stderr is closed goes on', (t) => {
  const source = `
    const { StorageEngine } = await import(${JSON.stringify(MAIN)});
    process.stderr.destroy();
    const engine = await StorageEngine.open(process.argv[1], { threads: 0 });
    await engine.put('k', 'v');
    await engine.close();
    process.stdout.write('done');
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', source, newPath(t)], {
    encoding: 'utf8',
    env: { ...process.env, STRATAKV_TRACE: '1' },
  });
  assert.deepEqual([status, stdout], [0, 'done']);
});
