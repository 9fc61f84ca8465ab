/**
 * ColdRunner: fills a store when it is first needed, and runs row by row, contestant by contestant, each in a process of its
 * own, with its data out of the page cache and under limits where the machine has them.
 *
 * Invariants: a failed fill or row is an outcome, and the others are measured. A store is filled once, under the name of its
 *             sizes; the row that writes gets a copy, so that all find the same data.
 */
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runChild, runTask } from '../children.ts';
import type { StoreName } from '../stores/store.ts';
import { DEFAULT_SHAPE } from '../workloads/workload.ts';
import type { ColdOptions, Contestant } from './cold-options.ts';
import type { ColdRow } from './cold-rows.ts';
import type { ColdOutcome, ColdReply, ColdTask } from './cold-task.ts';
import type { Limits } from './limits.ts';
import { dropFromPageCache } from './page-cache.ts';

const CHILD: string = fileURLToPath(new URL(`./cold-child.${extension()}`, import.meta.url));
const WITHOUT_KOFFI: string = new URL(`./without-koffi.${extension()}`, import.meta.url).href;
const SEED = 42;
const BUFFER_BYTES: number = 64 * 1024 ** 2;
const SETTLE_LIMIT_MS = 120_000;
const CALM_MS = 300;
const FILL_TIMEOUT_MS = 900_000;
/** For what is around the measurement: opening and closing on a slow disk. */
const AROUND_MS = 120_000;

function extension(): 'ts' | 'js' {
  return import.meta.url.endsWith('.ts') ? 'ts' : 'js';
}

export interface ColdRunEvents {
  readonly onFill: (store: StoreName) => void;
  readonly onOutcome: (outcome: ColdOutcome) => void;
  /** The data may be in memory; said once. */
  readonly onWarm: (reason: string) => void;
}

export class ColdRunner {
  readonly #options: ColdOptions;
  readonly #contestants: readonly Contestant[];
  /** Where filled stores are, which may outlive the run. */
  readonly #home: string;
  readonly #scratch: string;
  readonly #limits: Limits | undefined;
  readonly #events: ColdRunEvents;
  readonly #fills = new Map<StoreName, { readonly directory: string; readonly error: string | undefined }>();
  #isWarmSaid = false;

  constructor(
    options: ColdOptions,
    /** Those of the options that are there. */
    contestants: readonly Contestant[],
    folders: { readonly home: string; readonly scratch: string },
    limits: Limits | undefined,
    events: ColdRunEvents,
  ) {
    this.#options = options;
    this.#contestants = contestants;
    this.#home = folders.home;
    this.#scratch = folders.scratch;
    this.#limits = limits;
    this.#events = events;
  }

  async run(): Promise<ColdOutcome[]> {
    const outcomes: ColdOutcome[] = [];
    for (const row of this.#options.rows) {
      for (const contestant of this.#contestants) {
        const outcome = await this.#measure(row, contestant);
        outcomes.push(outcome);
        this.#events.onOutcome(outcome);
      }
    }
    return outcomes;
  }

  async #measure(row: ColdRow, { store, mode }: Contestant): Promise<ColdOutcome> {
    const named = { store, mode, row: row.name };
    const failed = (error: string): ColdOutcome => ({ ...named, measurement: undefined, error });
    const filled = await this.#filled(store);
    if (filled.error !== undefined) return failed(`fill: ${filled.error}`);
    const directory = row.writes ? join(this.#scratch, `copy-${store}`) : filled.directory;
    try {
      if (row.writes) cpSync(filled.directory, directory, { recursive: true });
      const reply = await this.#send(row, { store, mode }, directory);
      return reply.kind === 'failed'
        ? failed(this.#explain(reply.message))
        : { ...named, measurement: reply.measurement, error: undefined };
    } finally {
      if (row.writes) rmSync(directory, { recursive: true, force: true });
    }
  }

  #send(
    row: ColdRow,
    { store, mode }: Pick<Contestant, 'store' | 'mode'>,
    directory: string,
  ): Promise<ColdReply> {
    const { records, valueBytes, cacheBytes, seconds, nodeOptions } = this.#options;
    const task: ColdTask = {
      kind: 'cold',
      store,
      mode,
      row: row.name,
      directory,
      scratch: this.#scratch,
      records,
      valueBytes,
      cacheBytes,
      seconds,
      seed: SEED,
      counter: this.#limits?.counter,
    };
    return runChild<ColdTask, ColdReply>(CHILD, task, {
      timeoutMs: AROUND_MS + seconds * 3000,
      execArgv: [...(mode === 'no-koffi' ? ['--import', WITHOUT_KOFFI] : []), ...nodeOptions],
      onReady: (processId) => {
        this.#drop(directory);
        this.#limits?.admit(processId);
      },
    });
  }

  #explain(message: string): string {
    const isKilled = message.startsWith('SIGKILL') && this.#limits !== undefined;
    return isKilled ? `${message}, which is what the limit of memory does` : message;
  }

  #drop(directory: string): void {
    const problem = dropFromPageCache(directory);
    if (problem === undefined || this.#isWarmSaid) return;
    this.#isWarmSaid = true;
    this.#events.onWarm(problem);
  }

  async #filled(
    store: StoreName,
  ): Promise<{ readonly directory: string; readonly error: string | undefined }> {
    let filled = this.#fills.get(store);
    if (filled === undefined) {
      const { records, valueBytes } = this.#options;
      const directory = join(this.#home, `cold-${store}-${records}x${valueBytes}`);
      const error = existsSync(directory) ? undefined : await this.#fill(store, directory);
      filled = { directory, error };
      this.#fills.set(store, filled);
    }
    return filled;
  }

  /** Returns what went wrong. The name is given when the store is whole. */
  async #fill(store: StoreName, directory: string): Promise<string | undefined> {
    this.#events.onFill(store);
    const { records, valueBytes, cacheBytes } = this.#options;
    const half = `${directory}-unfinished`;
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half);
    const reply = await runTask(
      {
        kind: 'load',
        // In random order, and with syncs, it would write a multiple of the data for many minutes.
        store: store === 'lmdb' ? 'lmdb-nosync' : store,
        isInOrder: store === 'lmdb',
        directory: half,
        records,
        shape: { ...DEFAULT_SHAPE, valueBytes },
        writeBufferBytes: BUFFER_BYTES,
        cacheBytes,
        settleLimitMs: SETTLE_LIMIT_MS,
        calmMs: CALM_MS,
      },
      FILL_TIMEOUT_MS,
      [],
    );
    if (reply.kind === 'failed') return reply.message;
    renameSync(half, directory);
    return undefined;
  }
}
