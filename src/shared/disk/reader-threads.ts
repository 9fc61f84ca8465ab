/**
 * Threads of our own that do nothing but read: of libuv's four, which the log and the application need, reads may take two only.
 *
 *   start()      one more thread, up to MAX_THREADS; it counts once it has said that it is ready
 *   read(...)    by a thread that is idle
 *
 * Invariants: a thread has one read at a time. Idle ones don't keep the process alive, and end after IDLE_MS. When one dies, its
 *             read is rejected with THREAD_GONE, for another to make. Once one could not be started, or MAX_DEATHS have died at
 *             work, no more are started.
 * Thread:     the reader's.     Owns: its threads.
 * Not chosen: UV_THREADPOOL_SIZE: it is the application's, and read once. A thread for many reads at a time: fs.read() in it
 *             would go to libuv's pool, which all threads share. Atomics.wait in the thread: what it saves per read is small
 *             beside a disk, and a thread that waits so can't be ended by an idle timer.
 * Limit:      a thread that hangs in a read of a dead disk can't be ended by anybody, nor can the process but by a signal;
 *             libuv's threads have the same.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { clearTimeout, setTimeout } from '../base/timers.ts';
import { MAY_START_THREADS } from '../files/permission.ts';
import { packageHooks } from '../files/plug-and-play.ts';
import type { ReadAnswer, ReadQuestion } from './reader-thread.ts';

/** With the two of libuv's ten reads at a time: what disks need to get near their limit. */
export const MAX_THREADS = 8;
export const IDLE_MS = 10_000;
const MAX_DEATHS = 3;
/** A thread holds nothing but what it reads, which lies outside of these. */
const OLD_GENERATION_MIB = 16;
const YOUNG_GENERATION_MIB = 2;

/** What a read is rejected with whose thread has died. */
export const THREAD_GONE: unique symbol = Symbol('the reader thread has ended');

/** Bytes, and how long reading them took, without the way here and back. */
export interface ThreadRead {
  readonly bytes: Uint8Array;
  readonly tookMs: number;
}

interface Pending {
  readonly resolve: (read: ThreadRead) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The built file next to us: `.js` when built, `.ts` where Node runs the sources. A bundler may leave us without a place: then
 * threads don't start.
 */
function threadUrl(): URL {
  return new URL(`./reader-thread${extname(import.meta.url)}`, import.meta.url);
}

/** What a thread reports of itself. */
interface Watcher {
  /** It is ready for its first read, or its next. */
  idle(thread: ReaderThread): void;
  /** It has had nothing to do for long. */
  expired(thread: ReaderThread): void;
  /** It has ended, for whatever reason. Reported once. */
  gone(thread: ReaderThread): void;
}

class ReaderThread {
  readonly #worker: Worker;
  readonly #idleMs: number;
  readonly #watcher: Watcher;
  #pending: Pending | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  isReady = false;

  constructor(url: URL, idleMs: number, watcher: Watcher) {
    this.#idleMs = idleMs;
    this.#watcher = watcher;
    this.#worker = new Worker(url, {
      name: 'stratakv-reader',
      // As for jobs: nothing of the environment or the command line of the process.
      env: {},
      execArgv: packageHooks(),
      argv: [],
      trackUnmanagedFds: false,
      resourceLimits: {
        maxOldGenerationSizeMb: OLD_GENERATION_MIB,
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB,
      },
    });
    this.#worker.unref();
    this.#worker.on('message', (message: 'ready' | ReadAnswer) => {
      if (message === 'ready') this.isReady = true;
      else this.#settle(message);
      this.#rest();
    });
    // What it died of: 'exit' follows, and whoever waits is rejected then.
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => {
      clearTimeout(this.#idleTimer);
      watcher.gone(this);
      this.#pending?.reject(THREAD_GONE);
      this.#pending = undefined;
    });
  }

  get isBusy(): boolean {
    return this.#pending !== undefined;
  }

  read(question: ReadQuestion): Promise<ThreadRead> {
    clearTimeout(this.#idleTimer);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#worker.ref();
      this.#worker.postMessage(question);
    });
  }

  end(): void {
    clearTimeout(this.#idleTimer);
    // It is idle, or its read is nobody's any more.
    this.#worker.terminate().catch(() => undefined);
  }

  unref(): void {
    this.#worker.unref();
  }

  #settle({ bytes, failure, tookMs }: ReadAnswer): void {
    const pending = this.#pending;
    this.#pending = undefined;
    this.#worker.unref();
    if (bytes !== undefined) pending?.resolve({ bytes, tookMs });
    else pending?.reject(Object.assign(new Error(failure?.message), failure, { syscall: 'read' }));
  }

  #rest(): void {
    this.#idleTimer = setTimeout(() => this.#watcher.expired(this), this.#idleMs);
    this.#idleTimer.unref();
    this.#watcher.idle(this);
  }
}

export class ReaderThreads {
  readonly #url: URL | undefined;
  readonly #idleMs: number;
  readonly #onChange: () => void;
  /** The one used last is used next: those that aren't needed grow old. */
  readonly #idle: ReaderThread[] = [];
  readonly #all = new Set<ReaderThread>();
  #starting: ReaderThread | undefined;
  #mayStart: boolean = MAY_START_THREADS;
  #deaths = 0;
  #isClosed = false;

  /** `onChange`: a thread has become idle, or there is one less. */
  constructor(onChange: () => void, url?: URL, idleMs: number = IDLE_MS) {
    this.#onChange = onChange;
    this.#url = url;
    this.#idleMs = idleMs;
  }

  /** Threads, those that are starting included. */
  get count(): number {
    return this.#all.size;
  }

  /** Those that read, or could. */
  get readyCount(): number {
    return this.#all.size - (this.#starting === undefined ? 0 : 1);
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** Not while one is starting, when there are enough, or where none can be started. */
  get canStart(): boolean {
    const isFree = this.#starting === undefined && this.#all.size < MAX_THREADS;
    return isFree && this.#mayStart && !this.#isClosed;
  }

  /** One more, if that can be. */
  start(): void {
    if (!this.canStart) return;
    try {
      this.#starting = new ReaderThread(this.#url ?? threadUrl(), this.#idleMs, this.#watcher());
      this.#all.add(this.#starting);
    } catch {
      // No threads here, or no more of them: libuv's do the reading.
      this.#mayStart = false;
    }
  }

  /** By an idle thread. Rejects with the system's error, or with THREAD_GONE, also if none is idle. */
  read(question: ReadQuestion): Promise<ThreadRead> {
    const thread = this.#idle.pop();
    return thread === undefined ? Promise.reject(THREAD_GONE) : thread.read(question);
  }

  /** Ends those that are idle now, and the others after their read. */
  close(): void {
    this.#isClosed = true;
    this.#idle.length = 0;
    for (const thread of this.#all) {
      if (thread.isBusy) thread.unref();
      else thread.end();
    }
  }

  #watcher(): Watcher {
    return {
      idle: (thread) => {
        if (this.#starting === thread) this.#starting = undefined;
        if (this.#isClosed) return thread.end();
        this.#idle.push(thread);
        this.#onChange();
      },
      expired: (thread) => {
        this.#forget(thread);
        thread.end();
      },
      gone: (thread) => {
        this.#forget(thread);
        this.#all.delete(thread);
        if (thread.isBusy) this.#deaths++;
        if (this.#starting === thread) this.#starting = undefined;
        if (!thread.isReady || this.#deaths >= MAX_DEATHS) this.#mayStart = false;
        this.#onChange();
      },
    };
  }

  #forget(thread: ReaderThread): void {
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}
