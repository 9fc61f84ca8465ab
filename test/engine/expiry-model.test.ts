/**
 * Values that expire, against a model: random writes with and without a ttl, time that passes, snapshots and scans, flushes,
 * compactions and new openings, under several option sets. Each read of every key is compared.
 *
 * STRATA_EXPIRY_STEPS is how many steps each set takes.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { StorageClient } from '../../src/client/index.ts';
import {
  type EngineOptions,
  type Scan,
  type Snapshot,
  type StorageEngine,
  WriteBatch,
} from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { newPath, openWith } from '../helpers/engines.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

const KEYS = 40;
const LONGEST_TTL = 60;
const STEPS = runBudget('STRATA_EXPIRY_STEPS', 250);

const SETS: readonly (readonly [name: string, options: EngineOptions])[] = [
  ['everything tiny', { threads: 0, writeBufferSize: 4096, maxFileSize: 4096, blockSize: 64 }],
  [
    'a thread, no cache',
    { threads: 1, writeBufferSize: 8192, maxFileSize: 4096, cacheSize: 0, blockRestartInterval: 1 },
  ],
  ['defaults', { threads: 0 }],
];

interface Stored {
  readonly value: string;
  /** Infinity: it stays. */
  readonly moment: number;
}
type State = ReadonlyMap<string, Stored>;

