/**
 * Values that expire: there until their moment, gone from then on, for every kind of read and wherever they lie.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientSnapshot, StorageClient } from '../../src/client/index.ts';
import { type EngineOptions, type Snapshot, StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { ColdDisk } from '../helpers/cold-disk.ts';
import { failsWith, newPath, openWith, TINY } from '../helpers/engines.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

const OPTIONS: EngineOptions = { ...TINY, threads: 0 };

interface Setting {
  readonly engine: StorageEngine;
  readonly clock: SettableClock;
}

async function openAt(
  t: TestContext,
  path: string,
  clock: SettableClock,
  options = OPTIONS,
): Promise<Setting> {
  const engine = await openWith(t, path, options, { clock });
  return { engine, clock };
}

function open(t: TestContext, clock = new SettableClock(), options = OPTIONS): Promise<Setting> {
  return openAt(t, newPath(t), clock, options);
}

type Reader = StorageEngine | StorageClient;
type Options = { readonly zeroCopy?: boolean };

const textOf = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();

/** All ways to ask for a key: what each says. */
async function answers(reader: Reader, key: string): Promise<(string | undefined)[]> {
  const zeroCopy: Options = { zeroCopy: true };
  const one = { gte: key, lte: key };
  const values = (entries: readonly (readonly [Buffer, Buffer])[]): string | undefined =>
    textOf(entries.find(([found]) => found.toString() === key)?.[1]);
  const awaited: [Buffer, Buffer][] = [];
  for await (const entry of reader.scan(one)) awaited.push(entry);
  return [
    textOf(reader.getSync(key)),
    textOf(await reader.get(key)),
    textOf(reader.getSync(key, zeroCopy)),
    textOf((await reader.getMany(['a', key, 'z']))[1]),
    textOf((await reader.getMany([key], zeroCopy))[0]),
    values([...reader.scan()]),
    values([...reader.scan(one)]),
    values([...reader.scan({ reverse: true })]),
    values([...reader.scan({ ...one, reverse: true, limit: 1 })]),
    values(reader.scan().nextMany(100)),
    values(awaited),
  ];
}

async function checkThere(reader: Reader, key: string, value: string, moment: number): Promise<void> {
  for (const answer of await answers(reader, key)) assert.equal(answer, value);
  assert.deepEqual([reader.hasSync(key), await reader.has(key)], [true, true]);
  assert.equal(await reader.expiresAt(key), moment);
}

async function checkGone(reader: Reader, key: string): Promise<void> {
  for (const answer of await answers(reader, key)) assert.equal(answer, undefined);
  assert.deepEqual([reader.hasSync(key), await reader.has(key)], [false, false]);
  assert.equal(await reader.expiresAt(key), undefined);
  assert.ok(
    reader
      .scan({ values: false })
      .nextMany(100)
      .every(([found]) => found.toString() !== key),
  );
}

const PLACES: Readonly<Record<string, (engine: StorageEngine) => Promise<void>>> = {
  memtable: async () => undefined,
  'level 0': (engine) => engine.flush(),
  'the bottom': (engine) => engine.compact(),
  'beside a memtable': async (engine) => {
    await engine.compact();
    await engine.put('k5', 'a neighbour');
  },
};

for (const [place, bring] of Object.entries(PLACES))
  test(`in ${place} a value is there up to the millisecond before its moment`, async (t) => {
    const { engine, clock } = await open(t);
    const client = await attachHere(t, engine);
    for (let i = 0; i < 10; i++) await engine.put(`k${i}`, `value ${i}`, i % 3 === 0 ? { ttl: 500 } : {});
    await client.put('short', '', { ttl: 500 });
    await client.put('long', 'x'.repeat(5000), { ttl: 500 });
    await bring(engine);
    const moment = clock.ms + 500;
    for (const reader of [engine, client]) {
      clock.set(moment - 1);
      await checkThere(reader, 'k3', 'value 3', moment);
      await checkThere(reader, 'short', '', moment);
      await checkThere(reader, 'long', 'x'.repeat(5000), moment);
      assert.equal(reader.scan().nextMany(100).length, 12);
      for (const after of [0, 1]) {
        clock.set(moment + after);
        for (const key of ['k0', 'k3', 'k9', 'short', 'long']) await checkGone(reader, key);
        assert.equal(reader.scan().nextMany(100).length, 6);
        assert.equal([...reader.scan({ reverse: true })].length, 6);
      }
      assert.equal(textOf(reader.getSync('k1')), 'value 1');
      assert.equal(await reader.expiresAt('k1'), undefined);
    }
  });

