/**
 * When and how a worker is to fail: words of shared memory that the test writes and every worker obeys.
 *
 *   Int32 word  0  fault (index in FAULTS, 0 = none)      4  how often it has happened
 *               1  phase (index in PHASES)                5  id of a thread that asks to be terminated
 *               2  kind of job (index in KINDS)           6  1: whoever hangs goes on
 *               3  how often it is still to happen        7  files that such jobs were to make; 8.. the number of each
 *
 * Thread: any.
 */
import type { ModuleSpec } from '../../src/shared/files/file-system.ts';
import type { Job } from '../../src/shared/threads/jobs.ts';

/** `throw` is an error of the job's code, or of the module before and after; the rest happen to the thread. */
export const FAULTS = ['none', 'throw', 'exit', 'terminate', 'memory', 'hang', 'nonsense'] as const;
export type Fault = (typeof FAULTS)[number];

export const PHASES = [
  'start',
  'first block',
  'before fsync',
  'after fsync',
  'answer',
  'after answer',
] as const;
export type Phase = (typeof PHASES)[number];

const KINDS = ['flush', 'compact', 'verify', 'ingest-run', 'ingest-merge'] as const;
/** Those that are methods of the engine, too. */
export type FaultyKind = 'flush' | 'compact' | 'verify';

const FILES = 8;
const WORDS = 64;

export class FaultPlan {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** For every thread of a store: hands the plan to the workers, whose disk reports the phases. */
  get spec(): ModuleSpec {
    return {
      module: new URL(import.meta.url.replace('fault-plan', 'phase-worker')).href,
      options: { plan: this.buffer },
    };
  }

  arm(kind: (typeof KINDS)[number], phase: Phase, fault: Fault, times = 1): void {
    Atomics.store(this.#words, 1, PHASES.indexOf(phase));
    Atomics.store(this.#words, 2, KINDS.indexOf(kind));
    Atomics.store(this.#words, 3, times);
    Atomics.store(this.#words, 0, FAULTS.indexOf(fault));
  }

  disarm(): void {
    Atomics.store(this.#words, 0, 0);
  }

  get happened(): number {
    return Atomics.load(this.#words, 4);
  }

  /** Numbers of the files that the attempts at such jobs were to make, the first of them. */
  get outputs(): number[] {
    const count = Math.min(Atomics.load(this.#words, 7), WORDS - FILES);
    return Array.from({ length: count }, (_, i) => Atomics.load(this.#words, FILES + i));
  }

  /** Whoever hangs, now or later, goes on. */
  release(): void {
    Atomics.store(this.#words, 6, 1);
    Atomics.notify(this.#words, 6);
  }

  takeVictim(): number {
    return Atomics.exchange(this.#words, 5, 0);
  }

  /** Worker: `job` is about to make a file. */
  note(job: Job, number: number): void {
    if (job.kind !== KINDS[Atomics.load(this.#words, 2)]) return;
    const place = Atomics.add(this.#words, 7, 1);
    if (FILES + place < WORDS) Atomics.store(this.#words, FILES + place, number);
  }

  /** Worker: the fault that is to happen here, once for each time it is asked for. */
  take(kind: string, phase: Phase): Fault {
    const words = this.#words;
    const isHere = kind === KINDS[Atomics.load(words, 2)] && phase === PHASES[Atomics.load(words, 1)];
    const fault = FAULTS[Atomics.load(words, 0)]!;
    if (!isHere || fault === 'none' || Atomics.sub(words, 3, 1) <= 0) return 'none';
    Atomics.add(words, 4, 1);
    return fault;
  }

  /** Worker: asks to be terminated. */
  offer(threadId: number): void {
    Atomics.store(this.#words, 5, threadId);
  }

  /** Worker: does nothing more, until release(). */
  hang(): void {
    Atomics.wait(this.#words, 6, 0);
  }
}
