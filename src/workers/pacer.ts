/**
 * How a job stands back for the foreground: before each piece of reading or writing it waits for its turn, after it the job notes
 * how long the disk took.
 *
 *   bound          bytes are reserved first, and waited for as long as the bucket says (disk-use.ts)
 *   readers wait   after a piece that took t, the disk is left alone for PAUSE_FACTOR * t, but no longer than the least speed
 *                  allows
 *
 * What a piece took shows how busy the disk is, and what was in memory costs no pause worth the name. Time that the job works
 * between two pieces counts as pause.
 *
 * Invariants: a pause ends as soon as the job is cancelled, writers would have to wait, or the store closes.
 *             A job that pauses shows that it lives. It never stands still for readers, however many: LEAST_BYTES_PER_MS.
 *             On the application's thread (threads: 0) nothing waits; JobRunner has the next job wait there.
 * Thread:     the job's; a pause holds it.
 * Not chosen: a lower priority in the system's queue (ioprio): most disks of servers and all of clouds have a scheduler without.
 */

import { now } from '../shared/base/timers.ts';
import { ControlBlock } from '../shared/threads/control-block.ts';
import type { DiskUse } from '../shared/threads/disk-use.ts';
import type { Job } from '../shared/threads/jobs.ts';

/** While readers wait the disk is read and written in pieces of this size: one takes a fraction of a millisecond. */
export const PIECE_BYTES: number = 128 * 1024;
/** A fifth of the disk for merges; half of it for flushes, which writers come to wait for. */
const PAUSE_FACTOR = { merge: 4, flush: 1 } as const;
const LEAST_BYTES_PER_MS = { merge: 2 * 1024, flush: 8 * 1024 } as const;
/** So often a job that pauses shows that it lives. */
const BEAT_MS = 500;

export class Pacer {
  readonly #control: ControlBlock;
  readonly #use: DiskUse;
  readonly #slot: number;
  readonly #kind: 'merge' | 'flush';
  readonly #isInline: boolean;
  /** Until when the disk is left to others. */
  #quietUntil = 0;

  constructor(
    job: Pick<Job, 'kind' | 'control' | 'slot' | 'isInline'>,
    control: ControlBlock = new ControlBlock(job.control),
  ) {
    this.#control = control;
    this.#use = control.diskUse;
    this.#slot = job.slot;
    this.#kind = job.kind === 'flush' ? 'flush' : 'merge';
    this.#isInline = job.isInline === true;
  }

  /** Whether readers wait, and come before this job. */
  get standsBack(): boolean {
    return !this.#isInline && this.#use.isWanted && !this.#use.isUrgent;
  }

  read(bytes: number, act: () => number): number {
    const count = this.#piece(bytes, act);
    this.#use.noteRead(count);
    return count;
  }

  write(bytes: number, act: () => number): number {
    const count = this.#piece(bytes, act);
    this.#use.noteWritten(count);
    return count;
  }

  /** Bytes that were written before, and paid for, go to the disk. */
  sync(bytes: number, act: () => void): void {
    this.#untilQuietEnds();
    this.#timed(bytes, act);
  }

  #piece(bytes: number, act: () => number): number {
    const delay = this.#use.reserve(bytes, this.#kind === 'flush');
    if (delay > 0) this.#pause(now() + delay, () => this.#use.isClosing);
    this.#untilQuietEnds();
    return this.#timed(bytes, act);
  }

  #untilQuietEnds(): void {
    if (this.#quietUntil > 0) this.#pause(this.#quietUntil, () => !this.standsBack);
  }

  #timed<T>(bytes: number, act: () => T): T {
    const began = now();
    const result = act();
    const ended = now();
    const pause = Math.min(
      (ended - began) * PAUSE_FACTOR[this.#kind],
      bytes / LEAST_BYTES_PER_MS[this.#kind],
    );
    this.#quietUntil = this.standsBack ? ended + pause : 0;
    return result;
  }

  /** Throws JobCancelledError at once when main has asked the job to stop. */
  #pause(until: number, mayEnd: () => boolean): void {
    if (this.#isInline) return;
    const began = now();
    try {
      for (;;) {
        const { call } = this.#use;
        this.#control.throwIfCancelled(this.#slot);
        const left = until - now();
        if (left <= 0 || mayEnd()) return;
        this.#use.wait(call, Math.min(left, BEAT_MS));
        this.#control.beat(this.#slot);
      }
    } finally {
      this.#use.notePaused(now() - began);
    }
  }
}