test('snapshots and scans go on to show what was there when they were made', async (t) => {
  const { engine, clock } = await open(t);
  const client = await attachHere(t, engine);
  await engine.put('k', 'old', { ttl: 100 });
  await engine.put('other', 'stays');
  const before = engine.snapshot();
  const beforeThere = client.snapshot();
  const scans = [
    engine.scan(),
    engine.scan({ reverse: true }),
    client.scan(),
    engine.scan({ snapshot: before }),
  ];
  clock.pass(100);
  const after = engine.snapshot();
  const afterThere = client.snapshot();
  await engine.compact();
  for (const scan of scans) assert.equal([...scan].length, 2);
  for (const [reader, snapshot] of [[engine, before]] as const) {
    assert.equal(textOf(reader.getSync('k', { snapshot })), 'old');
    assert.equal(textOf((await reader.getMany(['k'], { snapshot }))[0]), 'old');
    assert.equal(await reader.has('k', { snapshot }), true);
    assert.equal([...reader.scan({ snapshot })].length, 2);
  }
  assert.equal(textOf(client.getSync('k', { snapshot: beforeThere })), 'old');
  assert.equal([...client.scan({ snapshot: beforeThere, reverse: true })].length, 2);
  assert.equal(engine.getSync('k', { snapshot: after }), undefined);
  assert.equal(client.getSync('k', { snapshot: afterThere }), undefined);
  assert.equal(engine.getSync('k'), undefined);
  before.close();
  await engine.compact();
  const entries = engine.stats().levels.reduce((sum, level) => sum + level.entries, 0);
  assert.equal(entries, 1, 'nobody sees it any more');
  assert.equal(textOf(client.getSync('k', { snapshot: beforeThere })), 'old', 'the client keeps its own');
  for (const snapshot of [beforeThere, afterThere]) snapshot.close();
});

test('what has expired hides what is older, which never comes back', async (t) => {
  const { engine, clock } = await open(t);
  const steps = ['flush', 'compact', 'flush', 'compact'] as const;
  for (const [i, step] of steps.entries()) {
    await engine.put('k', `old ${i}`);
    await engine[step]();
    const snapshot = i % 2 === 0 ? engine.snapshot() : undefined;
    await engine.put('k', `new ${i}`, { ttl: 10 });
    await engine.put('fresh', 'x', { ttl: 10 });
    if (i > 1) await engine.flush();
    clock.pass(10);
    for (const after of ['flush', 'compact'] as const) {
      await checkGone(engine, 'k');
      await engine[after]();
      await checkGone(engine, 'k');
      await checkGone(engine, 'fresh');
    }
    if (snapshot !== undefined) assert.equal(textOf(engine.getSync('k', { snapshot })), `old ${i}`);
    snapshot?.close();
  }
  await engine.compact();
  assert.deepEqual(
    engine.stats().levels.map(({ entries }) => entries),
    [0, 0, 0, 0, 0, 0, 0, 0],
  );
});

test('the last write decides whether a value expires', async (t) => {
  const { engine, clock } = await open(t);
  await engine.put('k', 'short', { ttl: 10 });
  await engine.put('k', 'for good');
  await engine.put('again', 'a', { ttl: 10 });
  await engine.put('again', 'b', { ttl: 1000 });
  await engine.put('gone', 'a', { ttl: 1000 });
  await engine.delete('gone');
  await engine.put('loaded', 'a', { ttl: 10 });
  await engine.ingest([['loaded', 'b']]);
  assert.equal(await engine.expiresAt('k'), undefined);
  assert.equal(await engine.expiresAt('again'), clock.ms + 1000);
  assert.equal(await engine.expiresAt('gone'), undefined);
  clock.pass(10);
  assert.deepEqual([...engine.scan()].map(String), ['again,b', 'k,for good', 'loaded,b']);
});

