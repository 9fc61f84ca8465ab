/**
 * The reader threads of a measurement: started, let go at once, counted, ended.
 *
 *   start()  all have opened the store and are warm  ->  run()  they read, this thread sleeps  ->  join()
 *
 * Invariants: a reader that fails, or ends early, fails the measurement; no promise waits for one that is gone.
 * Thread:     the measuring one, which does nothing meanwhile: what its event loop shows is what readers do to it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Meter } from '../measure/meter.ts';
import type { ReaderMessage, ReaderTask } from './reader-task.ts';
import { StartLine } from './start-line.ts';

const READER: URL = new URL(import.meta.url.endsWith('.ts') ? './reader.ts' : './reader.js', import.meta.url);

type Done = Extract<ReaderMessage, { kind: 'done' }>;

interface Reader {
  readonly ready: Promise<void>;
  readonly done: Promise<Done>;
  readonly exit: Promise<void>;
}

export class Readers {
  readonly #line: StartLine;
  readonly #readers: readonly Reader[];

  private constructor(line: StartLine, readers: readonly Reader[]) {
    this.#line = line;
    this.#readers = readers;
  }

  /** `taskOf`: what reader i does, without the start line. */
  static async start(count: number, taskOf: (reader: number) => Omit<ReaderTask, 'line'>): Promise<Readers> {
    const line = StartLine.make(count);
    const readers = Array.from({ length: count }, (_, i) => startReader({ ...taskOf(i), line: line.shared }));
    try {
      await Promise.all(readers.map(({ ready }) => ready));
    } catch (error) {
      // Those that are ready would wait at the line for ever.
      line.end();
      throw error;
    }
    return new Readers(line, readers);
  }

  /** Lets them read for `seconds`; their operations and latencies go to `meter`. */
  async run(meter: Meter, seconds: number): Promise<void> {
    const line = this.#line;
    const done = Promise.all(this.#readers.map((reader) => reader.done));
    const begin = performance.now();
    line.go();
    try {
      await Promise.race([sleep(seconds * 1000), done]);
      meter.busySeconds = (performance.now() - begin) / 1000;
      for (const count of line.counts()) meter.operations += count;
    } finally {
      line.end();
    }
    for (const { latency } of await done) meter.absorb(latency);
  }

  /** Waits until they have closed the store and are gone. */
  async join(): Promise<void> {
    await Promise.all(this.#readers.map(({ exit }) => exit));
  }
}

function startReader(task: ReaderTask): Reader {
  const worker = new Worker(READER, {
    workerData: task,
    transferList: task.port === undefined ? [] : [task.port],
  });
  const ready = settlable<void>();
  const done = settlable<Done>();
  const exit = settlable<void>();
  const fail = (error: unknown): void => {
    for (const each of [ready, done, exit]) each.reject(error);
  };
  worker.on('message', (message: ReaderMessage) => {
    if (message.kind === 'ready') ready.resolve();
    else done.resolve(message);
  });
  worker.on('error', fail);
  worker.on('exit', (code) => {
    if (code === 0) exit.resolve();
    fail(new Error(`reader ${task.reader} ended early, with code ${code}`));
  });
  return { ready: ready.promise, done: done.promise, exit: exit.promise };
}

interface Settlable<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A promise with its two ends. One that is rejected before, or without, being awaited ends no process. */
function settlable<T>(): Settlable<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((fulfil, refuse) => {
    resolve = fulfil;
    reject = refuse;
  });
  promise.catch(() => {
    // Whoever awaits it gets the error; of three that fail together, one is enough.
  });
  return { promise, resolve, reject };
}
