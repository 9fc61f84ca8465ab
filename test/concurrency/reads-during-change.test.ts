/**
 * Reads while the store is flushing, compacting and deleting files under them: never stale, never torn, and a scan or
 * snapshot shows exactly its moment however long it lives. STRATA_CONCURRENCY_OPS writes over all option sets.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type EngineOptions,
  type Scan,
  type Snapshot,
  StorageEngine,
  WriteBatch,
} from '../../src/main/index.ts';
import { keyOf, turn } from '../helpers/engines.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { versionedValue, WriteHistory } from './write-history.ts';

const KEYS = 300;
const SMALL: EngineOptions = { writeBufferSize: 8192, maxFileSize: 8192, blockSize: 256 };
const SETS: readonly (readonly [name: string, options: EngineOptions])[] = [
  ['inline', { ...SMALL, threads: 0 }],
  ['one thread, no cache', { ...SMALL, threads: 1, cacheSize: 0 }],
  ['two threads, 8 open files', { ...SMALL, threads: 2, maxOpenFiles: 8, cacheSize: 4096 }],
  ['one thread, through pread', { ...SMALL, threads: 1, mmap: false, maxOpenFiles: 8 }],
];

class Traffic {
  readonly #engine: StorageEngine;
  readonly #random: Random;
  readonly #history = new WriteHistory(KEYS);
  /** The highest sequence among acknowledged writes, and among what any read has shown. */
  #acknowledged = 0;
  #shown = 0;
  isOver = false;
  checkedReads = 0;

  constructor(engine: StorageEngine, random: Random) {
    this.#engine = engine;
    this.#random = random;
  }

  /** The moment a read of now must show: not older than what was acknowledged or shown, not newer than what was handed in. */
  #moment(): number {
    const { sequence } = this.#engine.stats();
    assert.ok(
      sequence >= this.#acknowledged,
      `acknowledged ${this.#acknowledged} is not visible at ${sequence}`,
    );
    assert.ok(sequence >= this.#shown, `went back from ${this.#shown} to ${sequence}`);
    assert.ok(sequence <= this.#history.lastSequence);
    this.#shown = sequence;
    return sequence;
  }

  /** Until all of them are acknowledged: some may be held back when the last is handed in. */
  async write(count: number): Promise<void> {
    const random = this.#random;
    const all: Promise<void>[] = [];
    for (let done = 0; done < count; ) {
      const size = random.chance(0.2) ? random.between(2, 20) : 1;
      const written = size === 1 ? this.#writeOne() : this.#writeBatch(size);
      done += size;
      const { lastSequence } = this.#history;
      const acknowledged = written.then(() => {
        this.#acknowledged = Math.max(this.#acknowledged, lastSequence);
      });
      all.push(acknowledged);
      if (random.chance(0.3)) await acknowledged;
      if (random.chance(0.05)) await turn();
    }
    await Promise.all(all);
  }

  #writeOne(): Promise<void> {
    const key = this.#random.below(KEYS);
    const isDelete = this.#random.chance(0.2);
    const { version } = this.#history.submit(key, isDelete);
    return isDelete
      ? this.#engine.delete(keyOf(key))
      : this.#engine.put(keyOf(key), versionedValue(key, version));
  }

  #writeBatch(size: number): Promise<void> {
    const batch = new WriteBatch();
    for (let i = 0; i < size; i++) {
      const key = this.#random.below(KEYS);
      const { version } = this.#history.submit(key, false);
      batch.put(keyOf(key), versionedValue(key, version));
    }
    return this.#engine.write(batch);
  }

  async readOne(): Promise<void> {
    while (!this.isOver) {
      const keys = Array.from({ length: 5 }, () => this.#random.below(KEYS));
      const from = this.#moment();
      const reads = keys.map((key) => this.#engine.get(keyOf(key)));
      const many = this.#engine.getMany(keys.map(keyOf));
      const wanted = keys.map((key) => this.#history.valueAt(key, from));
      assert.deepEqual((await Promise.all(reads)).map(text), wanted);
      assert.deepEqual((await many).map(text), wanted);
      this.checkedReads += 2 * keys.length;
      await turn();
    }
  }

  /** Scans left open while the store changes under them, read on bit by bit. */
  async scan(reverse: boolean): Promise<void> {
    while (!this.isOver) {
      const sequence = this.#moment();
      const scan = this.#engine.scan({ reverse });
      await this.#readOn(scan, sequence, reverse);
      // While the store is empty nothing else here waits, and nobody could fill it.
      await turn();
    }
  }

  async #readOn(scan: Scan, sequence: number, reverse: boolean): Promise<void> {
    const wanted = this.#history.contentAt(sequence);
    if (reverse) wanted.reverse();
    for (let at = 0; at < wanted.length; ) {
      const count = this.#random.between(1, 60);
      const found = scan.nextMany(count).map(([key, value]) => [key.toString(), value.toString()]);
      assert.deepEqual(found, wanted.slice(at, at + count), `entry ${at} on, of sequence ${sequence}`);
      at += count;
      this.checkedReads += found.length;
      for (let i = this.#random.below(8); i >= 0; i--) await turn();
    }
    assert.deepEqual(scan.nextMany(1), []);
  }

  /** One snapshot after another, each read again and again, in all ways. */
  async snapshots(readings: number): Promise<void> {
    while (!this.isOver) {
      const sequence = this.#moment();
      const snapshot = this.#engine.snapshot();
      for (let i = 0; i < readings && !this.isOver; i++) {
        const options = { reverse: this.#random.chance(0.5), snapshot };
        await this.#readOn(this.#engine.scan(options), sequence, options.reverse);
        await this.#readAt(snapshot, sequence);
      }
      snapshot.close();
      await turn();
    }
  }

  async #readAt(snapshot: Snapshot, sequence: number): Promise<void> {
    for (let i = 0; i < 20; i++) {
      const key = this.#random.below(KEYS);
      const found = text(await this.#engine.get(keyOf(key), { snapshot }));
      assert.equal(found, this.#history.valueAt(key, sequence), `key ${key} at sequence ${sequence}`);
      this.checkedReads++;
    }
  }

  async maintain(): Promise<void> {
    while (!this.isOver) {
      if (this.#random.chance(0.3)) await this.#engine.compact();
      else await this.#engine.flush();
      for (let i = this.#random.below(20); i >= 0; i--) await turn();
    }
  }

  check(engine: StorageEngine): void {
    const content = Array.from(engine.scan(), ([key, value]) => [key.toString(), value.toString()]);
    assert.deepEqual(content, this.#history.contentAt(this.#history.lastSequence));
  }
}

function text(value: Buffer | undefined): string | undefined {
  return value?.toString();
}

const writes = runBudget('STRATA_CONCURRENCY_OPS', 4_000);

for (const [index, [name, options]] of SETS.entries()) {
  test(`reads during flush, compaction and deletion show exactly their moment: ${name}`, async (t) => {
    const path = storeDirectory(t);
    const random = seededRandom((runSeed(t) + index) >>> 0);
    const engine = await StorageEngine.open(path, options);
    t.after(() => engine.close());
    const traffic = new Traffic(engine, random);
    const errors: unknown[] = [];
    engine.on('backgroundError', (event) => errors.push(event));
    const others = [
      traffic.readOne(),
      traffic.scan(false),
      traffic.scan(true),
      traffic.snapshots(3),
      traffic.snapshots(40),
      traffic.maintain(),
    ];
    // A reader that fails must not wait for writers that never end, nor they for it.
    const all = Promise.all(others);
    await Promise.race([traffic.write(Math.ceil(writes / SETS.length)), all]);
    traffic.isOver = true;
    await all;
    const { jobs } = engine.stats();
    assert.ok(jobs.flushes > 10 && jobs.compactions > 3, JSON.stringify(jobs));
    assert.deepEqual(errors, []);
    traffic.check(engine);
    await engine.verify();
    await engine.close();
    const again = await StorageEngine.open(path, options);
    t.after(() => again.close());
    traffic.check(again);
    await again.close();
    t.diagnostic(`FIGURE reads-checked=${traffic.checkedReads} stale=0`);
    t.diagnostic(
      `${traffic.checkedReads} reads checked over ${jobs.flushes} flushes and ${jobs.compactions} compactions`,
    );
  });
}