test('a batch counts from the call that put the value, by the time of its store', async (t) => {
  // In real time: what lies between the calls is all that counts.
  const path = newPath(t);
  const future = new SettableClock(Date.now() + 86_400_000);
  const { engine: ahead } = await openAt(t, path, future);
  await ahead.put('first', 'a');
  await ahead.close();
  const engine = await openWith(t, path, OPTIONS, {});
  const client = await attachHere(t, engine);
  for (const writer of [engine, client]) {
    const batch = new WriteBatch()
      .put('long', 'a', { ttl: 60_000 })
      .put('short', 'b', { ttl: 40 })
      .put('k', 'c');
    await delay(60);
    await engine.put('mark', '', { ttl: 60_000 });
    await writer.write(batch);
    assert.equal(textOf(engine.getSync('long')), 'a', 'the time of the store is a day ahead');
    assert.equal(engine.getSync('short'), undefined, 'it was put more than 40 ms ago');
    assert.equal(textOf(engine.getSync('k')), 'c');
    const [long, mark] = [await engine.expiresAt('long'), await engine.expiresAt('mark')];
    assert.ok(long! <= mark! - 59, `${mark! - long!} ms between them`);
    assert.ok(long! >= future.ms, 'by the time of the store');
    await writer.write(batch.clear().put('long', 'd', { ttl: 60_000 }));
    assert.ok((await engine.expiresAt('long'))! >= mark!, 'a cleared batch has no old moments');
  }
});

test('a value that expires while the disk is waited for is not handed out', async (t) => {
  const path = newPath(t);
  const { engine: builder, clock } = await openAt(t, path, new SettableClock());
  for (let i = 0; i < 300; i++) await builder.put(`k${i}`, 'x'.repeat(50), { ttl: 100 });
  await builder.compact();
  await builder.close();
  const disk = new ColdDisk(t);
  const engine = await openWith(t, path, { ...OPTIONS, mmap: false }, { fileSystem: disk.spec, clock });
  const client = await attachHere(t, engine);
  for (const [i, reader] of [engine, client].entries()) {
    const key = `k${17 + 100 * i}`;
    const snapshot = reader.snapshot() as Snapshot & ClientSnapshot;
    const scan = reader.scan({ gte: key, limit: 1 });
    const releases = [disk.hold('open'), disk.hold('read')];
    const present = [reader.get(key), reader.has(key), reader.expiresAt(key), reader.getMany([key, 'none'])];
    const past = [reader.get(key, { snapshot }), reader.getMany([key], { snapshot })];
    const entry = scan[Symbol.asyncIterator]().next();
    await delay(20);
    clock.pass(100);
    for (const release of releases) release();
    assert.deepEqual(await Promise.all(present), [undefined, false, undefined, [undefined, undefined]]);
    assert.deepEqual((await Promise.all(past)).map(String), ['x'.repeat(50), 'x'.repeat(50)]);
    assert.equal(String((await entry).value?.[0]), key, 'a scan is of its own moment');
    snapshot.close();
    clock.set(clock.ms - 100);
  }
});

test('a clock that is set between two openings', async (t) => {
  const path = newPath(t);
  const { engine, clock } = await openAt(t, path, new SettableClock(5_000_000));
  await engine.put('k', 'a', { ttl: 1000 });
  await engine.put('later', 'b', { ttl: 5000 });
  clock.pass(1000);
  assert.equal(engine.getSync('k'), undefined);
  await engine.close();
  // Set back: time goes on from where the store was, so what was gone is not there again.
  const { engine: second, clock: behind } = await openAt(t, path, new SettableClock(1000));
  assert.equal(second.getSync('k'), undefined);
  await checkThere(second, 'later', 'b', 5_005_000);
  await second.put('new', 'c', { ttl: 10 });
  assert.equal(await second.expiresAt('new'), 5_001_010);
  behind.set(5_001_010);
  await checkGone(second, 'new');
  await second.close();
  // What was gone in an opening that wrote nothing is not there again either.
  const { engine: reading, clock: later } = await openAt(t, path, new SettableClock(5_004_000));
  assert.equal(textOf(reading.getSync('later')), 'b');
  later.set(5_005_000);
  assert.equal(reading.getSync('later'), undefined);
  await reading.close();
  const { engine: again } = await openAt(t, path, new SettableClock(1000));
  assert.equal(again.getSync('later'), undefined);
  await again.close();
  const { engine: third } = await openAt(t, path, new SettableClock(9_000_000));
  assert.deepEqual([...third.scan()], []);
  await third.close();
});

