/**
 * The disk as one reader (the engine, or a client) uses it: what it may do in the call, and what is done off its thread.
 *
 *   mayWait true       reads are made in the call, and wait (getSync, for-of, jobs)
 *   mayWait false      of an awaited read: what memory doesn't have is a WouldWait (would-wait.ts), and fetched by readLater():
 *                      queue (disk-queue.ts) -> libuv's pool, POOL_SLOTS at a time, or a reader thread (reader-threads.ts)
 *
 * Reader threads are started one by one, when reads wait in the queue and the last ones took long enough to be worth a thread, as
 * long as each has helped (growth.ts).
 *
 * Invariants: of libuv's pool it never takes more than its slots, however long the disk takes.
 *             A descriptor is read only as long as whoever asked keeps it open, which is until the promise is settled.
 * Thread:     the reader's.     Owns: queue, reader threads, the clock of what was found in memory.
 */
import { CorruptionError, ioError, StorageError } from '../base/errors.ts';
import { loopIdleMs, now } from '../base/timers.ts';
import { type FileSystem, readFullyAsync, type StorageFile } from '../files/file-system.ts';
import { systemCalls } from '../files/system-calls.ts';
import { type Carrier, DiskQueue, type DiskWanted, type QueueTicket } from './disk-queue.ts';
import { Growth } from './growth.ts';
import { PageClock } from './page-residency.ts';
import { MAX_THREADS, ReaderThreads, THREAD_GONE } from './reader-threads.ts';
import { QUICK_MS, SLOW_MS, SpeedJudge } from './speed-judge.ts';

/** Of libuv's four threads: the log needs them, and the application. */
export const POOL_SLOTS = 2;
export const MAX_IN_FLIGHT: number = POOL_SLOTS + MAX_THREADS;
/** Reads that took longer are worth a thread: handing one over takes 0.02 ms. */
const WORTH_A_THREAD_MS = 0.3;
/** How much of the last reads' time each new one counts for. */
const NEWEST_SHARE = 0.25;

export interface DiskOptions {
  /** How much of libuv's pool it may take; of several readers in a process all together should leave some of it. */
  readonly poolSlots?: number;
  readonly clock?: () => number;
  /** For how long the event loop has waited in all. */
  readonly idleClock?: () => number;
  /** Blocks that the process has read from disks; undefined: it isn't known. */
  readonly countBlocks?: () => number | undefined;
  /** What reader threads run; for tests. */
  readonly threadUrl?: URL;
  /** Whether the system says what memory has; without: it is asked. */
  readonly systemTells?: boolean;
  /** Notes reads under way, so that work in the background stands back. */
  readonly use?: DiskWanted;
}

export class Disk {
  /** Whether reads may wait for the disk in the call. */
  mayWait = true;
  readonly queue: DiskQueue;
  readonly judge: SpeedJudge;
  readonly threads: ReaderThreads;
  readonly pageClock: PageClock = new PageClock();
  /** Of all scans (scan-reads.ts): what is under way, or here and not passed yet. */
  readAheadBytes = 0;
  readonly #growth: Growth;
  #systemTells: boolean | undefined;
  readonly #clock: () => number;
  readonly #idleClock: () => number;
  readonly #countBlocks: () => number | undefined;
  #blocksRead: number | undefined;
  /** What the last reads took, weighted. */
  #recentMs = 0;

