/**
 * Runs workloads on stores and collects outcomes.
 *
 *   for each workload, for each round, for each store (in an order that rotates with the round):
 *     a fresh, copied or shared directory  ->  a child process  ->  an outcome
 *
 * Interleaved like this, a machine that slows down for a while slows everyone, and a ratio is taken within a round.
 *
 * Invariants: loaded stores are made when first needed, and removed when no further workload needs them. Readers share
 *             one; writers get a copy. A store that fails is left out of that round alone, and reported.
 */

import { mkdirSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchArguments } from './arguments.ts';
import { runTask } from './children.ts';
import type { Outcome } from './measure/measurement.ts';
import { runDbBench } from './stores/db-bench.ts';
import { DB_BENCH, isAble, type StoreName } from './stores/store.ts';
import type { Reply, Task } from './task.ts';
import { remove } from './temp-directories.ts';
import type { Workload } from './workloads/workload.ts';

const SEED = 42;
/** A child that has not answered by then hangs. Far above what anything takes. */
const LEAST_TIMEOUT_MS = 120_000;
const TIMEOUT_US_PER_RECORD = 400;
const QUICK_SETTLE_MS = 20_000;
const SETTLE_MS = 300_000;
const QUICK_CALM_MS = 300;
const CALM_MS = 500;

type Base = { readonly directory: string; readonly error: string | undefined };

export class Runner {
  readonly #options: BenchArguments;
  readonly #stores: readonly StoreName[];
  readonly #home: string;
  readonly #onOutcome: (outcome: Outcome, workload: Workload) => void;
  readonly #bases = new Map<string, Base>();
  #count = 0;

  constructor(
    options: BenchArguments,
    stores: readonly StoreName[],
    home: string,
    onOutcome: (outcome: Outcome, workload: Workload) => void,
  ) {
    this.#options = options;
    this.#stores = stores;
    this.#home = home;
    this.#onOutcome = onOutcome;
  }

  async run(workloads: readonly Workload[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const [index, workload] of workloads.entries()) {
      const rounds = workload.isLong ? 1 : this.#options.rounds;
      for (let round = 0; round < rounds; round++) {
        for (const store of this.#order(workload, round)) {
          const outcome = await this.#measure(workload, store, round);
          outcomes.push(outcome);
          this.#onOutcome(outcome, workload);
        }
      }
      this.#forgetBases(workloads.slice(index + 1));
    }
    return outcomes;
  }

  #order(workload: Workload, round: number): StoreName[] {
    const able = this.#stores.filter(
      (store) => isAble(store, workload) && (round === 0 || !this.#options.isQuick || !isExtra(store)),
    );
    const turnAt = round % Math.max(1, able.length);
    return [...able.slice(turnAt), ...able.slice(0, turnAt)];
  }

  async #measure(workload: Workload, store: StoreName, round: number): Promise<Outcome> {
    const named = { workload: workload.name, store, round };
    const base = workload.base === 'loaded' ? await this.#base(workload, store) : undefined;
    if (base?.error !== undefined) return { ...named, measurement: undefined, error: `load: ${base.error}` };
    const isShared = base !== undefined && !workload.writes;
    const directory = isShared ? base.directory : this.#fresh();
    try {
      if (base !== undefined && !isShared) await cp(base.directory, directory, { recursive: true });
      const { seconds } = this.#options;
      const task: Task = {
        ...this.#taskBase(workload, store, directory),
        kind: 'measure',
        workload: workload.name,
        seconds,
        seed: SEED + round,
      };
      const reply = await this.#send(task, workload);
      if (reply.kind === 'measured') return { ...named, measurement: reply.measurement, error: undefined };
      return {
        ...named,
        measurement: undefined,
        error: reply.kind === 'failed' ? reply.message : reply.kind,
      };
    } finally {
      if (!isShared) remove(directory);
    }
  }

  async #base(workload: Workload, store: StoreName): Promise<Base> {
    const key = baseKey(workload, store, this.#options.records);
    let base = this.#bases.get(key);
    if (base === undefined) {
      const directory = this.#fresh();
      const reply = await this.#send(
        { ...this.#taskBase(workload, store, directory), kind: 'load' },
        workload,
      );
      base = { directory, error: reply.kind === 'failed' ? reply.message : undefined };
      this.#bases.set(key, base);
    }
    return base;
  }

  #forgetBases(further: readonly Workload[]): void {
    const { records } = this.#options;
    const needed = new Set(
      further
        .filter(({ base }) => base === 'loaded')
        .flatMap((workload) => this.#stores.map((store) => baseKey(workload, store, records))),
    );
    for (const [key, { directory }] of this.#bases) {
      if (needed.has(key)) continue;
      remove(directory);
      this.#bases.delete(key);
    }
  }

  async #send(task: Task, workload: Workload): Promise<Reply> {
    const timeoutMs =
      LEAST_TIMEOUT_MS +
      (task.records * TIMEOUT_US_PER_RECORD) / 1000 +
      this.#options.seconds * workload.timeFactor * 1000 +
      task.settleLimitMs * 2;
    if (task.store === DB_BENCH)
      return await runDbBench(task, workload.dbBench ?? [], workload.base === 'loaded', timeoutMs);
    return await runTask(task, timeoutMs, task.kind === 'measure' ? this.#options.nodeOptions : []);
  }

  #taskBase({ shape, records }: Workload, store: StoreName, directory: string): Omit<Task, 'kind'> {
    const { isQuick, writeBufferBytes, cacheBytes } = this.#options;
    return {
      store,
      directory,
      records: records(this.#options.records),
      shape,
      writeBufferBytes,
      cacheBytes,
      settleLimitMs: isQuick ? QUICK_SETTLE_MS : SETTLE_MS,
      calmMs: isQuick ? QUICK_CALM_MS : CALM_MS,
    };
  }

  #fresh(): string {
    const directory = join(this.#home, String(this.#count++));
    mkdirSync(directory);
    return directory;
  }
}

/** No row of the project is about them, except stretches: one round is enough to be quick. */
function isExtra(store: StoreName): boolean {
  return store === 'rocksdb' || store === DB_BENCH;
}

function baseKey({ shape, records }: Workload, store: StoreName, scale: number): string {
  return `${store}${shape.suffix}/${records(scale)}`;
}
