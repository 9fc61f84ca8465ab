/**
 * A run of the real engine, real workers included, over the tracing file system: puts, deletes, batches and large values,
 * synced and not, many in flight; ingestions, flushes, compactions, reopening; a slow disk under the tables at times, so that
 * several memtables and their logs wait at once.
 *
 * The history and the crash points come from the same clock. Which operations fall together differs from run to run, as
 * threads do; the writes themselves are those of the seed.
 */
import { openEngine, type StorageEngine } from '../../../src/main/engine.ts';
import type { EngineOptions } from '../../../src/main/store/open-request.ts';
import { WriteBatch } from '../../../src/shared/log/write-batch.ts';
import { type Random, seededRandom } from '../rng.ts';
import { SMALL_PAGES } from '../small-pages.ts';
import { DiskModel } from './disk-model.ts';
import { FaultControl, type Omission } from './fault-control.ts';
import { faultySpec } from './faulty-file-system.ts';
import { Trace } from './trace.ts';
import { type Change, WriteModel } from './write-model.ts';

export interface RunOptions {
  /** Of the store; made by the run unless `initial` is given. */
  readonly directory: string;
  readonly seed: number;
  /** How many writes, batches counted as one. */
  readonly writes: number;
  readonly omission?: Omission;
  readonly threads?: number;
  /** What `directory` holds already, with the history that led to it. */
  readonly initial?: { readonly files: ReadonlyMap<string, Uint8Array>; readonly model: WriteModel };
}

export interface TracedRun {
  readonly disk: DiskModel;
  readonly model: WriteModel;
  /** Crash points are 0 .. moments. */
  readonly moments: number;
  /** Traced operations on the disk. */
  readonly operations: number;
  readonly changedBuffers: number;
  readonly leaks: object;
  /** Positions that were given out, when, and behind how many writes. */
  readonly positions: readonly GivenPosition[];
}

export interface GivenPosition {
  readonly position: string;
  readonly moment: number;
  readonly writes: number;
}

const TRACE_BYTES = 48 * 1024 * 1024;
/** Small enough for many memtables and tables, large enough for values that go to the log through the thread pool. */
const WRITE_BUFFERS: readonly number[] = [12_000, 24_000, 64_000];

export async function traceRun(options: RunOptions): Promise<TracedRun> {
  const random = seededRandom(options.seed);
  const control = new FaultControl();
  const trace = new Trace(TRACE_BYTES);
  const model = options.initial?.model ?? new WriteModel();
  control.omit(options.omission ?? 'none');
  control.setScribble(true);
  const session = new Session(options, random, control, trace, model);
  await session.run();
  const records = trace.records();
  return {
    disk: new DiskModel(options.directory, records, options.initial?.files),
    model,
    moments: trace.now,
    operations: records.length,
    changedBuffers: control.changedBufferCount,
    leaks: control.openHandles(),
    positions: session.positions,
  };
}

class Session {
  readonly #options: RunOptions;
  readonly #random: Random;
  readonly #control: FaultControl;
  readonly #trace: Trace;
  readonly #model: WriteModel;
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #keys: string[];
  #engine!: StorageEngine;
  #written = 0;
  /** Of the consumer of the changes. */
  #followed: { position: string; writes: number } | undefined;
  #following: Promise<void> = Promise.resolve();
  readonly positions: GivenPosition[] = [];

  constructor(options: RunOptions, random: Random, control: FaultControl, trace: Trace, model: WriteModel) {
    this.#options = options;
    this.#random = random;
    this.#control = control;
    this.#trace = trace;
    this.#model = model;
    this.#keys = Array.from({ length: 60 }, (_, i) => `key${String(i * 7).padStart(4, '0')}`);
  }