test('what Date.now() shows is never behind what a read goes by', async (t) => {
  const engine = await openWith(t, newPath(t), OPTIONS, {});
  for (let round = 0; round < 5; round++) {
    const before = Date.now();
    await engine.put('k', 'v', { ttl: 5 });
    const after = Date.now();
    const moment = (await engine.expiresAt('k')) ?? before + 5;
    assert.ok(moment >= before + 5 && moment <= after + 6, `${moment - before} ms`);
    // It is watched until it goes: whoever has read the clock after that may not see it any more.
    for (;;) {
      const isOver = Date.now() >= moment;
      const value = engine.getSync('k');
      if (isOver) {
        assert.equal(value, undefined);
        break;
      }
    }
  }
});

test('a wrong ttl is refused at the call, and nothing is written', async (t) => {
  const { engine } = await open(t);
  const client = await attachHere(t, engine);
  const batch = new WriteBatch();
  for (const ttl of [
    0,
    -1,
    1.5,
    Number.NaN,
    '5',
    Number.POSITIVE_INFINITY,
    null,
    2 ** 53,
    2 ** 53 - 1,
    [1],
    true,
  ]) {
    const options = { ttl } as { ttl: number };
    for (const writer of [engine, client])
      await failsWith('STRATA_INVALID_ARGUMENT', writer.put('k', 'v', options));
    await failsWith('STRATA_INVALID_ARGUMENT', () => batch.put('k', 'v', options));
  }
  const misplaced = { ttl: 5 } as object;
  for (const writer of [engine, client]) {
    await failsWith('STRATA_INVALID_ARGUMENT', writer.delete('k', misplaced));
    await failsWith('STRATA_INVALID_ARGUMENT', writer.write(new WriteBatch().put('k', 'v'), misplaced));
    await failsWith('STRATA_INVALID_ARGUMENT', writer.put('k', 'v', { ttl: 5, tll: 5 } as object));
  }
  await failsWith('STRATA_INVALID_ARGUMENT', () => batch.put('k', 'v', { sync: true } as object));
  assert.equal(batch.length, 0);
  assert.equal(engine.stats().sequence, 0);
  await engine.put('k', 'v', { ttl: undefined });
  assert.equal(await engine.expiresAt('k'), undefined);
  await failsWith('STRATA_INVALID_ARGUMENT', engine.expiresAt(5 as unknown as string));
  await engine.close();
  await failsWith('STRATA_CLOSED', engine.expiresAt('k'));
});

test('verify finds a table that lies about what expires; repair keeps the moments', async (t) => {
  const path = newPath(t);
  const { engine, clock } = await openAt(t, path, new SettableClock());
  for (let i = 0; i < 50; i++) await engine.put(`k${i}`, 'v'.repeat(50), { ttl: 1000 + i });
  await engine.flush();
  await engine.put('logged', 'v', { ttl: 1000 });
  await engine.verify();
  const moment = clock.ms + 1000;
  await engine.close();
  // Without a manifest, of a store with a table and a log: all is read from them.
  for (const name of readdirSync(path)) if (name === 'manifest.json') writeFileSync(join(path, name), '{}');
  const report = await StorageEngine.repair(path);
  assert.ok(report.warnings.length >= 0);
  const { engine: repaired } = await openAt(t, path, clock);
  await repaired.verify();
  await checkThere(repaired, 'k0', 'v'.repeat(50), moment);
  await checkThere(repaired, 'logged', 'v', moment);
  assert.equal(
    repaired.stats().levels.reduce((sum, level) => sum + level.expired, 0),
    0,
  );
  clock.set(moment + 25);
  const expired = repaired.stats().levels.reduce((sum, level) => sum + level.expired, 0);
  assert.ok(Math.abs(expired - 26) <= 3, `${expired} of 50 have expired`);
  await repaired.close();
  const manifest = readFileSync(join(path, 'manifest.json'), 'utf8');
  assert.match(manifest, /"expiry":\[/);
});
