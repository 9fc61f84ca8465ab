/**
 * Awaited scans of random stores on a disk of which a random part is not in memory, against a sorted model: every entry once,
 * in order, and of one moment, whoever else reads and writes meanwhile.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Scan, ScanEntry, ScanOptions, Snapshot, StorageEngine } from '../../src/main/index.ts';
import { WriteBatch } from '../../src/main/index.ts';
import { ColdDisk } from '../helpers/cold-disk.ts';
import { keyOf, openOn, turn } from '../helpers/engines.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';
import { type ModelEntry, type ModelRange, SortedModel, toText } from '../helpers/sorted-model.ts';

const KEYS = 600;
/** As in real stores most values are small; some are larger than a block, a window, or the slab. */
const VALUE_BYTES = [0, 20, 20, 40, 40, 40, 300, 3000, 40_000];

interface Moment {
  readonly model: SortedModel;
  readonly snapshot: Snapshot | undefined;
}

/** A store under change, and what it must hold. */
class RandomStore {
  readonly engine: StorageEngine;
  readonly model = new SortedModel();
  readonly moments: Moment[] = [];
  readonly #random: Random;

  constructor(engine: StorageEngine, random: Random) {
    this.engine = engine;
    this.#random = random;
  }

  /** Writes a little; long runs of tombstones, too, and many versions of few keys. */
  async write(): Promise<void> {
    const random = this.#random;
    const batch = new WriteBatch();
    const kind = random.below(5);
    const from = random.below(KEYS);
    const count = kind === 0 ? random.below(200) : random.between(1, 60);
    for (let i = 0; i < count; i++) {
      const key = keyOf(kind === 0 || kind === 1 ? from + i : kind === 2 ? from % 5 : random.below(KEYS));
      if (kind === 0 || random.chance(0.2)) {
        batch.delete(key);
        this.model.delete(key);
        continue;
      }
      const size = random.chance(0.02) ? random.pick(VALUE_BYTES) : random.pick(VALUE_BYTES.slice(0, 6));
      const value = `${i}/${random.below(1e9)}`.padEnd(size, 'x');
      batch.put(key, value);
      this.model.put(key, value);
    }
    await this.engine.write(batch);
    if (random.chance(0.2))
      this.moments.push({ model: this.model.clone(), snapshot: this.engine.snapshot() });
    if (this.moments.length > 4) this.moments.shift()!.snapshot!.close();
  }

  async settle(): Promise<void> {
    const random = this.#random;
    if (random.chance(0.3)) await this.engine.flush();
    const from = random.below(KEYS);
    if (random.chance(0.05)) await this.engine.compact({ start: keyOf(from), end: keyOf(from + 100) });
  }

  moment(): Moment {
    const random = this.#random;
    return this.moments.length > 0 && random.chance(0.4)
      ? random.pick(this.moments)
      : { model: this.model.clone(), snapshot: undefined };
  }
}

function randomRange(random: Random): ModelRange {
  const from = random.below(KEYS);
  const to = random.chance(0.7) ? from + random.below(KEYS - from) : random.below(KEYS);
  return {
    ...(random.chance(0.4) ? {} : random.chance(0.5) ? { gte: keyOf(from) } : { gt: keyOf(from) }),
    ...(random.chance(0.4) ? {} : random.chance(0.5) ? { lte: keyOf(to) } : { lt: keyOf(to) }),
    ...(random.chance(0.4) ? { reverse: true } : {}),
    ...(random.chance(0.4) ? { limit: random.below(200) } : {}),
  };
}

/** A scan that is read in one way after another, and the entries it must give. */
class Walk {
  readonly expected: readonly ModelEntry[];
  readonly #scan: Scan;
  readonly #random: Random;
  readonly #options: ScanOptions;
  readonly #asyncIterator: AsyncIterator<ScanEntry>;
  readonly #iterator: Iterator<ScanEntry>;
  readonly #pending: Promise<unknown>[] = [];
  readonly #places: ReadonlyMap<string, number>;
  readonly #seen = new Set<number>();
  /** Places in the order of the calls: of nextMany and next() without a promise, and of next() with one. */
  readonly #taken: number[] = [];
  readonly #awaited: number[] = [];
  #isDone = false;

