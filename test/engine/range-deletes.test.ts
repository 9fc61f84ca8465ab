/**
 * Deleted ranges against a model: random puts, deletes and range deletes under option sets, read by every way of reading, of the
 * present and of snapshots, through flushes, compactions, reopenings, and the upkeep of a store at rest.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EngineOptions, type Snapshot, type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { openTiny, reopen } from '../helpers/engines.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { SortedModel } from '../helpers/sorted-model.ts';

const STEPS = runBudget('STRATA_RANGE_STEPS', 200);

interface Seen {
  readonly snapshot: Snapshot;
  readonly model: SortedModel;
}

const OPTION_SETS: readonly (readonly [name: string, options: EngineOptions])[] = [
  ['inline jobs', { threads: 0 }],
  ['threads, small tables', { threads: 2, maxFileSize: 2048, blockSize: 128 }],
  ['no filter, no cache, no codec', { threads: 0, bloomBitsPerKey: 0, cacheSize: 0, compression: 'none' }],
  ['a large buffer', { threads: 0, writeBufferSize: 1024 * 1024 }],
];

for (const [name, options] of OPTION_SETS) {
  test(`deleted ranges read as a model says: ${name}`, async (t) => {
    const seed = runSeed(t);
    const run = new Run(await openTiny(t, options), seededRandom(seed));
    for (let step = 0; step < STEPS; step++) {
      await run.step();
      if (run.random.chance(0.03)) run.engine = await reopen(t, run.closeSnapshots(), options);
    }
    await run.check();
    run.closeSnapshots();
    await run.engine.compact();
    await run.check();
    const { levels } = run.engine.stats();
    assert.equal(
      levels.reduce((sum, level) => sum + level.files, 0) > 0,
      run.model.size > 0,
      'nothing is left of a store in which all is deleted',
    );
    await run.engine.verify();
  });
}

class Run {
  engine: StorageEngine;
  model = new SortedModel();
  readonly random: Random;
  #seen: Seen[] = [];
  #count = 0;

  constructor(engine: StorageEngine, random: Random) {
    this.engine = engine;
    this.random = random;
  }

  async step(): Promise<void> {
    const { random, engine } = this;
    const choice = random.below(100);
    if (choice < 45) {
      const batch = new WriteBatch();
      const model = new SortedModel(this.model.scan());
      for (let i = random.between(1, 12); i > 0; i--) this.#change(batch, model);
      await engine.write(batch);
      this.model = model;
    } else if (choice < 65) {
      const batch = new WriteBatch();
      const model = new SortedModel(this.model.scan());
      this.#deleteRange(batch, model);
      await engine.write(batch);
      this.model = model;
    } else if (choice < 72) await engine.flush();
    else if (choice < 76) await this.#compact();
    else if (choice < 78) await this.#ingest();
    else if (choice < 79) await engine.verify();
    else if (choice < 82) this.#snapshot();
    else if (choice < 86) this.#seen.splice(random.below(4), 1)[0]?.snapshot.close();
    else await this.check();
  }

  closeSnapshots(): StorageEngine {
    for (const { snapshot } of this.#seen.splice(0)) snapshot.close();
    return this.engine;
  }

  async check(): Promise<void> {
    await this.#checkOne(this.model, undefined);
    for (const { model, snapshot } of this.#seen) await this.#checkOne(model, snapshot);
  }

  async #checkOne(model: SortedModel, snapshot: Snapshot | undefined): Promise<void> {
    const { engine, random } = this;
    const options = snapshot === undefined ? {} : { snapshot };
    const keys = Array.from({ length: 12 }, () => this.#key());
    const expected = keys.map((key) => model.get(key));
    assert.deepEqual(
      keys.map((key) => engine.getSync(key, options)?.toString()),
      expected,
    );
    assert.deepEqual(
      (await engine.getMany(keys, options)).map((value) => value?.toString()),
      expected,
    );
    assert.equal(await engine.has(keys[0]!, options), expected[0] !== undefined);
    const [a, b] = [this.#key(), this.#key()];
    const bounds = random.pick([{}, { gte: a }, { lt: b }, { gt: a, lte: b }]);
    const range = { ...bounds, reverse: random.chance(0.5), ...(random.chance(0.3) ? { limit: 5 } : {}) };
    const wanted = model.scan(range);
    const entries = (list: [Buffer, Buffer][]): string[][] =>
      list.map(([k, v]) => [k.toString(), v.toString()]);
    const how = random.below(3);
    if (how === 0) assert.deepEqual(entries([...engine.scan({ ...range, ...options })]), wanted);
    else if (how === 1) {
      const found: [Buffer, Buffer][] = [];
      for await (const entry of engine.scan({ ...range, ...options })) found.push(entry);
      assert.deepEqual(entries(found), wanted);
    } else {
      const scan = engine.scan({ ...range, ...options });
      const found: [Buffer, Buffer][] = [];
      for (let more = scan.nextMany(7); more.length > 0; more = scan.nextMany(random.between(1, 90)))
        found.push(...more);
      assert.deepEqual(entries(found), wanted);
    }
  }

  /** At times with writes beside it. */
  async #compact(): Promise<void> {
    const { engine, random } = this;
    const compaction = engine.compact(random.chance(0.5) ? {} : { start: this.#key(), end: this.#key() });
    for (let writes = random.below(4); writes > 0; writes--) await this.#write(random.below(12));
    await compaction;
  }

  /** Newer than all that was written before it, deleted ranges in memory among them. */
  async #ingest(): Promise<void> {
    const { engine, random } = this;
    const records = Array.from(
      { length: random.between(1, 30) },
      () => [this.#key(), `i${this.#count++}`] as const,
    );
    await engine.ingest(records);
    const model = new SortedModel(this.model.scan());
    for (const [key, value] of records) model.put(key, value);
    this.model = model;
  }

  async #write(count: number): Promise<void> {
    const batch = new WriteBatch();
    const model = new SortedModel(this.model.scan());
    for (let i = 0; i < count; i++) this.#change(batch, model);
    this.#deleteRange(batch, model);
    await this.engine.write(batch);
    this.model = model;
  }

  #snapshot(): void {
    if (this.#seen.length > 3) return;
    this.#seen.push({ snapshot: this.engine.snapshot(), model: new SortedModel(this.model.scan()) });
  }

  #change(batch: WriteBatch, model: SortedModel): void {
    const choice = this.random.below(10);
    const key = this.#key();
    if (choice < 7) {
      const value = `v${this.#count++}${'x'.repeat(this.random.below(60))}`;
      batch.put(key, value);
      model.put(key, value);
    } else if (choice < 9) {
      batch.delete(key);
      model.delete(key);
    } else this.#deleteRange(batch, model);
  }

  #deleteRange(batch: WriteBatch, model: SortedModel): void {
    const [a, b] = [this.#key(), this.#key()].sort() as [string, string];
    const end = this.random.chance(0.1) ? undefined : this.random.chance(0.5) ? b : `${a}~`;
    if (end !== undefined && end <= a) return;
    batch.deleteRange(end === undefined ? { gte: a } : { gte: a, lt: end });
    for (const key of model.keys()) if (key >= a && (end === undefined || key < end)) model.delete(key);
  }

  #key(): string {
    return `k${String(this.random.below(300)).padStart(3, '0')}`;
  }
}

