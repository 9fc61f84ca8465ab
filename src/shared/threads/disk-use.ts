/**
 * Who uses the disk now, and who should stand back: the part of the control block (control-block.ts) by which work in the
 * background leaves the disk to the foreground, and keeps to a bound.
 *
 *   Int32 word 16      reads that wait            foreground reads under way, of all threads
 *               17      last read                  when one began or ended: milliseconds of the process's clock, wrapped
 *               18      haste                      0 none, 1 writers are held back or soon would be, 2 the store closes: main
 *               19      call                       rises when a job that pauses should look again, and wakes it
 *               20..21  bound                      bytes per second; 0 = none: main, at open
 *               22..23  next free                  microseconds: when the bytes reserved so far are paid for
 *               24..25  paused                     microseconds that jobs have waited, in all
 *               26..27  bytes read                 by jobs
 *               28..29  bytes written              by jobs
 *               30..31  reserved
 *
 * A reader counts as waiting, or as about to come back, for a moment after its last sign. A thread that was terminated in the
 * middle of a read leaves the count one too high: so a count without a sign is believed for BELIEVED_MS only, also where a disk
 * does not answer, and background work never stands still for what has gone.
 *
 * The bound is a bucket that fills at its rate: each piece of work reserves its bytes and learns how long to wait first. What
 * was not used is kept for BURST_MS only. Flushes may go LEAD_MS ahead of the others, as writers wait for them: while one works
 * the others get a piece each LEAD_MS.
 *
 * Thread:     any. Words are only touched through Atomics. wait() is for threads of jobs alone.
 * Not chosen: a slot for each reader, which would be exact: a slot that a terminated thread keeps is as wrong as a count.
 *             The count alone: between two reads of a loop it is 0, and each time a large write would slip in.
 *             The moment alone: on a disk that takes a second for a read nobody would seem to wait.
 */
import { processClock } from '../base/timers.ts';

const READS_WAITING = 16;
const LAST_READ = 17;
const HASTE = 18;
const CALL = 19;
/** In 64-bit words. */
const BOUND_64 = 10;
const NEXT_FREE_64 = 11;
const PAUSED_64 = 12;
const BYTES_READ_64 = 13;
const BYTES_WRITTEN_64 = 14;
/** The first word behind these. */
export const DISK_USE_END = 32;

/** After a read has ended, its reader counts as about to read again for this long. */
const RECENT_MS = 25;
/** The count of waiting reads is believed for this long without a sign: a terminated thread may have left it too high. */
const BELIEVED_MS = 2000;
const BURST_MS = 50;
const LEAD_MS = 100;
const NO_HASTE = 0;
const WRITERS_WAIT = 1;
const CLOSING = 2;

/** What jobs did to the disk since the store was opened. */
export interface DiskUseTotals {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly pausedMs: number;
}

export class DiskUse {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #wide: BigInt64Array<SharedArrayBuffer>;
  readonly #clock: () => number;

  /** `clock`: milliseconds, the same in all threads. */
  constructor(buffer: SharedArrayBuffer, clock: () => number = processClock) {
    this.#words = new Int32Array(buffer);
    this.#wide = new BigInt64Array(buffer, 0, DISK_USE_END / 2);
    this.#clock = clock;
  }

  /** Somebody waits for the disk. {@link readEnded} must follow, unless the thread dies. */
  readBegan(): void {
    Atomics.store(this.#words, LAST_READ, this.#clock() | 0);
    Atomics.add(this.#words, READS_WAITING, 1);
  }

  readEnded(): void {
    Atomics.store(this.#words, LAST_READ, this.#clock() | 0);
    Atomics.sub(this.#words, READS_WAITING, 1);
  }

  /** Whether the foreground wants the disk. */
  get isWanted(): boolean {
    const since = ((this.#clock() | 0) - Atomics.load(this.#words, LAST_READ)) | 0;
    if (since < 0 || since >= BELIEVED_MS) return false;
    return since < RECENT_MS || Atomics.load(this.#words, READS_WAITING) > 0;
  }

  /** Main only. While writers wait, or soon would, nothing stands back for readers. */
  setHaste(isUrgent: boolean): void {
    if (this.isClosing) return;
    const haste = isUrgent ? WRITERS_WAIT : NO_HASTE;
    if (Atomics.exchange(this.#words, HASTE, haste) !== haste && isUrgent) this.callAll();
  }

  /** Main only. Nothing pauses any more, and no bound holds: what is still written is waited for. */
  beginClose(): void {
    Atomics.store(this.#words, HASTE, CLOSING);
    this.callAll();
  }

  get isUrgent(): boolean {
    return Atomics.load(this.#words, HASTE) !== NO_HASTE;
  }

  get isClosing(): boolean {
    return Atomics.load(this.#words, HASTE) === CLOSING;
  }

  /** Whoever pauses looks again. */
  callAll(): void {
    Atomics.add(this.#words, CALL, 1);
    Atomics.notify(this.#words, CALL);
  }

  /** What {@link wait} is given: taken before the look at whatever may end the wait. */
  get call(): number {
    return Atomics.load(this.#words, CALL);
  }

  /** Returns after `ms`, or at a call since `call` was taken. Holds the thread. */
  wait(call: number, ms: number): void {
    Atomics.wait(this.#words, CALL, call, ms);
  }

  /** Bytes per second; undefined: none. */
  get bound(): number | undefined {
    const bound = Number(Atomics.load(this.#wide, BOUND_64));
    return bound === 0 ? undefined : bound;
  }

  /** Main only, before the first job. */
  setBound(bytesPerSecond: number | undefined): void {
    Atomics.store(this.#wide, BOUND_64, BigInt(bytesPerSecond ?? 0));
  }

  /**
   * Takes `bytes` from the bucket and returns how many milliseconds to wait before they may be read or written; 0 without a
   * bound.
   */
  reserve(bytes: number, isUrgent: boolean): number {
    const { bound } = this;
    if (bound === undefined || this.isClosing) return 0;
    const moment = BigInt(Math.floor(this.#clock() * 1000));
    const least = moment - BigInt(BURST_MS * 1000);
    const cost = BigInt(Math.ceil((bytes / bound) * 1e6));
    for (;;) {
      const free = Atomics.load(this.#wide, NEXT_FREE_64);
      const start = free > least ? free : least;
      if (Atomics.compareExchange(this.#wide, NEXT_FREE_64, free, start + cost) !== free) continue;
      return Math.max(0, Number(start - moment) / 1000 - (isUrgent ? LEAD_MS : 0));
    }
  }

  noteRead(bytes: number): void {
    Atomics.add(this.#wide, BYTES_READ_64, BigInt(bytes));
  }

  noteWritten(bytes: number): void {
    Atomics.add(this.#wide, BYTES_WRITTEN_64, BigInt(bytes));
  }

  notePaused(ms: number): void {
    Atomics.add(this.#wide, PAUSED_64, BigInt(Math.max(0, Math.round(ms * 1000))));
  }

  get totals(): DiskUseTotals {
    return {
      bytesRead: Number(Atomics.load(this.#wide, BYTES_READ_64)),
      bytesWritten: Number(Atomics.load(this.#wide, BYTES_WRITTEN_64)),
      pausedMs: Number(Atomics.load(this.#wide, PAUSED_64)) / 1000,
    };
  }
}
