/**
 * Whatever a thread posts into its ports: the owner goes on, and its log holds only what recovery reads. The other way round:
 * false-owner.test.ts.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { StorageEngine } from '../../src/main/index.ts';
import { EntryKind } from '../../src/shared/base/entry.ts';
import { encodedEntryBytes, encodeEntry, tagOf } from '../../src/shared/log/entry-codec.ts';
import { attachHere } from '../helpers/clients.ts';
import { openTiny, reopen, turn } from '../helpers/engines.ts';
import { mutate } from '../helpers/fuzz.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

const raw = (value: unknown): object => ({ type: 'RAW', value });
const call = (id: unknown, name: unknown, given: unknown): object => ({
  id,
  type: 'APPLY',
  path: [],
  argumentList: [raw(name), raw(given)],
});

/** A port of the store that the test speaks by hand. */
interface Speaker {
  readonly port: MessagePort;
  post(message: unknown, moved?: MessagePort[]): void;
  /** What the owner answers to a call: 'ok' or a code. */
  ask(name: string, given: unknown, moved?: MessagePort[]): Promise<string>;
}

let lastId = 0;

function speak(t: TestContext, engine: StorageEngine): Speaker {
  const port = engine.share();
  receiveMessageOnPort(port);
  const waiting = new Map<string, (answer: string) => void>();
  port.on('message', ({ id, value }: { id: string; value: { error?: { code?: string } } }) => {
    waiting.get(id)?.(value.error === undefined ? 'ok' : String(value.error.code));
  });
  t.after(() => port.close());
  const post = (message: unknown, moved: MessagePort[] = []): void => port.postMessage(message, moved);
  const ask = (name: string, given: unknown, moved?: MessagePort[]): Promise<string> =>
    new Promise((resolve) => {
      const id = `by-hand-${++lastId}`;
      waiting.set(id, resolve);
      post(call(id, name, given), moved);
    });
  return { port, post, ask };
}

function entry(kind: number, key: string, value: string): Uint8Array<ArrayBuffer> {
  const [k, v] = [Buffer.from(key), Buffer.from(value)];
  const bytes = new Uint8Array(encodedEntryBytes(k.length, v.length, kind));
  encodeEntry(bytes, 0, tagOf(kind), k, 0, k.length, v, 0, v.length);
  return bytes;
}

const GOOD = entry(1, 'good', 'x');
const GOOD_MARK = [GOOD.length, 1, 5, 0];
const marksOf = (...words: number[]): Uint32Array => Uint32Array.from(words);

