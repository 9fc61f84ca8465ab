/**
 * The control block: one SharedArrayBuffer per open store, seen by main, by every job and by attached clients.
 *
 *   Int32 word  0      manifest version counter   main adds 1 after the manifest is durable and the version installed
 *               1      status                     0 open, 1 closed: set when writes and jobs have ended
 *               2..3   visible sequence           one 64-bit word: the last sequence number that reads may see
 *               4      view epoch                 main adds 1 after it has posted a new view to every client (share-protocol.ts)
 *               5      next file number           no file bears it, nor a higher one; whoever makes a file takes it
 *               6..7   time base                  a 64-bit float: what makes milliseconds since 1970 of the process's clock
 *               8      time stands                1: the time base is the time itself (tests)
 *               9..15  reserved
 *               16..31 who uses the disk          disk-use.ts
 *               32 + 4 * slot, for 64 slots:
 *                 +0   cancellation flag          main sets 1; the job looks at it at every block
 *                 +1   progress: units done       the job writes, main reads (KiB of input)
 *                 +2   progress: units in all
 *                 +3   heartbeat                 the job adds 1 with every report of progress, and while it pauses: it is alive
 *                                                 (job-watchdog.ts)
 *
 * The counter is a hint inside a process, not durability: the manifest on disk is the truth. Equality is the only
 * comparison it supports, as it wraps.
 *
 * File numbers are taken by the thread that makes the file, one at a time: so none is set aside for files that are never made.
 *
 * Invariants: no file number is taken twice. The next one falls only when the newest were given back, and no file bore them.
 * Thread: any. Words are only touched through Atomics; the time base, which main sets before anybody has the block, is plain.
 */
import { assert } from '../base/assert.ts';
import { StorageError } from '../base/errors.ts';
import { type FileNumber, fileNumber, MAX_FILE_NUMBER, type SequenceNumber } from '../base/ids.ts';
import { DISK_USE_END, DiskUse } from './disk-use.ts';

const VERSION_COUNTER = 0;
const STATUS = 1;
/** In 64-bit words. */
const VISIBLE_SEQUENCE_64 = 1;
const VIEW_EPOCH = 4;
const NEXT_FILE_NUMBER = 5;
/** In 64-bit words. */
const TIME_BASE_64 = 3;
const TIME_STANDS = 8;
/** Words of this file before the slots. */
const FILE_WORDS = 16;
const SLOTS_START = DISK_USE_END;
const SLOT_WORDS = 4;
const CANCELLED = 0;
const PROGRESS_DONE = 1;
const PROGRESS_TOTAL = 2;
const HEARTBEAT = 3;

/** More jobs than this never run at once: threads are capped below it. */
export const JOB_SLOT_COUNT = 64;
const PROGRESS_UNIT_BYTES = 1024;
export const CONTROL_BLOCK_BYTES: number = (SLOTS_START + JOB_SLOT_COUNT * SLOT_WORDS) * 4;

