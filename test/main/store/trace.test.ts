/** Trace and its sinks: order, what is told when, bounds, lines. */
import assert from 'node:assert/strict';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { type TestContext, test } from 'node:test';
import { StorageError } from '../../../src/main/index.ts';
import { type EngineEvents, report } from '../../../src/main/store/events.ts';
import { MAX_WAITING_RECORDS, Trace } from '../../../src/main/store/trace.ts';
import type { TraceRecord } from '../../../src/main/store/trace-events.ts';
import { openTrace, toText } from '../../../src/main/store/trace-sinks.ts';
import { turn, until } from '../../helpers/engines.ts';
import { has } from '../../helpers/traces.ts';

const RECOVERY = { logNumber: 3, lastSequence: 9 };

/** What a channel is given, until the test ends. */
function listen(t: TestContext, name: string): unknown[] {
  const heard: unknown[] = [];
  const note = (message: unknown): void => void heard.push(message);
  subscribe(name, note);
  t.after(() => unsubscribe(name, note));
  return heard;
}

test('wants() is false where nobody listens, and true for what somebody does', (t) => {
  const trace = new Trace('/db');
  assert.equal(trace.wants('log-created'), false);
  assert.equal(trace.wants('recovery'), false);
  listen(t, 'stratakv:trace:log-created');
  listen(t, 'tracing:stratakv:trace:recovery:asyncEnd');
  assert.equal(trace.wants('log-created'), true);
  assert.equal(trace.wants('recovery'), true);
  assert.equal(trace.wants('flush'), false);
  assert.equal(new Trace('/db', [() => undefined]).wants('flush'), true);
});

test('an operation is told as a tracing channel has it: one object, with the result or the error at its end', async (t) => {
  const trace = new Trace('/db');
  const steps: [string, object][] = [];
  const note = (step: string) => (message: unknown) => {
    steps.push([step, { ...(message as object) }]);
    messages.add(message);
  };
  const messages = new Set<unknown>();
  const names = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;
  const subscribers = Object.fromEntries(names.map((name) => [name, note(name)])) as Record<
    (typeof names)[number],
    (message: unknown) => void
  >;
  const channel = tracingChannel('stratakv:trace:recovery');
  channel.subscribe(subscribers);
  t.after(() => channel.unsubscribe(subscribers));

  const good = trace.begin('recovery', RECOVERY);
  good.end({ logs: 1, memtables: 1, lastSequence: 12 });
  assert.equal(steps.length, 0, 'nothing is told within the step');
  await turn();
  assert.deepEqual(
    steps.map(([step]) => step),
    ['start', 'end', 'asyncStart', 'asyncEnd'],
  );
  assert.equal(messages.size, 1);
  const [, started] = steps[0]!;
  const [, ended] = steps[3]!;
  assert.ok(!('result' in started), 'the start knows nothing of the end, even when it is told after it');
  has(ended, { event: 'recovery', id: 1, store: '/db', ...RECOVERY });
  has((ended as { result: object }).result, { phase: 'end', id: 1, lastSequence: 12 });

  steps.length = 0;
  const failure = new Error('the disk is gone');
  trace.begin('recovery', RECOVERY).fail(failure);
  await turn();
  assert.deepEqual(
    steps.map(([step]) => step),
    ['start', 'end', 'error', 'asyncStart', 'asyncEnd'],
  );
  assert.equal((steps[2]![1] as { error: unknown }).error, failure);
});

test('records and events are told in the order in which they happened', async () => {
  const told: string[] = [];
  const trace = new Trace('/db', [({ event, phase }) => void told.push(`${event} ${phase}`)]);
  const emitter = new EventEmitter<EngineEvents>();
  emitter.on('stall', () => told.push('the event stall'));
  const span = trace.begin('recovery', RECOVERY);
  report(emitter, 'stall', { state: 'slow' });
  trace.point('log-created', { log: 7 });
  span.fail(new Error('no'));
  await turn();
  assert.deepEqual(told, ['recovery start', 'the event stall', 'log-created point', 'recovery error']);
});

