/**
 * A thread that reads files for another: the entry of reader-threads.ts. Does nothing else, loads nothing else.
 *
 * The descriptors belong to whoever asks, and stay open until the answer is there.
 *
 * Invariants: one answer per question, in order.
 * Thread:     its own, which waits for the disk.
 */
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { now } from '../base/timers.ts';

export interface ReadQuestion {
  readonly descriptor: number;
  readonly position: number;
  readonly byteLength: number;
}

export interface ReadAnswer {
  /** What was read: less than was asked for at the end of the file alone. */
  readonly bytes: Uint8Array | undefined;
  /** Instead, an error of the system, as far as it can be cloned. */
  readonly failure: { readonly message: string; readonly code: unknown; readonly errno: unknown } | undefined;
  readonly tookMs: number;
}

parentPort?.postMessage('ready');

parentPort?.on('message', ({ descriptor, position, byteLength }: ReadQuestion) => {
  const start = now();
  let answer: ReadAnswer;
  try {
    const bytes = readAll(descriptor, position, byteLength);
    answer = { bytes, failure: undefined, tookMs: now() - start };
  } catch (error) {
    const { message, code, errno } = error as NodeJS.ErrnoException;
    answer = { bytes: undefined, failure: { message, code, errno }, tookMs: now() - start };
  }
  parentPort?.postMessage(answer, answer.bytes === undefined ? [] : [answer.bytes.buffer as ArrayBuffer]);
});

function readAll(descriptor: number, position: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let done = 0;
  while (done < byteLength) {
    const count = readSync(descriptor, bytes, done, byteLength - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done === byteLength ? bytes : bytes.subarray(0, done);
}