/** Twenty tables or so at the bottom, of keys k0000 to k1999. */
async function filled(t: TestContext): Promise<StorageEngine> {
  const engine = await openTiny(t, { threads: 0, compression: 'none' });
  for (let i = 0; i < 2000; i += 100) {
    const batch = new WriteBatch();
    for (let key = i; key < i + 100; key++) batch.put(`k${String(key).padStart(4, '0')}`, 'x'.repeat(60));
    await engine.write(batch);
  }
  await engine.compact();
  return engine;
}

function filesOf(engine: StorageEngine): number {
  return engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
}

/** Until background work has made `isDone` true; a test that waits for ever is a failure. */
async function until(isDone: () => boolean): Promise<void> {
  while (!isDone()) await sleep(5);
}

test('tables that a deleted range hides leave without being read', async (t) => {
  const engine = await filled(t);
  const before = filesOf(engine);
  assert.ok(before > 10);
  const read = engine.stats().compactionBytesRead;
  await engine.deleteRange({ gte: 'k0010', lt: 'k1990' });
  assert.equal(engine.stats().memtables.rangeDeletes, 1);
  await engine.flush();
  const { levels, memtables } = engine.stats();
  assert.deepEqual([memtables.rangeDeletes, levels[0]?.rangeDeletes], [0, 1]);
  await until(() => engine.stats().jobs.droppedTables >= before - 3);
  assert.equal(engine.stats().compactionBytesRead, read, 'nothing was read for it');
  assert.equal([...engine.scan()].length, 20);
  assert.equal(engine.getSync('k0009')?.length, 60);
  assert.equal(engine.getSync('k0010'), undefined);
  const { entries, rangeDeletes } = await engine.verify();
  assert.ok(entries >= 20);
  assert.ok(rangeDeletes >= 1);
});

test('a snapshot keeps tables that a range deleted since then hides, until it is closed', async (t) => {
  const engine = await filled(t);
  const before = filesOf(engine);
  const snapshot = engine.snapshot();
  await engine.deleteRange({ all: true });
  await engine.put('new', 'v');
  await engine.flush();
  const later = engine.snapshot();
  await engine.flush();
  assert.equal(engine.stats().jobs.droppedTables, 0);
  assert.equal([...engine.scan({ snapshot })].length, 2000);
  assert.equal([...engine.scan({ snapshot: later })].length, 1);
  snapshot.close();
  await until(() => engine.stats().jobs.droppedTables === before);
  assert.deepEqual(
    [...engine.scan()].map(([key]) => key.toString()),
    ['new'],
  );
  later.close();
});

test('a deleted range alone is a store that opens again, and a compaction leaves nothing of it', async (t) => {
  const engine = await openTiny(t, { threads: 0 });
  await engine.deleteRange({ prefix: 'a' });
  await engine.put('b', '1');
  const snapshot = engine.snapshot();
  await engine.deleteRange({ all: true });
  await engine.flush();
  assert.equal(engine.getSync('b', { snapshot })?.toString(), '1');
  snapshot.close();
  const again = await reopen(t, engine, { threads: 0 });
  assert.equal(again.getSync('b'), undefined);
  await again.compact();
  assert.equal(filesOf(again), 0);
});

test('a range of many keys is one short record, and scans read nothing of the hole', async (t) => {
  const engine = await filled(t);
  const blocks = (): number => engine.stats().blockReads.count;
  const logged = (): number => engine.stats().bytesWritten.wal;
  const [wholeFrom, logFrom] = [blocks(), logged()];
  assert.equal([...engine.scan({ fillCache: false })].length, 2000);
  const whole = blocks() - wholeFrom;
  await engine.deleteRange({ gte: 'k0010', lt: 'k1990' });
  // The start of a new log included, and the note of the time that a record has which comes a second later.
  assert.ok(logged() - logFrom < 160, `${logged() - logFrom} bytes of log`);
  for (const reverse of [false, true]) {
    const from = blocks();
    assert.equal([...engine.scan({ reverse, fillCache: false })].length, 20);
    assert.ok(blocks() - from < whole / 10, `${blocks() - from} blocks, ${whole} without the hole`);
  }
});