test('so many records wait at most; what comes then is dropped, counted, and told in its place', async () => {
  const told: TraceRecord[] = [];
  const trace = new Trace('/db', [(record) => void told.push(record)]);
  for (let log = 0; log < MAX_WAITING_RECORDS + 7; log++) trace.point('log-created', { log });
  await until(() => told.length > MAX_WAITING_RECORDS);
  assert.equal(told.length, MAX_WAITING_RECORDS + 1);
  has(told[MAX_WAITING_RECORDS - 1], { log: MAX_WAITING_RECORDS - 1 });
  has(told.at(-1), { event: 'records-dropped', severity: 'warn', count: 7 });
  trace.point('log-created', { log: 5000 });
  await turn();
  has(told.at(-1), { log: 5000 });
});

test('a sink that makes a record of each record does not keep the event loop from turning', async () => {
  let told = 0;
  let isOver = false;
  const trace: Trace = new Trace('/db', [
    () => {
      told++;
      if (!isOver) trace.point('log-created', { log: told });
    },
  ]);
  trace.point('log-created', { log: 0 });
  for (let i = 0; i < 5; i++) await turn();
  isOver = true;
  assert.ok(told > 64, `${told}`);
});

test('toText() is one line, whatever a path or a message holds', () => {
  const stamp = { time: 0, severity: 'info', id: 4 } as const;
  const store = '/a b\n\u009b2J';
  const message = 'two\nlines\u2028and "more"';
  assert.equal(
    toText({ ...stamp, store, event: 'flush', phase: 'error', elapsedMs: 1.239, code: 'STRATA_IO', message }),
    '1970-01-01T00:00:00.000Z info "/a b\\n\\u009b2J" flush#4 error elapsedMs=1.24 code=STRATA_IO ' +
      'message="two\\nlines\\u2028and \\"more\\""',
  );
  const table = { table: 9, bytes: 4096, entries: 1, tombstones: 0 };
  const levels = Array.from({ length: 20 }, (_, i) => i);
  const end = { phase: 'end', elapsedMs: 2, entriesWritten: 1, bytesWritten: 4096, jobMs: 1 } as const;
  assert.equal(
    toText({ ...stamp, store: '/db', event: 'flush', ...end, table }),
    '1970-01-01T00:00:00.000Z info /db flush#4 end elapsedMs=2 entriesWritten=1 bytesWritten=4096 jobMs=1 table=9:4096B',
  );
  const line = toText({
    time: 0,
    severity: 'info',
    store: '/db',
    event: 'manifest',
    phase: 'point',
    ...{ isNew: false, levels, bytes: 1, pages: 0, logNumber: 1, lastSequence: 1, ownerEpoch: 1 },
  });
  assert.match(line, / manifest isNew=false levels=\[0 1 2 .* 15 \+4\] bytes=1 /);
});

test('option logger: the method of the severity is looked up at each line, on the logger', async () => {
  const lines: string[] = [];
  const logger = {
    name: 'mine',
    debug(line: string): void {
      lines.push(`${this.name} debug ${line}`);
    },
    info: (line: string) => lines.push(line),
    warn: (line: string) => lines.push(line),
    error: (line: string) => lines.push(line),
  };
  const trace = openTrace('/db', logger, undefined);
  trace.point('log-created', { log: 1 });
  await turn();
  // As a pino does when its level is set.
  logger.debug = () => undefined;
  trace.point('log-created', { log: 2 });
  await turn();
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^mine debug .* \/db log-created log=1$/);
});

test('option logger refuses what is none', () => {
  const { debug, info, warn } = console;
  for (const wrong of [true, 7, 'console', {}, { debug, info, warn }])
    assert.throws(
      () => openTrace('/db', wrong as never, undefined),
      (error) => error instanceof StorageError && error.code === 'STRATA_INVALID_ARGUMENT',
      JSON.stringify(wrong),
    );
});

test('STRATAKV_TRACE: empty and 0 are off', () => {
  for (const off of [undefined, '', '0'])
    assert.equal(openTrace('/db', undefined, off).wants('flush'), false);
  for (const on of ['1', 'json', 'yes']) assert.equal(openTrace('/db', undefined, on).wants('flush'), true);
});
