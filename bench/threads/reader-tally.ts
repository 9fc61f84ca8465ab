/**
 * ReaderTally: the loops' tally in a reader thread. It publishes its count, and is over when the measuring thread says so.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { recordSince, type Tally } from '../measure/tally.ts';
import type { StartLine } from './start-line.ts';

export class ReaderTally implements Tally {
  operations = 0;
  readonly latency: RecordableHistogram = createHistogram();
  readonly #line: StartLine;
  readonly #reader: number;

  constructor(line: StartLine, reader: number) {
    this.#line = line;
    this.#reader = reader;
  }

  lap(): boolean {
    this.#line.publish(this.#reader, this.operations);
    return this.#line.isOver;
  }

  record(sinceMs: number): void {
    recordSince(this.latency, sinceMs);
  }
}