  async run(): Promise<void> {
    await this.#open();
    while (this.#written < this.#options.writes) await this.#step();
    await this.#settle();
    await this.#close();
  }

  async #open(): Promise<void> {
    const { seed, threads, directory } = this.#options;
    const options: EngineOptions = {
      threads: threads ?? 2,
      writeBufferSize: WRITE_BUFFERS[seed % WRITE_BUFFERS.length]!,
      maxFileSize: 8192,
      blockSize: 512,
      cacheSize: 0,
      retainChanges: { bytes: 2 ** 40 },
    };
    const fileSystem = faultySpec({ control: this.#control.buffer, trace: this.#trace.buffer });
    const pageLimits = seed % 2 === 0 ? undefined : SMALL_PAGES;
    this.#engine = await openEngine(directory, options, { fileSystem, pageLimits });
    this.#followed ??= { position: this.#engine.position, writes: this.#model.length };
    this.#following = this.#follow(this.#engine, this.#followed);
  }

  /** Notes each position that it is given. Ends with the store. */
  async #follow(engine: StorageEngine, { position: after }: { readonly position: string }): Promise<void> {
    try {
      for await (const { position, more } of engine.changes({ after })) {
        if (more === true) continue;
        this.#followed = { position, writes: this.#followed!.writes + 1 };
        this.positions.push({ ...this.#followed, moment: this.#trace.tick() });
      }
    } catch (error) {
      if ((error as { readonly code?: string }).code !== 'STRATA_CLOSED') throw error;
    }
  }

  async #close(): Promise<void> {
    const count = this.#model.length;
    const { position } = this.#engine;
    this.positions.push({ position, writes: count, moment: this.#trace.tick() });
    await this.#engine.close();
    await this.#following;
    this.#model.promise(this.#trace.tick(), count);
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  #track(work: Promise<unknown>): void {
    const tracked = work.finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const draw = random.next();
    if (draw < 0.86) {
      const burst = random.chance(0.2) ? random.between(2, 12) : 1;
      for (let i = 0; i < burst; i++) this.#write();
      if (random.chance(0.4)) await this.#settle();
      else if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
    } else if (draw < 0.93) {
      this.#control.setLatency({ ms: random.between(1, 8), kinds: ['datasync', 'create'], types: ['table'] });
    } else if (draw < 0.955) {
      this.#control.setLatency(undefined);
      this.#track(this.#promised((engine) => engine.flush()));
    } else if (draw < 0.97) {
      this.#control.setLatency(undefined);
      this.#track(this.#promised((engine) => engine.compact()));
    } else if (draw < 0.977) {
      this.#control.setLatency(undefined);
      await this.#ingest();
    } else if (draw < 0.985) {
      await this.#settle();
      await this.#close();
      await this.#open();
    } else {
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  /** One change of many keys, in any order, some of them twice; none of it before the end, and then durable. */
  async #ingest(): Promise<void> {
    await this.#settle();
    const random = this.#random;
    this.#written++;
    const change = Array.from({ length: random.between(1, 150) }, (_, i): readonly [string, Uint8Array] => [
      random.chance(0.5) ? random.pick(this.#keys) : `key${random.below(500)}/${i}`,
      this.#value(),
    ]);
    this.#model.submit(this.#trace.tick(), change);
    await this.#promised(async (engine) => {
      await engine.ingest(change);
    });
  }

  /** Work after which everything written before it is durable. */
  async #promised(work: (engine: StorageEngine) => Promise<void>): Promise<void> {
    const count = this.#model.length;
    await work(this.#engine);
    this.#model.promise(this.#trace.tick(), count);
  }

  #write(): void {
    this.#written++;
    const change = this.#change();
    const sync = this.#random.chance(0.3);
    this.#model.submit(this.#trace.tick(), change);
    const count = this.#model.length;
    const done = this.#hand(change, sync).then(() => {
      if (sync) this.#model.promise(this.#trace.tick(), count);
    });
    this.#track(done);
  }

  #hand(change: Change, sync: boolean): Promise<void> {
    const [first] = change;
    if (change.length === 1 && first !== undefined) {
      const [key, value, isPrefix] = first;
      if (isPrefix) return this.#engine.deleteRange({ prefix: key }, { sync });
      if (value === undefined) return this.#engine.delete(key, { sync });
      // The caller's buffer is its own again once the call has returned.
      const mine = value.slice();
      const done = this.#engine.put(key, mine, { sync, ttl: ttlOf(value) });
      mine.fill(0xee);
      return done;
    }
    const batch = new WriteBatch();
    for (const [key, value, isPrefix] of change) {
      if (isPrefix) batch.deleteRange({ prefix: key });
      else if (value === undefined) batch.delete(key);
      else batch.put(key, value, { ttl: ttlOf(value) });
    }
    return this.#engine.write(batch, { sync });
  }

  #change(): Change {
    const random = this.#random;
    const size = random.chance(0.2) ? random.between(2, 15) : 1;
    return Array.from({ length: size }, () => {
      const key = random.pick(this.#keys);
      if (random.chance(0.03)) return [key.slice(0, -random.between(0, 2)) || key, undefined, true] as const;
      if (random.chance(0.15)) return [key, undefined] as const;
      return [key, this.#value()] as const;
    });
  }

  #value(): Uint8Array {
    const random = this.#random;
    const length = random.chance(0.04) ? random.between(5000, 40_000) : random.between(0, 700);
    const value = random.bytes(length + 8);
    // Half of it zeros at times: what a lost page looks like, inside a sound record.
    if (random.chance(0.3)) value.fill(0, value.length >> 1);
    new DataView(value.buffer).setUint32(0, this.#written);
    return value;
  }
}

/** Some values expire, in a year: they must come back as all others do. */
function ttlOf(value: Uint8Array): number | undefined {
  return value.length % 5 === 0 ? 365 * 24 * 3600 * 1000 : undefined;
}