function inShared(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

/** Entries that are none, each with a mark that fits it otherwise. */
const BAD_ENTRIES: Readonly<Record<string, number[]>> = {
  'another kind': [2, 1, 1, 97, 120, 0, 0, 0],
  'a place in some log': [3, 1, 1, 97, 120, 0, 0, 0],
  'a tombstone with a value': [0, 1, 1, 97, 120, 0, 0, 0],
  'no zeros behind it': [1, 1, 1, 97, 120, 0, 0, 1],
  'a key that goes past the end': [1, 100, 1, 97, 120, 0, 0, 0],
  'a value that goes past the end': [1, 1, 100, 97, 120, 0, 0, 0],
  'a length that does not end': [1, 128, 128, 128, 128, 128, 128, 128],
  'a length in more bytes than it needs': [1, 129, 0, 1, 97, 120, 0, 0],
  'a key length in four bytes': [1, 129, 128, 128, 0, 1, 97, 120],
  'a key above the limit': [1, 255, 255, 7, 0, 97, 97, 97],
  'too few bytes': [1, 1, 1, 97],
  'a range that ends before it begins': [0, 129, 128, 8, 1, 97, 0, 0],
  'a range whose end has no known form': [0, 129, 128, 8, 1, 97, 2, 0],
  'a range without an end, and one': [0, 128, 128, 8, 2, 1, 97, 0],
  'a range that says nothing of its end': [0, 130, 128, 8, 0, 97, 98, 0],
};

/** It begins with what is longer than a key may be, so that no table could have it. */
const LONG_RANGE = new Uint8Array(5 + 65_538);
encodeEntry(
  LONG_RANGE,
  0,
  tagOf(EntryKind.RangeDelete),
  LONG_RANGE.slice(),
  0,
  65_537,
  Uint8Array.of(1),
  0,
  1,
);

const RUN = {
  number: 1,
  sizeBytes: 100,
  recordCount: 1,
  largestKey: new Uint8Array([97]),
  samples: { keys: new Uint8Array([97]), ends: Uint32Array.of(1), offsets: Float64Array.of(0) },
};

const READS = { keys: new Uint8Array([97, 98]), ends: Uint32Array.of(1, 2), ranges: [], mayExpire: true };

const BAD_CALLS: readonly (readonly [name: string, given: unknown])[] = [
  ['attach', []],
  ['attach', [5]],
  ['attach', [{}]],
  ['write', []],
  ['write', [undefined]],
  ['write', [{ bytes: 'x', marks: marksOf(1, 1, 1, 0) }]],
  ['write', [{ bytes: GOOD, marks: [...GOOD_MARK] }]],
  ['write', [{ bytes: GOOD, marks: marksOf() }]],
  ['write', [{ bytes: GOOD, marks: marksOf(...GOOD_MARK.slice(1)) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(...GOOD_MARK, ...GOOD_MARK) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(0, 0, 0, 0, ...GOOD_MARK) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(GOOD.length, 2, 5, 0) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(GOOD.length, 0xffffffff, 5, 0) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(GOOD.length, 1, 6, 0) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(GOOD.length, 1, 5, 4) }]],
  ['write', [{ bytes: GOOD, marks: marksOf(0xffffffff, 1, 5, 0) }]],
  ['write', [{ bytes: inShared(GOOD), marks: marksOf(...GOOD_MARK) }]],
  ['write', [{ bytes: new Float64Array(1), marks: marksOf(8, 1, 5, 0) }]],
  ...Object.values(BAD_ENTRIES).map(
    (bytes) => ['write', [{ bytes: Uint8Array.from(bytes), marks: marksOf(bytes.length, 1, 2, 0) }]] as const,
  ),
  // The moment is none of the user's bytes, which the mark counts.
  ...(
    [
      ['1234567', 0],
      ['', 1],
      ['\u07ff'.repeat(4), 1],
    ] as const
  ).map(([value, dataBytes]) => {
    const bytes = entry(EntryKind.ExpiringPut, 'a', value);
    return ['write', [{ bytes, marks: marksOf(bytes.length, 1, dataBytes, 0) }]] as const;
  }),
  ['write', [{ bytes: LONG_RANGE, marks: marksOf(LONG_RANGE.length, 1, 65_538, 0) }]],
  ['transactionBegin', []],
  ['transactionBegin', ['x']],
  ['transactionEnd', ['x']],
  ['transactionCommit', [1, READS]],
  ['transactionCommit', [9, READS, { bytes: GOOD, marks: marksOf(...GOOD_MARK) }]],
  ['transactionCommit', [1, READS, { bytes: GOOD, marks: marksOf(GOOD.length, 2, 5, 0) }]],
  ...[
    { ...READS, keys: 'a' },
    { ...READS, keys: inShared(READS.keys) },
    { ...READS, ends: [1, 2] },
    { ...READS, ends: Uint32Array.of(1) },
    { ...READS, ends: Uint32Array.of(2, 1) },
    { ...READS, ranges: undefined },
    { ...READS, ranges: [5] },
    { ...READS, ranges: [{ start: 'a' }] },
    { ...READS, ranges: [{ end: new Uint8Array(70_000) }] },
    { ...READS, mayExpire: undefined },
    { ...READS, mayExpire: 1 },
  ].map((reads) => ['transactionCommit', [1, reads, { bytes: GOOD, marks: marksOf(...GOOD_MARK) }]] as const),
  ['flush', [1]],
  ['compact', []],
  ['compact', ['x']],
  ['compact', [{ start: 5 }]],
  ['compact', [{ from: 'a' }]],
  ['ingestReserve', []],
  ['ingestReserve', [Number.NaN]],
  ['ingestReserve', [-1]],
  ['ingestReserve', ['x']],
  ['ingestAbort', [{}]],
  ['ingestAbort', [0.5]],
  ['ingestFinish', [1]],
  ['ingestFinish', [1, { runs: 5, recordCount: 1, byteCount: 1 }]],
  ['ingestFinish', [1, { runs: [], recordCount: 5, byteCount: 1 }]],
  ['ingestFinish', [1, { runs: [RUN], recordCount: 0, byteCount: 0 }]],
  ['ingestFinish', [1, { runs: [RUN], recordCount: 1, byteCount: Number.POSITIVE_INFINITY }]],
  ['ingestFinish', [1, { runs: [RUN, RUN], recordCount: 2, byteCount: 2 }]],
  ['ingestFinish', [1, { runs: [RUN], recordCount: 1, byteCount: 1 }, 'no port']],
  ['ingestFinish', [1, { runs: [{ ...RUN, number: -1 }], recordCount: 1, byteCount: 1 }]],
  ['ingestFinish', [1, { runs: [{ ...RUN, samples: {} }], recordCount: 1, byteCount: 1 }]],
  [
    'ingestFinish',
    [
      1,
      {
        runs: [{ ...RUN, samples: { ...RUN.samples, ends: Uint32Array.of(9) } }],
        recordCount: 1,
        byteCount: 1,
      },
    ],
  ],
  ['constructor', []],
  ['__proto__', []],
  ['toString', []],
  ['no such call', []],
];

for (const [i, [name, given]] of BAD_CALLS.entries()) {
  test(`a call with what it does not take is refused before anything happens: ${i} ${name}`, async (t) => {
    const engine = await openTiny(t);
    const { ask } = speak(t, engine);
    assert.equal(await ask(name, given), 'STRATA_INVALID_ARGUMENT');
    assert.equal(await ask('write', [{ bytes: GOOD, marks: marksOf(...GOOD_MARK) }]), 'ok');
    assert.deepEqual([...engine.scan()].map(String), ['good,x']);
    const opened = await reopen(t, engine);
    assert.deepEqual([...opened.scan()].map(String), ['good,x']);
  });
}

/** What is no call. With an id that is a text somebody may wait for an answer. */
const NO_CALLS: readonly unknown[] = [
  null,
  5,
  'x',
  [],
  {},
  new Map([['id', 'x']]),
  new Uint8Array(5),
  { id: 5, type: 'APPLY', path: [], argumentList: [] },
  { id: 'a', type: 'APPLY' },
  { id: 'a', type: 'APPLY', argumentList: 5 },
  { id: 'a', type: 'APPLY', path: 5, argumentList: [] },
  { id: 'a', type: 'APPLY', path: [], argumentList: [null] },
  { id: 'a', type: 'APPLY', path: ['call'], argumentList: [raw('flush'), raw([])] },
  { id: 'a', type: 'APPLY', path: [], argumentList: [raw('flush'), raw(5)] },
  {
    id: 'a',
    type: 'APPLY',
    path: [],
    argumentList: [raw('flush'), { type: 'HANDLER', name: 'throw', value: { value: 5 } }],
  },
  {
    id: 'a',
    type: 'APPLY',
    path: [],
    argumentList: [raw('flush'), { type: 'HANDLER', name: 'proxy', value: 5 }],
  },
  { id: 'a', type: 'GET', path: ['a', 'b', 'c'] },
  { id: 'a', type: 'GET', path: ['constructor', 'constructor'] },
  { id: 'a', type: 'SET', path: ['apply'], value: raw(5) },
  { id: 'a', type: 'SET', path: [], value: 5 },
  { id: 'a', type: 'CONSTRUCT', path: ['constructor'], argumentList: [raw('throw 1')] },
  { id: 'a', type: 'ENDPOINT' },
  { id: 'a', type: 'RELEASE' },
  { id: 'a'.repeat(1000), type: 'RELEASE' },
];

test('a message that is no call is ignored or refused, and the owner and its other clients go on', async (t) => {
  const engine = await openTiny(t);
  const other = await attachHere(t, engine);
  const { port, post, ask } = speak(t, engine);
  const answers: { id: unknown; type: unknown; value: { error?: { code?: unknown } } }[] = [];
  port.on('message', (answer) => answers.push(answer));
  for (const message of NO_CALLS) post(message);
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  post(
    {
      id: 'a',
      type: 'APPLY',
      path: [],
      argumentList: [raw('x'), { type: 'HANDLER', name: 'proxy', value: port2 }],
    },
    [port2],
  );
  assert.equal(await ask('flush', []), 'ok');
  for (const { id, type, value } of answers.slice(0, -1))
    assert.deepEqual([id, type, value.error?.code], ['a', 'RAW', 'STRATA_INVALID_ARGUMENT']);
  await other.put('a', 'b');
  assert.equal(engine.getSync('a')?.toString(), 'b');
});

test('what is no view on the view port is ignored, and attaching twice is refused', async (t) => {
  const engine = await openTiny(t);
  const { ask } = speak(t, engine);
  const [first, second] = [new MessageChannel(), new MessageChannel()];
  assert.equal(await ask('attach', [first.port2], [first.port2]), 'ok');
  assert.equal(await ask('attach', [second.port2], [second.port2]), 'STRATA_INVALID_ARGUMENT');
  for (const message of [null, {}, { valueOf: 5 }, [], 'x', Number.NaN, -1, 1.5, 2 ** 40, 2 ** 31 - 1, 10n])
    first.port1.postMessage(message);
  await turn();
  for (let i = 0; i < 3; i++) {
    await engine.put('a', String(i));
    await engine.flush();
  }
  assert.equal(await ask('flush', []), 'ok');
  first.port1.close();
  second.port1.close();
});

test('mutated calls never end the owner, and the store opens with what was acknowledged', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  let engine = await openTiny(t);
  await engine.put('kept', 'safe');
  const { ask, post } = speak(t, engine);
  for (let round = 0; round < 400; round++) {
    const entries = Array.from({ length: random.between(1, 4) }, (_, i) =>
      entry(random.below(4), `k${i}`, random.pick(['', '\u0001', '\0k3', 'v'.repeat(random.below(300))])),
    );
    const good = Buffer.concat(entries);
    const bytes = random.chance(0.9) ? mutate(good, random) : new Uint8Array(good);
    const marks = marksOf(bytes.length, entries.length, random.below(700), random.below(3));
    const unit = { bytes, marks: random.chance(0.1) ? marks.subarray(1) : marks };
    const [name, given] = random.pick([
      ['write', [unit]],
      ['transactionCommit', [random.below(3), READS, unit]],
    ] as const);
    if (random.chance(0.2)) await ask('transactionBegin', [undefined]);
    const answer = await ask(name, given);
    assert.ok(answer === 'ok' || /STRATA_(?:INVALID_ARGUMENT|CONFLICT)/.test(answer), answer);
    post(anything(random, 3));
    if (random.chance(0.05)) engine.getSync('k1');
  }
  // A mutated delete of a range may have had it.
  await engine.put('kept', 'safe');
  await engine.flush();
  const before = [...engine.scan()].map(String);
  engine = await reopen(t, engine);
  await engine.verify();
  assert.equal(engine.getSync('kept')?.toString(), 'safe');
  assert.deepEqual([...engine.scan()].map(String), before);
});

/** Something that can be cloned, often nearly a call. */
function anything(random: Random, depth: number): unknown {
  const kind = random.below(depth === 0 ? 5 : 9);
  const inner = (): unknown => anything(random, depth - 1);
  if (kind === 0) return random.below(2) === 0 ? null : undefined;
  if (kind === 1) return [Number.NaN, -1, 0, 2 ** 53, 1.5][random.below(5)];
  if (kind === 2) return ['', 'RAW', 'APPLY', 'write', 'attach', '__proto__'][random.below(6)];
  if (kind === 3) return new Uint8Array(random.below(20));
  if (kind === 4) return new Uint32Array(random.below(9));
  if (kind === 5) return Array.from({ length: random.below(4) }, inner);
  if (kind === 6) return call(`f${random.below(9)}`, inner(), [inner()]);
  if (kind === 7) return { id: inner(), type: inner(), path: inner(), argumentList: inner(), value: inner() };
  return call(
    `f${random.below(9)}`,
    random.pick([
      'write',
      'attach',
      'compact',
      'ingestFinish',
      'ingestReserve',
      'transactionBegin',
      'transactionCommit',
      'transactionEnd',
    ]),
    [inner(), inner(), inner()].slice(random.below(3)),
  );
}