export class ControlBlock {
  readonly buffer: SharedArrayBuffer;
  readonly diskUse: DiskUse;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #wide: BigInt64Array<SharedArrayBuffer>;
  readonly #floats: Float64Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(CONTROL_BLOCK_BYTES)) {
    this.buffer = buffer;
    this.diskUse = new DiskUse(buffer);
    this.#words = new Int32Array(buffer);
    this.#wide = new BigInt64Array(buffer, 0, FILE_WORDS / 2);
    this.#floats = new Float64Array(buffer, 0, FILE_WORDS / 2);
  }

  get versionCounter(): number {
    return Atomics.load(this.#words, VERSION_COUNTER);
  }

  /** Main only, after the manifest is durable and the new version is current. */
  bumpVersionCounter(): void {
    Atomics.add(this.#words, VERSION_COUNTER, 1);
  }

  get visibleSequence(): SequenceNumber {
    return Number(Atomics.load(this.#wide, VISIBLE_SEQUENCE_64)) as SequenceNumber;
  }

  /** Main only. Everything up to `sequence` is in a memtable and in the log. */
  publishSequence(sequence: SequenceNumber): void {
    Atomics.store(this.#wide, VISIBLE_SEQUENCE_64, BigInt(sequence));
  }

  /** Which view a read must be made with: memtables and version. Equality is the only comparison, as it wraps. */
  get viewEpoch(): number {
    return Atomics.load(this.#words, VIEW_EPOCH);
  }

  /** The same, without an order among other accesses: a later look at {@link viewEpoch} must follow. */
  get viewEpochHint(): number {
    return this.#words[VIEW_EPOCH]!;
  }

  /**
   * Main only: after every client was sent the view, and before any sequence is published that needs it. A release, so a
   * client that sees the number finds the message.
   */
  announceView(number: number): void {
    Atomics.store(this.#words, VIEW_EPOCH, number);
  }

  /** What makes the store's time of the process's clock. */
  get timeBaseMs(): number {
    return this.#floats[TIME_BASE_64]!;
  }

  get timeStands(): boolean {
    return this.#words[TIME_STANDS] === 1;
  }

  /** Main only, at open. `stands`: it is the time itself, which then moves only when this is called again. */
  setTimeBase(baseMs: number, stands = false): void {
    this.#floats[TIME_BASE_64] = baseMs;
    Atomics.store(this.#words, TIME_STANDS, stands ? 1 : 0);
  }

  get isClosed(): boolean {
    return Atomics.load(this.#words, STATUS) === 1;
  }

  /** The same, for a look before every read: a plain load is a tenth of the cost, and sees it as soon as the next Atomics do. */
  get isClosedHint(): boolean {
    return this.#words[STATUS] === 1;
  }

  markClosed(): void {
    Atomics.store(this.#words, STATUS, 1);
  }

  /** No file bears this number yet, nor a higher one. */
  get nextFileNumber(): FileNumber {
    return fileNumber(Atomics.load(this.#words, NEXT_FILE_NUMBER));
  }

  /** Main only, at open: no number below `next` is taken from now on. */
  raiseFileNumber(next: number): void {
    // The last number is never taken, so whatever bears it is in nobody's way.
    const least = Math.min(next, MAX_FILE_NUMBER);
    for (let known = this.nextFileNumber; known < least; known = this.nextFileNumber)
      Atomics.compareExchange(this.#words, NEXT_FILE_NUMBER, known, least);
  }

  /**
   * Takes `count` consecutive numbers and returns the first.
   * @throws {@link StorageError} STRATA_READ_ONLY when there are not so many left.
   */
  takeFileNumbers(count: number): FileNumber {
    assert(Number.isSafeInteger(count) && count > 0, 'the count of file numbers is out of range');
    for (;;) {
      const first = this.nextFileNumber;
      if (first + count > MAX_FILE_NUMBER)
        throw new StorageError(
          'STRATA_READ_ONLY',
          'the store takes no more writes: its file numbers are used up',
        );
      if (Atomics.compareExchange(this.#words, NEXT_FILE_NUMBER, first, first + count) === first)
        return first;
    }
  }

  /** No file bore these numbers, which were taken: they are free again, unless later ones are out (false). */
  giveBackFileNumbers(first: FileNumber, count: number): boolean {
    return Atomics.compareExchange(this.#words, NEXT_FILE_NUMBER, first + count, first) === first + count;
  }

  /** Main only, before a job is sent: clears what the slot's last job left. */
  resetSlot(slot: number): void {
    const base = slotBase(slot);
    for (let i = 0; i < SLOT_WORDS; i++) Atomics.store(this.#words, base + i, 0);
  }

  cancel(slot: number): void {
    Atomics.store(this.#words, slotBase(slot) + CANCELLED, 1);
    // It may pause (disk-use.ts).
    this.diskUse.callAll();
  }

  isCancelled(slot: number): boolean {
    return Atomics.load(this.#words, slotBase(slot) + CANCELLED) === 1;
  }

  /** For jobs, at every block: throws JobCancelledError when main has asked the job to stop. */
  throwIfCancelled(slot: number): void {
    if (this.isCancelled(slot)) throw new JobCancelledError();
  }

  setProgress(slot: number, doneBytes: number, totalBytes: number): void {
    const base = slotBase(slot);
    Atomics.store(this.#words, base + PROGRESS_DONE, Math.floor(doneBytes / PROGRESS_UNIT_BYTES));
    Atomics.store(this.#words, base + PROGRESS_TOTAL, Math.ceil(totalBytes / PROGRESS_UNIT_BYTES));
    Atomics.add(this.#words, base + HEARTBEAT, 1);
  }

  /** For a job that pauses: it is alive. */
  beat(slot: number): void {
    Atomics.add(this.#words, slotBase(slot) + HEARTBEAT, 1);
  }

  /** Changes with every setProgress() and beat(), however little progress was made; equality is the only comparison, as it
   * wraps. */
  heartbeat(slot: number): number {
    return Atomics.load(this.#words, slotBase(slot) + HEARTBEAT);
  }

  progress(slot: number): { readonly doneBytes: number; readonly totalBytes: number } {
    const base = slotBase(slot);
    return {
      doneBytes: Atomics.load(this.#words, base + PROGRESS_DONE) * PROGRESS_UNIT_BYTES,
      totalBytes: Atomics.load(this.#words, base + PROGRESS_TOTAL) * PROGRESS_UNIT_BYTES,
    };
  }
}

function slotBase(slot: number): number {
  assert(slot >= 0 && slot < JOB_SLOT_COUNT, 'job slot out of range');
  return SLOTS_START + slot * SLOT_WORDS;
}

/** The job stopped because it was cancelled. Known by `name` after it crossed a thread. */
export class JobCancelledError extends StorageError {
  constructor() {
    super('STRATA_CLOSED', 'the job was cancelled because the store is closing');
    this.name = 'JobCancelledError';
  }
}
