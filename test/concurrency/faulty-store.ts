/**
 * Stores whose workers fail as planned, and what must hold of them afterwards.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { openEngine } from '../../src/main/engine.ts';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { keyOf, TINY, textsOf, valueFor } from '../helpers/engines.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { FaultPlan } from './fault-plan.ts';

const KEYS = 60;
/** Small, so that running out of memory takes a moment and not the machine. */
const HEAP_MB = 32;

/** The object through which piscina makes its threads. */
const workerThreads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker };

/** While the test runs, threads have small heaps, and those that ask for it are terminated. */
export function attendWorkers(t: TestContext, plans: Iterable<FaultPlan>): void {
  const original = workerThreads.Worker;
  const workers = new Set<Worker>();
  workerThreads.Worker = class extends Worker {
    constructor(file: string | URL, options?: WorkerOptions) {
      super(file, { ...options, resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } });
      workers.add(this);
      this.once('exit', () => workers.delete(this));
    }
  };
  const attend = (): void => {
    for (const plan of plans) {
      const victim = plan.takeVictim();
      if (victim === 0) continue;
      for (const worker of workers) if (worker.threadId === victim) void worker.terminate();
    }
  };
  const timer = setInterval(attend, 2);
  t.after(() => {
    clearInterval(timer);
    workerThreads.Worker = original;
  });
}

/** What a store with a history of `rounds` writes per key must hold. */
export function contentAfter(rounds: number): [string, string][] {
  return Array.from({ length: KEYS }, (_, i) => [keyOf(i), valueFor(i, 40, rounds - 1)]);
}

async function writeRound(engine: StorageEngine, round: number): Promise<void> {
  await Promise.all(Array.from({ length: KEYS }, (_, i) => engine.put(keyOf(i), valueFor(i, 40, round))));
}

/** A closed store of a few overlapping tables, to copy from; its history has two rounds. */
export async function templateStore(t: TestContext): Promise<string> {
  const directory = storeDirectory(t);
  const engine = await StorageEngine.open(directory, { ...TINY, threads: 0 });
  for (let round = 0; round < 2; round++) {
    await writeRound(engine, round);
    await engine.flush();
  }
  await engine.close();
  return directory;
}

/** A copy of `template`, open, with a third round that is still in memory. */
export class FaultyStore {
  readonly plan: FaultPlan;
  readonly path: string;
  readonly engine: StorageEngine;
  readonly backgroundErrors: string[] = [];

  private constructor(plan: FaultPlan, path: string, engine: StorageEngine) {
    this.plan = plan;
    this.path = path;
    this.engine = engine;
    engine.on('backgroundError', ({ error }) => this.backgroundErrors.push(error.message));
  }

  static async open(
    template: string,
    name: string,
    options: EngineOptions & { readonly stallLimitMs?: number; readonly workerUrl?: URL } = {},
    plan: FaultPlan = new FaultPlan(),
  ): Promise<FaultyStore> {
    const path = join(dirname(template), name);
    copyOpenStore(template, path);
    const { stallLimitMs, workerUrl, ...rest } = options;
    const engine = await openEngine(
      path,
      { ...TINY, writeBufferSize: 64 * 1024, ...rest },
      { workerUrl: workerUrl ?? new URL(plan.spec.module), fileSystem: plan.spec, stallLimitMs },
    );
    await writeRound(engine, 2);
    return new FaultyStore(plan, path, engine);
  }

  checkContent(): void {
    assert.deepEqual(textsOf(this.engine.scan()), contentAfter(3));
    assert.equal(this.engine.getSync(keyOf(7))?.toString(), valueFor(7, 40, 2));
  }

  /** After close(): the next open finds everything, and nothing besides. */
  async checkReopened(rounds = 3): Promise<void> {
    const engine = await StorageEngine.open(this.path, { ...TINY, threads: 0 });
    try {
      assert.deepEqual(textsOf(engine.scan()), contentAfter(rounds));
      await engine.verify();
      const tables = readdirSync(this.path).filter((name) => /\.sst(?:\.new)?$/.test(name));
      const known = engine.stats().levels.reduce((sum, level) => sum + level.files, 0);
      assert.equal(tables.length, known, `orphans among ${tables.join(', ')}`);
    } finally {
      await engine.close();
    }
  }
}
