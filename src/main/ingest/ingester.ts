/**
 * The ingestions of a store: any number take records at a time, one at a time merges and commits, so that each knows when it
 * will be in the order of writes.
 *
 *   run       a source of the engine's thread: its runs are built on the pool (pool-sorter.ts)
 *   receive   a client builds the runs in its own thread (received-ingestion.ts)
 *
 * Invariants: the promise of an ingestion settles when its files are in the store or deleted.
 * Thread:     main.
 * Owns:       file numbers that clients were given and did not use.
 */

import { unless } from '../../shared/base/abortable.ts';
import { throwIfAborted, whenAborted } from '../../shared/base/signals.ts';
import type { IngestOptions, IngestReport, IngestSource } from '../../shared/ingest/ingest-options.ts';
import { resolveIngest } from '../../shared/ingest/ingest-options.ts';
import type { NumberRange } from '../../shared/threads/share-protocol.ts';
import { type IngestHost, Ingestion, type SortedRecords } from './ingestion.ts';
import { PoolSorter } from './pool-sorter.ts';
import { ReceivedIngestion } from './received-ingestion.ts';

/**
 * File numbers, and so runs, that a client's ingestion asks for at a time. What it leaves is given back, or goes to the next one:
 * at most this many numbers are lost for each ingestion that runs when the store is closed.
 */
const CLIENT_NUMBERS = 256;
const MIN_CLIENT_NUMBERS = 16;

export class Ingester {
  readonly #host: IngestHost;
  readonly #ingestions = new Set<Ingestion>();
  readonly #received = new Set<Promise<unknown>>();
  readonly #spareNumbers: NumberRange[] = [];
  /** Settles when all that are before a newcomer have had their turn. */
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(host: IngestHost) {
    this.#host = host;
  }

  async run(source: IngestSource, options: IngestOptions | undefined): Promise<IngestReport> {
    const { onProgress, signal, estimatedRecords } = resolveIngest(source, options);
    throwIfAborted(signal);
    // The options are the application's: it may have closed the store while they were read.
    this.#host.checkWritable();
    const ingestion = new Ingestion(this.#host, onProgress);
    const sorter = new PoolSorter(this.#host.store, ingestion, estimatedRecords);
    const forgetSignal = whenAborted(signal, (reason) => ingestion.stop(reason));
    try {
      return await this.#carryOut(
        'engine',
        ingestion,
        () => sorter.sort(source),
        () => sorter.settled(),
      );
    } finally {
      forgetSignal();
    }
  }

  /** An ingestion of a client. Requires: the store takes writes. */
  receive(): ReceivedIngestion {
    const received = new ReceivedIngestion(
      (onProgress) => new Ingestion(this.#host, onProgress),
      () => this.#takeNumbers(),
    );
    const report = this.#carryOut(
      'client',
      received.ingestion,
      () => received.delivered(),
      async () => this.#keepNumbers(await received.settled()),
    );
    received.report = report;
    this.#received.add(report);
    const forget = (): void => void this.#received.delete(report);
    report.then(forget, forget);
    return received;
  }

  /** Ends all ingestions that are not being committed. */
  stop(reason: unknown): void {
    for (const ingestion of this.#ingestions) ingestion.stop(reason);
  }

  /** Resolves when no ingestion of a client is left; those of the engine are awaited by who asked for them. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#received);
  }

  /** `sort` is phase 1; `settled` resolves when nobody writes runs any more. */
  async #carryOut(
    source: 'engine' | 'client',
    ingestion: Ingestion,
    sort: () => Promise<SortedRecords>,
    settled: () => Promise<void>,
  ): Promise<IngestReport> {
    this.#ingestions.add(ingestion);
    const { trace } = this.#host.store;
    const span = trace.wants('ingestion') ? trace.begin('ingestion', { source }) : undefined;
    ingestion.traceId = span?.id;
    let isCommitted = false;
    try {
      const sorted = await sort();
      const report = await this.#inTurn(ingestion.signal, () => ingestion.mergeAndCommit(sorted));
      isCommitted = true;
      const { records, bytes, entries, tables, tableBytes } = report;
      span?.end({ records, bytes, entries, tables, tableBytes });
      return report;
    } catch (error) {
      span?.fail(error);
      throw error;
    } finally {
      this.#ingestions.delete(ingestion);
      // A source that failed, say: what was started for it is of no use.
      if (!isCommitted) ingestion.stop(undefined);
      await settled();
      await ingestion.cleanUp(isCommitted);
    }
  }

  async #inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#lastTurn;
    let end!: () => void;
    const mine = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#lastTurn = before.then(() => mine);
    try {
      await unless(signal, before);
      return await work();
    } finally {
      end();
    }
  }

  #takeNumbers(): NumberRange {
    const spare = this.#spareNumbers.pop();
    if (spare !== undefined) return spare;
    const first = this.#host.store.versions.reserveFileNumbers(CLIENT_NUMBERS);
    return { first, count: CLIENT_NUMBERS };
  }

  #keepNumbers(ranges: readonly NumberRange[]): void {
    const { versions } = this.#host.store;
    // The newest first: below them others may be the newest.
    for (const range of ranges.toReversed()) {
      const isFree = versions.giveBackReserved(range.first, range.count);
      if (!isFree && range.count >= MIN_CLIENT_NUMBERS) this.#spareNumbers.push(range);
    }
  }
}