  constructor(store: RandomStore, random: Random) {
    const { model, snapshot } = store.moment();
    const range = randomRange(random);
    this.#random = random;
    this.#options = {
      ...range,
      ...(snapshot === undefined ? {} : { snapshot }),
      ...(random.chance(0.2) ? { values: false } : {}),
      ...(random.chance(0.2) ? { fillCache: false } : {}),
    };
    this.expected = model.scan(range);
    this.#places = new Map(this.expected.map(([key], i) => [key, i]));
    this.#scan = store.engine.scan(this.#options);
    this.#asyncIterator = this.#scan[Symbol.asyncIterator]();
    this.#iterator = this.#scan[Symbol.iterator]();
  }

  /** Some entries more; false at the end. */
  async step(): Promise<boolean> {
    const random = this.#random;
    const count = random.chance(0.7) ? random.between(1, 5) : random.between(1, 150);
    const kind = random.below(10);
    if (kind === 0) for (const entry of this.#scan.nextMany(count)) this.#taken.push(this.#see(entry));
    else if (kind === 1) this.#now(count);
    else if (kind < 3) await Promise.all([1, 2, 3].map(() => this.#inARow(count)));
    else if (kind < 6) await this.#inARow(count);
    else {
      // Calls that nobody awaits, with others behind them.
      for (let i = 0; i < count; i++) this.#pending.push(this.#inARow(1));
      if (random.chance(0.5)) await turn();
      if (random.chance(0.7)) await Promise.all(this.#pending.splice(0));
    }
    return !this.#isDone;
  }

  async end(): Promise<void> {
    await Promise.all(this.#pending);
    await this.#inARow(Number.POSITIVE_INFINITY);
    assert.equal(this.#seen.size, this.expected.length, `entries were lost by ${this}`);
    // What is taken in the call may come before what was asked for earlier and waits.
    for (const places of [this.#taken, this.#awaited])
      assert.ok(
        places.every((place, i) => i === 0 || place >= places[i - 1]!),
        `out of order: ${this}`,
      );
    assert.equal((await this.#asyncIterator.next()).done, true);
    assert.deepEqual(this.#scan.nextMany(1), []);
  }

  #now(count: number): void {
    for (let i = 0; i < count; i++) {
      const result = this.#iterator.next();
      if (result.done) break;
      this.#taken.push(this.#see(result.value));
    }
  }

  /** Asks again as soon as an answer is there: before those can who wait for theirs. */
  async #inARow(count: number): Promise<void> {
    for (let i = 0; i < count && !this.#isDone; i++) {
      const call = this.#awaited.push(-1) - 1;
      const result = await this.#asyncIterator.next();
      if (result.done) this.#isDone = true;
      this.#awaited[call] = result.done ? Number.POSITIVE_INFINITY : this.#see(result.value);
    }
  }

  /** Its place among those that are expected. */
  #see([key, value]: ScanEntry): number {
    const name = toText(key);
    const place = this.#places.get(name);
    assert.ok(place !== undefined, `${name} is not in the range of ${this}`);
    assert.ok(!this.#seen.has(place), `${name} came twice from ${this}`);
    this.#seen.add(place);
    if (this.#options.values !== false) assert.equal(toText(value), this.expected[place]![1], name);
    return place;
  }

  toString(): string {
    const { snapshot, ...rest } = this.#options;
    return JSON.stringify({ ...rest, isOfSnapshot: snapshot !== undefined });
  }
}

async function round(t: TestContext, random: Random): Promise<void> {
  const disk = new ColdDisk(t);
  const engine = await openOn(t, disk.spec, {
    cacheSize: random.pick([0, 20_000, 1 << 20]),
    maxOpenFiles: random.pick([8, 10, 1000]),
    writeBufferSize: random.pick([8192, 32_768]),
    blockSize: random.pick([256, 1024]),
    maxFileSize: random.pick([8192, 65_536]),
  });
  const store = new RandomStore(engine, random);
  for (let i = random.between(5, 40); i > 0; i--) {
    await store.write();
    await store.settle();
  }
  const share = random.pick([0, 0.2, 0.9, 0.99]);
  disk.isResident = () => random.chance(share);
  const most = random.pick([0, 1, 4]);
  disk.delay = async () => {
    for (let left = random.below(most + 1); left > 0; left--) await turn();
  };
  const walks: Walk[] = [];
  const settling: Promise<void>[] = [];
  for (let step = 0; step < 60; step++) {
    if (walks.length < 3) walks.push(new Walk(store, random));
    if (random.chance(0.1)) await store.write();
    if (random.chance(0.1)) settling.push(store.settle());
    const walk = random.pick(walks);
    if (await walk.step()) continue;
    walks.splice(walks.indexOf(walk), 1);
    await walk.end();
  }
  await Promise.all(walks.map((walk) => walk.end()));
  await Promise.all(settling);
  assert.equal(engine.stats().openScans, 0);
  for (const { snapshot } of store.moments) snapshot?.close();
  await engine.close();
  assert.equal(disk.openFiles, 0, 'every table was closed');
}

test('awaited scans of a cold store give what a sorted model has, each entry once', async (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let i = 0; i < 6; i++) await round(t, random);
});
