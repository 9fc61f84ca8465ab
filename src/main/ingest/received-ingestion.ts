/**
 * An ingestion whose runs a client builds in its own thread: the owner's side of an IngestWriter.
 *
 *   begin         the client gets a latch (latch.ts) and file numbers
 *   reserve       more numbers
 *   finish        the client's runs, described: merged and committed like any other ingestion's
 *   stop, gone    the ingestion ends, and its files go
 *
 * The owner deletes every file that the client has begun, as the latch counts them: of a client that was terminated nobody else
 * knows.
 *
 * Invariants: no file of the client is deleted, and the directory not given up, while the client may write. It may not once the
 *             latch is ended and it is not writing, or once its thread or port is gone: a port is closed between two turns of
 *             its event loop, and writing a run is a part of one turn.
 * Thread:     main.     Owns: the file numbers that the client was given and has not used.
 */

import { unless } from '../../shared/base/abortable.ts';
import { invalidArgument } from '../../shared/base/errors.ts';
import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import { awaited } from '../../shared/base/process-keeper.ts';
import { throwIfAborted } from '../../shared/base/signals.ts';
import { delay } from '../../shared/base/timers.ts';
import type { IngestProgress, IngestReport } from '../../shared/ingest/ingest-options.ts';
import { IngestLatch } from '../../shared/ingest/latch.ts';
import type { NumberRange } from '../../shared/threads/share-protocol.ts';
import type { Ingestion, SortedRecords } from './ingestion.ts';

/** A client that is writing is looked at so often: it ends at its next pulse. */
const LOOK_MS = 2;
/** A client asks when half of its last numbers are used; file numbers are never given out again. */
const MAX_UNUSED_RANGES = 3;

export class ReceivedIngestion {
  readonly latch: IngestLatch = new IngestLatch();
  readonly #ingestion: Ingestion;
  readonly #takeNumbers: () => NumberRange;
  /** In the order in which the client uses them. */
  readonly #numbers: NumberRange[] = [];
  readonly #delivered: Promise<SortedRecords>;
  #deliver!: (sorted: SortedRecords) => void;
  #isGone = false;
  #onProgress: (progress: IngestProgress) => void = () => undefined;
  /** Settles when its files are in the store or deleted. */
  report!: Promise<IngestReport>;

  /** `makeIngestion` makes the ingestion, which reports progress to what it is given. */
  constructor(
    makeIngestion: (onProgress: (progress: IngestProgress) => void) => Ingestion,
    takeNumbers: () => NumberRange,
  ) {
    this.#ingestion = makeIngestion((progress) => this.#onProgress(progress));
    this.#takeNumbers = takeNumbers;
    this.#delivered = new Promise((resolve) => {
      this.#deliver = resolve;
    });
  }

  /** For Ingester. */
  get ingestion(): Ingestion {
    return this.#ingestion;
  }

  /** File numbers for runs. */
  reserve(): NumberRange {
    throwIfAborted(this.#ingestion.signal);
    if (this.#unused().length >= MAX_UNUSED_RANGES)
      throw invalidArgument('a client asks for file numbers when it has used those before');
    const range = this.#takeNumbers();
    this.#numbers.push(range);
    return range;
  }

  /** Phases 2 and 3. */
  async finish(sorted: SortedRecords, onProgress: (progress: IngestProgress) => void): Promise<IngestReport> {
    const used = new Set(this.#used());
    if (!sorted.runs.every(({ number }) => used.has(number)))
      throw invalidArgument('a client hands over only the runs that it wrote');
    this.#onProgress = onProgress;
    this.#deliver(sorted);
    return await awaited(this.report);
  }

  /** Ends the ingestion, unless it is being committed; resolves when its files are deleted. */
  async stop(reason: unknown): Promise<void> {
    this.#ingestion.stop(reason);
    await Promise.allSettled([this.report]);
  }

  /** The client's thread or port is gone: it writes no more, whatever the latch says. */
  gone(reason: unknown): void {
    this.#isGone = true;
    this.#ingestion.stop(reason);
  }

  /** The runs, once the client has finished. */
  async delivered(): Promise<SortedRecords> {
    return await unless(this.#ingestion.signal, this.#delivered);
  }

  /** Resolves when the client writes no more; the ingestion knows its files then. Returns numbers without a file. */
  async settled(): Promise<readonly NumberRange[]> {
    this.latch.end();
    while (this.latch.isWriting && !this.#isGone) await delay(LOOK_MS);
    for (const number of this.#used()) this.#ingestion.addRun(number);
    return this.#unused();
  }

  #used(): FileNumber[] {
    let left = this.latch.usedCount;
    return this.#numbers.flatMap(({ first, count }) => {
      const length = Math.min(count, left);
      left -= length;
      return Array.from({ length }, (_, i) => fileNumber(first + i));
    });
  }

  #unused(): NumberRange[] {
    let used = this.latch.usedCount;
    return this.#numbers.flatMap(({ first, count }) => {
      const gone = Math.min(count, used);
      used -= gone;
      return count === gone ? [] : [{ first: fileNumber(first + gone), count: count - gone }];
    });
  }
}
