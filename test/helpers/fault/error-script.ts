/**
 * One short run through everything a store does, that goes on whatever fails, and notes who was told.
 *
 *   open, puts (one large), batch, synced put, get, scan, flush, overwrite, compact, verify, delete, a put that nobody awaits
 *   before close, close; reopen, synced put, get, close
 *
 * Every step has a time limit: a store that answers nothing is as bad as one that lies.
 */
import { openEngine, type StorageEngine } from '../../../src/main/engine.ts';
import type { BackgroundErrorEvent } from '../../../src/main/store/events.ts';
import type { ModuleSpec } from '../../../src/shared/files/file-system.ts';
import { WriteBatch } from '../../../src/shared/log/write-batch.ts';
import { type Change, WriteModel } from './write-model.ts';

export interface ScriptReport {
  /** What callers were told, as `step: code`. */
  readonly rejected: readonly string[];
  readonly events: readonly string[];
  readonly becameReadOnly: boolean;
  /** Steps that did not end. */
  readonly hung: readonly string[];
  /** The writes in order, and whether each was acknowledged. */
  readonly writes: readonly { readonly change: Change; readonly isAcknowledged: boolean }[];
  /** Reads that gave something else than they had to. */
  readonly wrong: readonly string[];
}

/** A hang is one for ever; a machine with other work has taken 10 s for a step. */
const STEP_LIMIT_MS = 60_000;
const ROWS = 40;

export async function runScript(
  directory: string,
  fileSystem: ModuleSpec,
  threads: number,
): Promise<ScriptReport> {
  const script = new Script(directory, fileSystem, threads);
  await script.session(async (engine) => await script.firstSession(engine));
  await script.session(async (engine) => await script.secondSession(engine));
  return script;
}

class Script implements ScriptReport {
  readonly rejected: string[] = [];
  readonly events: string[] = [];
  readonly hung: string[] = [];
  readonly wrong: string[] = [];
  readonly writes: { change: Change; isAcknowledged: boolean }[] = [];
  becameReadOnly = false;
  readonly #directory: string;
  readonly #fileSystem: ModuleSpec;
  readonly #threads: number;

  constructor(directory: string, fileSystem: ModuleSpec, threads: number) {
    this.#directory = directory;
    this.#fileSystem = fileSystem;
    this.#threads = threads;
  }

  async session(run: (engine: StorageEngine) => Promise<void>): Promise<void> {
    const options = {
      threads: this.#threads,
      writeBufferSize: 128 * 1024,
      maxFileSize: 8192,
      blockSize: 1024,
      cacheSize: 0,
    };
    const open = openEngine(this.#directory, options, { fileSystem: this.#fileSystem });
    const engine = await this.#step('open', open);
    if (engine === undefined) return;
    engine.on('backgroundError', ({ error, operation }: BackgroundErrorEvent) => {
      this.events.push(`${operation}: ${error.code}`);
    });
    await run(engine);
    await this.#step('close', engine.close());
  }

  async firstSession(engine: StorageEngine): Promise<void> {
    for (let i = 0; i < ROWS; i += 10) await this.#put(engine, i, 'first');
    await this.#write(engine, [['large', Buffer.alloc(50_000, 'large')]], false);
    const batch = Array.from({ length: ROWS / 2 }, (_, i) => [key(i * 2), value(i * 2, 'batch')] as const);
    await this.#write(engine, batch, false);
    await this.#write(engine, [[key(1), value(1, 'synced')]], true);
    this.#get(engine, key(1));
    this.#scan(engine);
    await this.#step('flush', engine.flush());
    await this.#write(engine, [[key(2), undefined]], true);
    for (let i = 1; i < ROWS; i += 6) await this.#put(engine, i, 'second');
    await this.#step('flush again', engine.flush());
    this.#get(engine, key(4));
    await this.#step('compact', engine.compact());
    this.#scan(engine);
    await this.#put(engine, 3, 'third');
    await this.#step('verify', engine.verify());
    this.becameReadOnly ||= engine.status === 'read-only';
    // Nobody awaits these two: close() lets them end.
    void this.#write(engine, [[key(5), value(5, 'late')]], true);
    void this.#write(engine, [[key(6), value(6, 'late')]], false);
  }

  async secondSession(engine: StorageEngine): Promise<void> {
    this.#get(engine, key(8));
    this.#scan(engine);
    await this.#write(engine, [[key(7), value(7, 'fourth')]], true);
    this.becameReadOnly ||= engine.status === 'read-only';
  }

  async #put(engine: StorageEngine, row: number, text: string): Promise<void> {
    await this.#write(engine, [[key(row), value(row, text)]], false);
  }