  /** A file system of a test reads as it likes: no bound of libuv's is its concern, and threads can't read for it. */
  constructor(fs?: Pick<FileSystem, 'spec'>, options: DiskOptions = {}) {
    const isOfTest = fs?.spec !== undefined && 'module' in fs.spec;
    this.#clock = options.clock ?? now;
    this.#idleClock = options.idleClock ?? loopIdleMs;
    this.#countBlocks = options.countBlocks ?? (isOfTest ? () => undefined : blocksRead);
    this.judge = new SpeedJudge(this.#clock);
    this.#systemTells = options.systemTells;
    this.#growth = new Growth(this.#clock);
    this.threads = new ReaderThreads(() => this.queue.startNext(), options.threadUrl);
    this.queue = new DiskQueue({
      poolSlots: isOfTest ? MAX_IN_FLIGHT : (options.poolSlots ?? POOL_SLOTS),
      idleThreads: () => this.threads.idleCount,
      onWaiting: () => {
        if (isOfTest || this.#recentMs <= WORTH_A_THREAD_MS || !this.threads.canStart) return;
        if (this.#growth.mayGrow()) this.threads.start();
      },
      use: options.use,
      clock: this.#clock,
    });
  }

  /** Whether a table may be opened in the call, which is to be {@link timed}: never by trust where the system says what it
   * has. */
  get mayOpen(): boolean {
    if (this.mayWait) return true;
    if (!this.judge.isTrusting) return false;
    this.#systemTells ??= systemCalls()?.readNoWait !== undefined;
    return !this.#systemTells;
  }

  /** Runs `attempt`, in which nothing waits for the disk: what would wait is thrown. */
  withoutWaiting<T>(attempt: () => T): T {
    const before = this.mayWait;
    this.mayWait = false;
    try {
      return attempt();
    } finally {
      this.mayWait = before;
    }
  }

  /** Runs `work`, which may wait for the disk because reads are judged to be quick, and reports to the judge how quick it was. */
  timed<T>(work: () => T): T {
    if (this.mayWait) return work();
    const start = this.#clock();
    try {
      return work();
    } finally {
      const tookMs = this.#clock() - start;
      if (tookMs > SLOW_MS) this.judge.inCall(tookMs, this.#hasReadDisk());
      else this.judge.inCall(tookMs);
    }
  }

  /** Exactly `length` bytes from `offset` of an open file, in memory of their own. Whoever asks keeps the file open. */
  async readLater(
    file: StorageFile,
    offset: number,
    length: number,
    isUrgent: boolean,
    ticket?: QueueTicket,
  ): Promise<Uint8Array> {
    const { descriptor } = file;
    const byPool = (): Promise<Uint8Array> => this.#readByPool(file, offset, length);
    if (descriptor === undefined) return await this.queue.run(byPool, isUrgent, ticket);
    const start = (carrier: Carrier): Promise<Uint8Array> =>
      carrier === 'pool' ? byPool() : this.#readByThread(file, descriptor, offset, length);
    try {
      return await this.queue.read(start, isUrgent, ticket);
    } catch (error) {
      if (error !== THREAD_GONE) throw error;
      return await this.queue.run(byPool, true, ticket);
    }
  }

  /** Reads that wait for a slot are rejected with STRATA_CLOSED, as are later ones; those under way end as they can.
   * Idempotent. */
  close(): void {
    this.queue.close(new StorageError('STRATA_CLOSED', 'the store is closed'));
    this.threads.close();
    this.pageClock.close();
  }

  async #readByPool(file: StorageFile, offset: number, length: number): Promise<Uint8Array> {
    const start = this.#clock();
    const idleAtStart = this.#idleClock();
    const into = new Uint8Array(length);
    const count = await readFullyAsync(file, into, offset);
    const tookMs = this.#clock() - start;
    // A loop that was busy all the time is late to hear of it: then nobody knows how long it took.
    if (tookMs < QUICK_MS || this.#idleClock() - idleAtStart >= QUICK_MS) this.#landed(tookMs);
    this.#note(tookMs);
    return exactly(into.subarray(0, count), length, file, offset);
  }

  async #readByThread(
    file: StorageFile,
    descriptor: number,
    position: number,
    byteLength: number,
  ): Promise<Uint8Array> {
    try {
      const { bytes, tookMs } = await this.threads.read({ descriptor, position, byteLength });
      this.#landed(tookMs);
      this.#note(tookMs);
      return exactly(bytes, byteLength, file, position);
    } catch (error) {
      if (error === THREAD_GONE || error instanceof CorruptionError) throw error;
      throw ioError('read', file.path, error);
    }
  }

  /**
   * Whether the process has read from a disk since this was asked last, or reads came to be trusted. On a busy machine a thread
   * waits for a processor time and again, and all those reads would be taken for slow ones (measured, six programs on two cores:
   * two reads of five went off the thread, all from memory).
   */
  #hasReadDisk(): boolean {
    const before = this.#blocksRead;
    this.#blocksRead = this.#countBlocks();
    return this.#blocksRead === undefined || this.#blocksRead !== before;
  }

  #landed(tookMs: number): void {
    const wasTrusting = this.judge.isTrusting;
    this.judge.landed(tookMs);
    if (!wasTrusting && this.judge.isTrusting) this.#blocksRead = this.#countBlocks();
  }

  #note(tookMs: number): void {
    this.#recentMs += NEWEST_SHARE * (tookMs - this.#recentMs);
    this.#growth.landed(POOL_SLOTS + this.threads.readyCount, this.queue.waiting > 0);
  }
}

/** Elsewhere the system counts what it read from memory as well, or nothing. */
function blocksRead(): number | undefined {
  return process.platform === 'linux' ? process.resourceUsage().fsRead : undefined;
}

function exactly(bytes: Uint8Array, length: number, file: StorageFile, offset: number): Uint8Array {
  if (bytes.length === length) return bytes;
  throw new CorruptionError('table became shorter while it was open', { file: file.path, offset });
}
