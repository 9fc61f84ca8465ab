/**
 * Jobs for faulty-worker.ts: a verify job whose directory says what the worker is to do.
 */
import type { TestContext } from 'node:test';
import { fileNumber, type SequenceNumber } from '../../src/shared/base/ids.ts';
import type { VerifyJob } from '../../src/shared/threads/jobs.ts';

export function fakeJob(behaviour: string, control: SharedArrayBuffer = new SharedArrayBuffer(8)): VerifyJob {
  return {
    kind: 'verify',
    directory: behaviour,
    fileSystem: undefined,
    control,
    slot: 0,
    table: {
      number: fileNumber(1),
      sizeBytes: 1,
      checksum: 0,
      entryCount: 1,
      tombstoneCount: 0,
      shadowedCount: 0,
      rawBytes: 1,
      smallestKey: new Uint8Array(1),
      largestKey: new Uint8Array(1),
      smallestSequence: 1 as SequenceNumber,
      largestSequence: 1 as SequenceNumber,
    },
  };
}

/** Where fake jobs of one test meet. */
export class Meeting {
  readonly control: SharedArrayBuffer = new SharedArrayBuffer(8);
  readonly #words = new Int32Array(this.control);

  /** The gate opens when the test ends, so that a failed one does not hang in close(). */
  constructor(t: TestContext) {
    t.after(() => this.open());
  }

  job(behaviour: string): VerifyJob {
    return fakeJob(behaviour, this.control);
  }

  get begun(): number {
    return Atomics.load(this.#words, 0);
  }

  /** Lets all jobs that wait, and will wait, go on. */
  open(): void {
    Atomics.store(this.#words, 1, 1);
    Atomics.notify(this.#words, 1);
  }

  /** Resolves when `count` jobs have begun. */
  async untilBegun(count: number): Promise<void> {
    while (this.begun < count) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
