/**
 * Power cuts, again and again, as the logs see them: of what no sync has covered, the disk keeps what it likes.
 *
 *   each life    opens what the last cut left; writes some batches, some of them synced; now and then flushes
 *   each cut     of every log: unsynced pages are kept, or read as zeros, one by one; the unsynced tail may be missing,
 *                and so may a log whose directory entry was never synced
 *   the oracle   the store opens, and holds the batches 1..P for some P from the last that was synced to the last there is
 *
 * Logs given up by one recovery lie around in the next ones, with whatever the cuts leave of them.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type EngineOptions, StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { addTo } from '../helpers/batch-entries.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { type ModelEntry, SortedModel, toText } from '../helpers/sorted-model.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { applyBatch, type PlannedBatch, plannedBatch } from './crash-plan.ts';

const CHAINS = runBudget('STRATA_POWER_CHAINS', 10);
const LIVES = 8;
const PAGE_BYTES = 4096;
const OPTIONS: EngineOptions = { threads: 0, compression: 'none', writeBufferSize: 262144 };

test('logs survive power cut upon power cut', async (t) => {
  const seed = runSeed(t);
  const root = temporaryDirectory(t);
  for (let chain = 0; chain < CHAINS; chain++) {
    const run = new PowerChain(seededRandom(seed + chain), seed, chain, join(root, String(chain)));
    for (let life = 0; life < LIVES; life++) await run.live(life);
  }
  t.diagnostic(`FIGURE power-cuts=${CHAINS * LIVES} chains=${CHAINS} lost=0`);
});

class PowerChain {
  readonly #random: Random;
  readonly #seed: number;
  readonly #chain: number;
  readonly #root: string;
  /** How much of each log is on the disk for certain. */
  readonly #synced = new Map<string, number>();
  /** What no cut can take away any more, and what was written on top of it. */
  readonly #durable = new SortedModel();
  #pending: PlannedBatch[] = [];
  #batchNumber = 0;
  #cuts: string[] = [];

  constructor(random: Random, seed: number, chain: number, root: string) {
    this.#random = random;
    this.#seed = seed;
    this.#chain = chain;
    this.#root = root;
  }

  async live(life: number): Promise<void> {
    const directory = join(this.#root, String(life));
    const engine = await this.#openAndCompare(directory);
    const random = this.#random;
    for (let i = random.below(6); i > 0; i--) {
      const batch = plannedBatch({ seed: this.#seed, round: this.#chain }, this.#batchNumber++);
      this.#pending.push(batch);
      const sync = random.chance(0.25);
      await engine.write(toWriteBatch(batch), { sync });
      if (sync) this.#noteSynced(directory);
      if (random.chance(0.06)) {
        await engine.flush();
        this.#settle();
      }
    }
    const next = join(this.#root, String(life + 1));
    copyOpenStore(directory, next);
    await engine.close();
    rmSync(directory, { recursive: true });
    this.#cutPower(next);
  }

  /** Takes over the prefix that the store holds. */
  async #openAndCompare(directory: string): Promise<StorageEngine> {
    let engine: StorageEngine;
    try {
      engine = await StorageEngine.open(directory, OPTIONS);
    } catch (error) {
      throw new Error(`${this.#context()}: it does not open`, { cause: error });
    }
    const found = new SortedModel([...engine.scan()].map(([k, v]): ModelEntry => [toText(k), toText(v)]));
    const model = this.#durable.clone();
    for (let n = 0; n <= this.#pending.length; n++) {
      if (n > 0) applyBatch(model, this.#pending[n - 1]!);
      if (model.difference(found) !== undefined) continue;
      // The next life goes on from here; what was lost must stay away.
      this.#pending = this.#pending.slice(0, n);
      return engine;
    }
    await engine.close();
    assert.fail(
      `${this.#context()}: it holds no prefix of the ${this.#pending.length} batches since the last sync`,
    );
  }

  #settle(): void {
    for (const batch of this.#pending) applyBatch(this.#durable, batch);
    this.#pending = [];
  }

  #context(): string {
    return `seed ${this.#seed}, chain ${this.#chain}, the last cuts: ${this.#cuts.slice(-12).join('; ')}`;
  }

  #noteSynced(directory: string): void {
    this.#settle();
    for (const name of logsIn(directory)) this.#synced.set(name, statSync(join(directory, name)).size);
  }

  #cutPower(directory: string): void {
    const kept = this.#random.pick([0, 0.5, 0.5, 0.8, 1]);
    for (const name of logsIn(directory)) this.#cutLog(join(directory, name), name, kept);
  }

  #cutLog(path: string, name: string, kept: number): void {
    const random = this.#random;
    const synced = this.#synced.get(name);
    if (synced === undefined && !random.chance(Math.max(kept, 0.6))) {
      this.#cuts.push(`${name} is gone`);
      rmSync(path);
      return;
    }
    const bytes = readFileSync(path);
    const from = synced ?? 0;
    for (let page = from - (from % PAGE_BYTES); page < bytes.length; page += PAGE_BYTES) {
      if (random.chance(kept)) continue;
      this.#cuts.push(`${name} from ${Math.max(page, from)} of ${bytes.length} is zero`);
      bytes.fill(0, Math.max(page, from), Math.min(page + PAGE_BYTES, bytes.length));
    }
    const length = random.chance(0.3) ? random.between(from, bytes.length) : bytes.length;
    if (length < bytes.length) this.#cuts.push(`${name} ends at ${length} of ${bytes.length}`);
    writeFileSync(path, bytes.subarray(0, length));
  }
}

function logsIn(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith('.log'));
}

function toWriteBatch({ entries }: PlannedBatch): WriteBatch {
  const batch = new WriteBatch();
  for (const entry of entries) addTo(batch, entry);
  return batch;
}
