/**
 * Where an IngestWriter's chunks go: each becomes a run file, written in this thread, with numbers that the owner reserved.
 *
 *   write()       a chunk becomes a run at once. With no number left it waits for the owner's answer, which takes a turn of
 *                 the event loop
 *   drained()     resolves when none waits
 *
 * Numbers are asked for when half of the last ones are used, so that chunks wait only where a caller that never gives its event
 * loop a turn has written all of them: then memory grows until it does.
 *
 * Invariants: a file is made and written within the latch (latch.ts) alone. The owner deletes it, whatever becomes of it.
 * Thread:     the client's; writing is synchronous.
 */

import { StorageError } from '../shared/base/errors.ts';
import { type FileNumber, fileNumber } from '../shared/base/ids.ts';
import { runPath } from '../shared/files/file-names.ts';
import { closeQuietly, type FileSystem } from '../shared/files/file-system.ts';
import type { IngestChunk } from '../shared/ingest/chunk.ts';
import { IngestLatch } from '../shared/ingest/latch.ts';
import type { RunMeta } from '../shared/ingest/run.ts';
import { buildRun } from '../shared/ingest/run-builder.ts';
import type { Calls } from '../shared/threads/calls.ts';
import type { IngestTerms, NumberRange, OwnerCalls } from '../shared/threads/share-protocol.ts';

/** What a client has for its writers. */
export interface WriterHost {
  readonly calls: Calls<OwnerCalls>;
  readonly fs: Pick<FileSystem, 'createExclusive'>;
  readonly directory: string;
  /** Sends the client's writes so far; undefined: they are on their way. */
  sent(): Promise<void> | undefined;
}

export class RunStore {
  /** Oldest first. */
  readonly runs: RunMeta[] = [];
  readonly #host: WriterHost;
  readonly #id: number;
  readonly #latch: IngestLatch;
  readonly #onDone: (chunk: IngestChunk) => void;
  readonly #onFailure: (error: unknown) => void;
  readonly #numbers: NumberRange[];
  #usedOfFirst = 0;
  readonly #waiting: IngestChunk[] = [];
  #asking: Promise<void> | undefined;

  /** `onDone`: a chunk was written, or never will be. `onFailure` gets what fails while nobody waits: an answer of the
   * owner, or a run written upon it. */
  constructor(
    host: WriterHost,
    terms: IngestTerms,
    onDone: (chunk: IngestChunk) => void,
    onFailure: (error: unknown) => void,
  ) {
    this.#host = host;
    this.#id = terms.id;
    this.#latch = new IngestLatch(terms.latch);
    this.#numbers = [terms.numbers];
    this.#onDone = onDone;
    this.#onFailure = onFailure;
  }

  /** The owner has ended the ingestion. */
  get hasEnded(): boolean {
    return this.#latch.hasEnded;
  }

  /** Throws STRATA_IO when the run can't be written, STRATA_CLOSED when the ingestion has ended. */
  write(chunk: IngestChunk): void {
    this.#waiting.push(chunk);
    this.#writeWaiting();
  }

  /** No chunk waits. */
  get isDrained(): boolean {
    return this.#waiting.length === 0;
  }

  async drained(): Promise<void> {
    while (!this.isDrained) await this.#asking;
  }

  /** Gives up what waits: nothing is written any more. */
  drop(): void {
    for (const chunk of this.#waiting.splice(0)) this.#onDone(chunk);
  }

  #writeWaiting(): void {
    while (this.#waiting.length > 0) {
      const number = this.#nextNumber();
      if (number === undefined) return;
      const chunk = this.#waiting.shift()!;
      try {
        this.runs.push(this.#writeRun(chunk, number));
      } finally {
        this.#onDone(chunk);
      }
    }
  }

  #writeRun(chunk: IngestChunk, number: FileNumber): RunMeta {
    const { fs, directory } = this.#host;
    if (!this.#latch.enter()) throw endedError();
    try {
      const file = fs.createExclusive(runPath(directory, number));
      try {
        return buildRun(chunk.packed, file, number, () => {
          if (this.#latch.hasEnded) throw endedError();
        });
      } catch (error) {
        closeQuietly(file);
        throw error;
      }
    } finally {
      this.#latch.leave();
    }
  }

  /** Numbers are used in the order in which they came: the owner knows by their count which ones have a file. */
  #nextNumber(): FileNumber | undefined {
    let range = this.#numbers[0];
    if (range !== undefined && this.#usedOfFirst === range.count) {
      this.#numbers.shift();
      this.#usedOfFirst = 0;
      range = this.#numbers[0];
    }
    if (this.#numbers.length < 2 && (range === undefined || this.#usedOfFirst >= range.count / 2))
      this.#askForNumbers();
    return range === undefined ? undefined : fileNumber(range.first + this.#usedOfFirst++);
  }

  #askForNumbers(): void {
    this.#asking ??= this.#host.calls
      .call('ingestReserve', [this.#id])
      .then((range) => {
        this.#asking = undefined;
        this.#numbers.push(range);
        this.#writeWaiting();
      })
      .catch((error: unknown) => {
        this.drop();
        this.#onFailure(error);
      });
  }
}

function endedError(): StorageError {
  return new StorageError('STRATA_CLOSED', 'the store is closed');
}