  async #write(engine: StorageEngine, change: Change, sync: boolean): Promise<void> {
    const write = { change, isAcknowledged: false };
    this.writes.push(write);
    const batch = new WriteBatch();
    for (const [k, v] of change) {
      if (v === undefined) batch.delete(k);
      else batch.put(k, v);
    }
    const work = engine.write(batch, { sync }).then(() => {
      write.isAcknowledged = true;
      return true;
    });
    await this.#step('write', work);
  }

  /** A value must be that of the last acknowledged write, or of one that failed since. */
  #get(engine: StorageEngine, wanted: string): void {
    try {
      this.#check(wanted, engine.getSync(wanted));
    } catch (error) {
      this.#note('get', error);
    }
  }

  #scan(engine: StorageEngine): void {
    try {
      const found = new Map([...engine.scan()].map(([k, v]) => [k.toString(), v]));
      for (let i = 0; i < ROWS; i++) this.#check(key(i), found.get(key(i)));
    } catch (error) {
      this.#note('scan', error);
    }
  }

  #check(wanted: string, found: Uint8Array | undefined): void {
    const allowed: (Uint8Array | undefined)[] = [undefined];
    for (const { change, isAcknowledged } of this.writes) {
      for (const [k, v] of change) {
        if (k !== wanted) continue;
        if (isAcknowledged) allowed.length = 0;
        allowed.push(v);
      }
    }
    const isAllowed = allowed.some((v) =>
      v === undefined || found === undefined ? v === found : Buffer.compare(v, found) === 0,
    );
    if (!isAllowed) this.wrong.push(wanted);
  }

  async #step<T>(name: string, work: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        this.hung.push(name);
        resolve(undefined);
      }, STEP_LIMIT_MS);
    });
    try {
      return await Promise.race([work, limit]);
    } catch (error) {
      this.#note(name, error);
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  #note(step: string, error: unknown): void {
    const { code } = error as { code?: unknown };
    this.rejected.push(`${step}: ${typeof code === 'string' ? code : String(error)}`);
  }
}

/**
 * What the reopened store may hold: every acknowledged write, and of the failed ones any; in order, each batch whole.
 * undefined: it holds that.
 */
export function contentProblem(
  writes: ScriptReport['writes'],
  found: readonly (readonly [Uint8Array, Uint8Array])[],
): string | undefined {
  let candidates = [new WriteModel()];
  for (const [index, { change, isAcknowledged }] of writes.entries()) {
    const taken = candidates.map((model) => {
      const next = new WriteModel(model.values);
      next.submit(index, change);
      return next;
    });
    // Failed writes are few: a store that failed is read-only. Models that are the same by now are kept once.
    candidates = isAcknowledged ? taken : [...candidates, ...taken];
    candidates = [...new Map(candidates.map((model) => [model.state, model])).values()].slice(0, 64);
  }
  const actual = new Map(found.map(([k, v]) => [Buffer.from(k).toString(), v]));
  const state = new WriteModel(actual).state;
  if (candidates.some((model) => model.state === state)) return undefined;
  return `holds ${actual.size} entries; ${candidates.map((model) => model.values.size).join(' or ')} expected`;
}

function key(row: number): string {
  return `row ${String(row).padStart(3, '0')}`;
}

function value(row: number, text: string): Uint8Array {
  return Buffer.from(`${text} ${row} `.repeat(20 + row));
}
