/**
 * The work of a soak: a fixed set of keys, rewritten for ever. Skewed updates, deletes, gets and range scans that are checked
 * against a model, snapshots that live long, and a reopening now and then.
 *
 * The value of a key follows from its number and its version; the model is a version per key, 0 for "deleted". So the model
 * never grows, and a snapshot of it is a copy of one array.
 *
 * Owns: the engine and the snapshot; close() gives both back.
 */
import assert from 'node:assert/strict';
import { type EngineOptions, type Snapshot, StorageEngine, WriteBatch } from '../../src/main/index.ts';
import type { Random } from '../helpers/rng.ts';

export const KEY_COUNT = 20_000;
const BATCH_KEYS = 50;
const DELETE_SHARE = 0.1;
const SCAN_KEYS = 200;
/** Rounds that a snapshot lives; rounds between two reopenings. */
const SNAPSHOT_ROUNDS = 400;
const REOPEN_ROUNDS = 1500;

export const SOAK_OPTIONS: EngineOptions = {
  writeBufferSize: 1 << 20,
  maxFileSize: 1 << 20,
  cacheSize: 4 << 20,
  maxOpenFiles: 32,
  threads: 2,
};

function keyOf(i: number): string {
  return `key-${String(i).padStart(8, '0')}`;
}

/** 100 to 355 bytes. */
function textOf(i: number, version: number): string {
  return `${i}:${version}:`.padEnd(100 + ((i * 31 + version) & 255), 'abcdefghij');
}

interface Frozen {
  readonly snapshot: Snapshot;
  readonly versions: Uint32Array;
  readonly until: number;
}

export class SoakWorkload {
  readonly #path: string;
  readonly #random: Random;
  readonly #versions = new Uint32Array(KEY_COUNT);
  #engine: StorageEngine | undefined;
  #frozen: Frozen | undefined;
  #round = 0;
  writes = 0;
  reads = 0;
  reopenings = 0;

  constructor(path: string, random: Random) {
    this.#path = path;
    this.#random = random;
  }

  get engine(): StorageEngine {
    assert.ok(this.#engine !== undefined, 'the workload is open');
    return this.#engine;
  }

  /** Bytes of the keys and values that exist. */
  get liveBytes(): number {
    return this.#versions.reduce(
      (sum, version, i) => sum + (version === 0 ? 0 : keyOf(i).length + textOf(i, version).length),
      0,
    );
  }

  /** Opens the store and writes every key once. */
  async open(): Promise<void> {
    this.#engine = await StorageEngine.open(this.#path, SOAK_OPTIONS);
    for (let first = 0; first < KEY_COUNT; first += BATCH_KEYS)
      await this.#write(
        Array.from({ length: BATCH_KEYS }, (_, i) => first + i),
        0,
      );
  }

  /** A few milliseconds of work. */
  async round(): Promise<void> {
    const random = this.#random;
    this.#round++;
    // A cube: half of the updates go to an eighth of the keys.
    const keys = new Set(
      Array.from({ length: BATCH_KEYS }, () => Math.floor(random.next() ** 3 * KEY_COUNT)),
    );
    await this.#write([...keys], DELETE_SHARE);
    for (let i = 0; i < 10; i++) await this.#checkGet(random.below(KEY_COUNT), this.#versions);
    if (this.#round % 10 === 0) this.#checkScan(random.below(KEY_COUNT), random.chance(0.5));
    if (this.#round % 100 === 0) await this.#write(this.#deletedKeys(), 0);
    await this.#lookBack();
    if (this.#round % REOPEN_ROUNDS === 0) await this.#reopen();
  }

  async close(): Promise<void> {
    this.#frozen?.snapshot.close();
    this.#frozen = undefined;
    await this.#engine?.close();
    this.#engine = undefined;
  }

  async #write(keys: readonly number[], deleteShare: number): Promise<void> {
    const batch = new WriteBatch();
    for (const i of keys) {
      const isDelete = this.#random.chance(deleteShare);
      // The round makes versions rise even across deletions.
      const version = isDelete ? 0 : Math.max(this.#versions[i]! + 1, this.#round + 1);
      if (isDelete) batch.delete(keyOf(i));
      else batch.put(keyOf(i), textOf(i, version));
      this.#versions[i] = version;
    }
    await this.engine.write(batch);
    this.writes += keys.length;
  }

  /** What was deleted comes back, so that the live set stays what it is. */
  #deletedKeys(): number[] {
    return Array.from(this.#versions.keys()).filter((i) => this.#versions[i] === 0);
  }

  async #checkGet(i: number, versions: Uint32Array, snapshot?: Snapshot): Promise<void> {
    const value = await this.engine.get(keyOf(i), snapshot === undefined ? {} : { snapshot });
    const version = versions[i]!;
    const expected = version === 0 ? undefined : textOf(i, version);
    assert.equal(value?.toString(), expected, `round ${this.#round}: ${keyOf(i)}`);
    this.reads++;
  }

  #checkScan(from: number, reverse: boolean): void {
    const to = Math.min(KEY_COUNT, from + SCAN_KEYS);
    const expected: [string, string][] = [];
    for (let i = from; i < to; i++)
      if (this.#versions[i] !== 0) expected.push([keyOf(i), textOf(i, this.#versions[i]!)]);
    if (reverse) expected.reverse();
    const scan = this.engine.scan({ gte: keyOf(from), lt: keyOf(to), reverse });
    const found = Array.from(scan, ([key, value]): [string, string] => [key.toString(), value.toString()]);
    assert.deepEqual(found, expected, `round ${this.#round}: a scan from ${keyOf(from)}`);
    this.reads += found.length;
  }

  /** A snapshot that lives for many flushes and compactions answers as of its moment. */
  async #lookBack(): Promise<void> {
    if (this.#frozen === undefined) {
      const until = this.#round + SNAPSHOT_ROUNDS;
      this.#frozen = { snapshot: this.engine.snapshot(), versions: this.#versions.slice(), until };
      return;
    }
    const { snapshot, versions, until } = this.#frozen;
    await this.#checkGet(this.#random.below(KEY_COUNT), versions, snapshot);
    if (this.#round < until) return;
    snapshot.close();
    this.#frozen = undefined;
  }

  async #reopen(): Promise<void> {
    await this.close();
    this.#engine = await StorageEngine.open(this.#path, SOAK_OPTIONS);
    this.reopenings++;
  }
}
