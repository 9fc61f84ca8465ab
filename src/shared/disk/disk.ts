/**
 * The disk as one reader (the engine, or a client) uses it: what it may do in the call, and what waits for it.
 *
 * Invariants: an awaited read runs with `mayWait` false (would-wait.ts), everything else with true.
 * Thread:     the reader's.
 */
import { CorruptionError } from '../errors.ts';
import { readFullyAsync, type StorageFile } from '../file-system.ts';
import { now } from '../timers.ts';
import { DiskQueue, type QueueTicket } from './disk-queue.ts';
import { SpeedJudge } from './speed-judge.ts';

/** Of libuv's four threads: the log needs them, and the application. */
const POOL_READS = 2;

export class Disk {
  /** Whether reads may wait for the disk in the call. */
  mayWait = true;
  readonly queue: DiskQueue = new DiskQueue(POOL_READS);
  readonly judge: SpeedJudge = new SpeedJudge();
  /** Of all scans (scan-reads.ts): what is under way, or here and not passed yet. */
  readAheadBytes = 0;

  /** Whether a table may be opened in the call, which is to be {@link timed}. */
  get mayOpen(): boolean {
    return this.mayWait || this.judge.isTrusting;
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

  /** Runs `work`, which may wait for the disk because reads are judged to be quick, and judges. */
  timed<T>(work: () => T): T {
    if (this.mayWait) return work();
    const start = now();
    try {
      return work();
    } finally {
      this.judge.inCall(now() - start);
    }
  }

  /** Exactly `length` bytes from `offset` of an open file, in memory of their own. Whoever asks keeps the file open. */
  readLater(
    file: StorageFile,
    offset: number,
    length: number,
    isUrgent: boolean,
    ticket?: QueueTicket,
  ): Promise<Uint8Array> {
    return this.queue.run(() => this.#read(file, offset, length), isUrgent, ticket);
  }

  /** Ends what it has started. Reads under way end as they can. */
  close(): void {}

  async #read(file: StorageFile, offset: number, length: number): Promise<Uint8Array> {
    const start = now();
    const into = new Uint8Array(length);
    if ((await readFullyAsync(file, into, offset)) !== length)
      throw new CorruptionError('table became shorter while it was open', { file: file.path, offset });
    this.judge.landed(now() - start);
    return into;
  }
}