/** What a reader at `ms` finds of a state. */
function visible(state: State, ms: number): [key: string, value: string][] {
  return [...state]
    .filter(([, { moment }]) => moment > ms)
    .map(([key, { value }]): [string, string] => [key, value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

const keyName = (i: number): string => `key${String(i).padStart(3, '0')}`;
const texts = (entries: Iterable<readonly [Buffer, Buffer]>): [string, string][] =>
  Array.from(entries, ([key, value]) => [key.toString(), value.toString()]);

class Player {
  readonly #t: TestContext;
  readonly #options: EngineOptions;
  readonly #random: Random;
  readonly #clock: SettableClock;
  readonly #path: string;
  #engine!: StorageEngine;
  #client!: StorageClient;
  #state = new Map<string, Stored>();
  #moments: { readonly snapshot: Snapshot; readonly sees: [string, string][] }[] = [];
  #scans: { readonly scan: Scan; readonly sees: [string, string][] }[] = [];
  #count = 0;

  constructor(t: TestContext, options: EngineOptions, random: Random) {
    this.#t = t;
    this.#options = options;
    this.#random = random;
    this.#clock = new SettableClock();
    this.#path = newPath(t);
  }

  async open(): Promise<void> {
    this.#engine = await openWith(this.#t, this.#path, this.#options, { clock: this.#clock, restMs: 20 });
    this.#client = await attachHere(this.#t, this.#engine);
  }

  async step(): Promise<void> {
    const choice = this.#random.below(100);
    if (choice < 45) await this.#write();
    else if (choice < 60) this.#clock.pass(1 + this.#random.below(20));
    else if (choice < 66) await this.#engine.flush();
    else if (choice < 71) await this.#compact();
    else if (choice < 76) this.#takeMoment();
    else if (choice < 81) this.#dropMoment();
    else if (choice < 84) await this.#reopen();
    else await this.#check();
  }

  async #compact(): Promise<void> {
    const from = this.#random.below(KEYS);
    if (this.#random.below(2) === 0) await this.#engine.compact();
    else await this.#engine.compact({ start: keyName(from), end: keyName(from + 10) });
  }

  async #write(): Promise<void> {
    const writer = this.#random.below(3) === 0 ? this.#client : this.#engine;
    const batch = new WriteBatch();
    const isBatch = this.#random.below(3) === 0;
    for (let left = isBatch ? 1 + this.#random.below(6) : 1; left > 0; left--) {
      const key = keyName(this.#random.below(KEYS));
      const value = `${this.#count++}${'.'.repeat(this.#random.below(40))}`;
      const ttl = this.#random.below(3) === 0 ? undefined : 1 + this.#random.below(LONGEST_TTL);
      if (this.#random.below(6) === 0) {
        this.#state.delete(key);
        if (isBatch) batch.delete(key);
        else await writer.delete(key);
        continue;
      }
      this.#state.set(key, { value, moment: ttl === undefined ? Infinity : this.#clock.ms + ttl });
      if (isBatch) batch.put(key, value, { ttl });
      else await writer.put(key, value, { ttl });
    }
    if (isBatch) await writer.write(batch);
  }

  #takeMoment(): void {
    const sees = visible(this.#state, this.#clock.ms);
    const reverse = this.#random.below(2) === 0;
    this.#moments.push({ snapshot: this.#engine.snapshot(), sees });
    const scan =
      this.#random.below(2) === 0 ? this.#engine.scan({ reverse }) : this.#client.scan({ reverse });
    this.#scans.push({ scan, sees: reverse ? sees.toReversed() : sees });
  }

  #dropMoment(): void {
    const place = this.#random.below(Math.max(1, this.#moments.length));
    this.#moments.splice(place, 1)[0]?.snapshot.close();
    const taken = this.#scans.shift();
    if (taken !== undefined) assert.deepEqual(texts(taken.scan), taken.sees, 'a scan of an earlier moment');
  }

  async #reopen(): Promise<void> {
    for (const { scan } of this.#scans) scan.close();
    this.#scans = [];
    this.#moments = [];
    await this.#engine.close();
    if (this.#random.below(2) === 0) this.#clock.pass(this.#random.below(30));
    await this.open();
  }

  async #check(): Promise<void> {
    const engine = this.#engine;
    const sees = visible(this.#state, this.#clock.ms);
    const values = new Map(sees);
    for (const reader of [engine, this.#client]) {
      assert.deepEqual(texts(reader.scan()), sees);
      assert.deepEqual(texts(reader.scan({ reverse: true })), sees.toReversed());
      assert.deepEqual(texts(reader.scan().nextMany(1000)), sees);
      const keys = Array.from({ length: KEYS }, (_, i) => keyName(i));
      const many = await reader.getMany(keys);
      for (const [i, key] of keys.entries()) {
        const wanted = values.get(key);
        assert.equal(many[i]?.toString(), wanted);
        assert.equal(reader.getSync(key)?.toString(), wanted);
        assert.equal(reader.hasSync(key), wanted !== undefined);
        const moment = wanted === undefined ? Infinity : this.#state.get(key)!.moment;
        assert.equal(await reader.expiresAt(key), moment === Infinity ? undefined : moment);
      }
    }
    for (const { snapshot, sees: seen } of this.#moments) {
      assert.deepEqual(texts(engine.scan({ snapshot })), seen, 'a snapshot');
      const then = new Map(seen);
      const key = keyName(this.#random.below(KEYS));
      assert.equal((await engine.get(key, { snapshot }))?.toString(), then.get(key));
    }
  }

  /** Nothing of what has expired is left once nobody sees it. */
  async end(): Promise<void> {
    for (const { snapshot } of this.#moments) snapshot.close();
    for (const { scan } of this.#scans) scan.close();
    this.#moments = [];
    await this.#check();
    this.#clock.pass(LONGEST_TTL);
    await this.#engine.compact();
    await this.#check();
    const { levels } = this.#engine.stats();
    const entries = levels.reduce((sum, level) => sum + level.entries, 0);
    assert.equal(entries, visible(this.#state, this.#clock.ms).length);
    await this.#engine.verify();
  }
}

for (const [name, options] of SETS)
  test(`expiry as in the model: ${name}`, async (t) => {
    const player = new Player(t, options, seededRandom(runSeed(t)));
    await player.open();
    for (let step = 0; step < STEPS; step++) await player.step();
    await player.end();
  });
