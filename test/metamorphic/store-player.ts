/**
 * Plays a history on a real store.
 *
 *   open()      before the first operation
 *   perform()   one operation; its answer
 *   end()       closes what is open, whatever has happened
 *
 * Invariants: anything that fails, background work included, fails the operation during or after which it was noticed.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openEngine } from '../../src/main/engine.ts';
import {
  type Bytes,
  type EngineOptions,
  type KeyRange,
  type Scan,
  type Snapshot,
  type StorageEngine,
  type Transaction,
  WriteBatch,
} from '../../src/main/index.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { SettableClock } from '../helpers/settable-clock.ts';
import { type ModelBounds, type ModelRange, toBytes } from '../helpers/sorted-model.ts';
import type { Answer } from './answers.ts';
import { type Change, type Operation, valueText } from './operations.ts';

/** When the time of a history begins. */
const BEGIN_MS = 1_000_000;

export class StorePlayer {
  readonly #optionsOf: (generation: number) => EngineOptions;
  readonly #root: string;
  readonly #clock = new SettableClock(BEGIN_MS);
  readonly #snapshots = new Map<number, Snapshot>();
  readonly #scans = new Map<number, Scan>();
  /** Flushes and compactions that nobody awaits yet. */
  #pending: Promise<void>[] = [];
  #failure: { readonly cause: unknown } | undefined;
  #engine: StorageEngine | undefined;
  #directory: string;
  #generation = 0;
  #isClosing = false;

  /** `optionsOf`: the options of each opening, counted from 0. `root` must not exist. */
  constructor(optionsOf: (generation: number) => EngineOptions, root: string) {
    this.#optionsOf = optionsOf;
    this.#root = root;
    this.#directory = join(root, '0');
  }

  async open(): Promise<void> {
    mkdirSync(this.#root, { recursive: true });
    const options = this.#optionsOf(this.#generation);
    this.#engine = await openEngine(this.#directory, options, { clock: this.#clock });
    this.#engine.on('backgroundError', ({ error }) => this.#fail(error));
  }

  async perform(operation: Operation): Promise<Answer> {
    const answer = await this.#perform(operation, this.#engine!);
    if (this.#failure !== undefined) throw this.#failure.cause;
    return answer;
  }

  /** The model's time begins with 0. */
  #ago(moment: number | undefined): string | undefined {
    return moment === undefined ? undefined : String(moment - BEGIN_MS);
  }

  async end(): Promise<void> {
    await this.#engine?.close().catch((error: unknown) => this.#fail(error));
    rmSync(this.#root, { recursive: true, force: true });
  }

  #fail(cause: unknown): void {
    this.#failure ??= { cause };
  }

  #perform(operation: Operation, engine: StorageEngine): Answer | Promise<Answer> {
    switch (operation[0]) {
      case 'put':
        return done(writeOne(engine, [operation[1], operation[2], operation[3]]));
      case 'delete':
      case 'deleteRange':
        return done(writeOne(engine, [operation[1], null]));
      case 'update':
        return update(engine, operation);
      case 'transaction':
        return transact(engine, operation);
      case 'expiresAt':
        return engine.expiresAt(toBytes(operation[1])).then((moment) => [this.#ago(moment)]);
      case 'pass':
        this.#clock.pass(operation[1]);
        return 'done';
      case 'batch':
        return done(engine.write(batchOf(operation[1])));
      case 'burst':
        return done(Promise.all(operation[1].map((change) => writeOne(engine, change))));
      case 'get':
        return this.#read(operation[2], (at) => [engine.getSync(toBytes(operation[1]), at)]);
      case 'has':
        return this.#read(operation[2], (at) => [engine.hasSync(toBytes(operation[1]), at)]);
      case 'getMany':
        return this.#read(operation[2], (at) => engine.getMany(operation[1].map(toBytes), at));
      case 'scan':
        return this.#read(operation[2], (at) => [...engine.scan({ ...toRange(operation[1]), ...at })].flat());
      case 'snapshot':
        this.#snapshots.set(operation[1], engine.snapshot());
        return 'done';
      case 'closeSnapshot':
        return close(this.#snapshots, operation[1]);
      case 'openScan':
        return this.#read(operation[3], (at) => {
          this.#scans.set(operation[1], engine.scan({ ...toRange(operation[2]), ...at }));
          return 'done';
        });
      case 'step':
        return this.#scans.get(operation[1])?.nextMany(operation[2]).flat() ?? 'absent';
      case 'closeScan':
        return close(this.#scans, operation[1]);
      default:
        return this.#maintain(operation, engine);
    }
  }

  #maintain(
    operation: Extract<
      Operation,
      readonly ['flush' | 'compact' | 'verify' | 'reopen' | 'crash', ...unknown[]]
    >,
    engine: StorageEngine,
  ): Answer | Promise<Answer> {
    switch (operation[0]) {
      case 'flush':
        return this.#background(engine.flush(), operation[1]);
      case 'compact': {
        const [, isAwaited, start, end] = operation;
        const isWhole = start === undefined || end === undefined;
        const range = isWhole ? {} : { start: toBytes(start), end: toBytes(end) };
        return this.#background(engine.compact(range), isAwaited);
      }
      case 'verify':
        return done(engine.verify());
      case 'reopen':
        return this.#reopen(engine);
      case 'crash':
        return this.#crash(engine);
    }
  }

  async #background(work: Promise<void>, isAwaited: boolean): Promise<Answer> {
    this.#pending.push(
      work.catch((error: unknown) => {
        // A compaction that nobody awaited is cancelled when the store is closed.
        if (this.#isClosing && (error as { code?: string }).code === 'STRATA_CLOSED') return;
        this.#fail(error);
      }),
    );
    if (isAwaited) await this.#settled();
    return 'done';
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }

  #read(
    id: number | undefined,
    read: (at: { readonly snapshot?: Snapshot }) => Answer | Promise<Answer>,
  ): Answer | Promise<Answer> {
    if (id === undefined) return read({});
    const snapshot = this.#snapshots.get(id);
    return snapshot === undefined ? 'absent' : read({ snapshot });
  }

  async #reopen(engine: StorageEngine): Promise<Answer> {
    this.#isClosing = true;
    await engine.close();
    return await this.#openAgain();
  }

  /** Goes on with a copy of the directory as it is now, in the middle of whatever the store does. */
  async #crash(engine: StorageEngine): Promise<Answer> {
    const previous = this.#directory;
    this.#directory = join(this.#root, String(this.#generation + 1));
    copyOpenStore(previous, this.#directory);
    this.#isClosing = true;
    await engine.close();
    rmSync(previous, { recursive: true });
    return await this.#openAgain();
  }

  async #openAgain(): Promise<Answer> {
    await this.#settled();
    this.#isClosing = false;
    this.#snapshots.clear();
    this.#scans.clear();
    this.#generation++;
    this.#engine = undefined;
    await this.open();
    return [...this.#engine!.scan()].flat();
  }
}

async function done(work: Promise<unknown>): Promise<Answer> {
  await work;
  return 'done';
}

function close<T extends { close(): void }>(held: Map<number, T>, id: number): Answer {
  const one = held.get(id);
  one?.close();
  return held.delete(id) ? 'done' : 'absent';
}

type Writer = Pick<StorageEngine, 'put' | 'delete' | 'deleteRange'>;
type BatchLike = Pick<Transaction, 'put' | 'delete' | 'deleteRange'>;

function writeOne(engine: Writer, [key, value, ttl]: Change): Promise<void> {
  if (typeof key !== 'string') return engine.deleteRange(toDoomed(key));
  return value === null
    ? engine.delete(toBytes(key))
    : engine.put(toBytes(key), toBytes(valueText(value)), { ttl });
}

function applyTo(target: BatchLike | WriteBatch, [key, value, ttl]: Change): void {
  if (typeof key !== 'string') target.deleteRange(toDoomed(key));
  else if (value === null) target.delete(toBytes(key));
  else target.put(toBytes(key), toBytes(valueText(value)), { ttl });
}

function batchOf(changes: readonly Change[]): WriteBatch {
  const batch = new WriteBatch();
  for (const change of changes) applyTo(batch, change);
  return batch;
}

/** What was there, and what is. */
async function update(
  engine: StorageEngine,
  [, key, value, ttl]: Extract<Operation, readonly ['update', ...(readonly unknown[])]>,
): Promise<Answer> {
  let before: Buffer | undefined;
  const fn = (current: Buffer | undefined): Bytes | undefined => {
    before = current;
    return value === null ? undefined : toBytes(valueText(value));
  };
  const after = await engine.update(toBytes(key), fn, { ttl });
  return [before, after];
}

/** How often it was run, and what it read in the last run. */
async function transact(
  engine: StorageEngine,
  [, keys, bounds, changes, other]: Extract<Operation, readonly ['transaction', ...(readonly unknown[])]>,
): Promise<Answer> {
  let runs = 0;
  const found = await engine.transaction(async (tx) => {
    runs++;
    const values = await tx.getMany(keys.map(toBytes));
    if (other !== undefined && runs === 1) await writeOne(engine, other);
    for (const change of changes) applyTo(tx, change);
    return [...values, ...[...tx.scan(toRange(bounds))].flat()];
  });
  return [String(runs), ...found];
}

function toDoomed(bounds: ModelBounds): KeyRange | { all: true } {
  return Object.keys(bounds).length === 0 ? { all: true } : toRange(bounds);
}

function toRange({ reverse, limit, ...bounds }: ModelRange): object {
  const bytes = Object.entries(bounds).map(([name, key]: [string, string]) => [name, toBytes(key)] as const);
  return {
    ...Object.fromEntries(bytes),
    ...(reverse === undefined ? {} : { reverse }),
    ...(limit === undefined ? {} : { limit }),
  };
}
