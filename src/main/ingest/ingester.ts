/**
 * The bulk loads of a store: any number take records at a time, one at a time merges and commits, so that each knows when it
 * will be in the order of writes.
 *
 * Invariants: the promise of a load settles when its files are in the store or deleted.
 * Thread:     main.
 */
import { BulkLoad, type IngestHost, unless } from './bulk-load.ts';
import { type IngestOptions, type IngestReport, type IngestSource, resolveIngest } from './ingest-options.ts';

export class Ingester {
  readonly #host: IngestHost;
  readonly #loads = new Set<BulkLoad>();
  /** Settles when all that are before a newcomer have had their turn. */
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(host: IngestHost) {
    this.#host = host;
  }

  async run(source: IngestSource, options: IngestOptions | undefined): Promise<IngestReport> {
    const resolved = resolveIngest(source, options);
    const { signal } = resolved;
    signal?.throwIfAborted();
    const load = new BulkLoad(this.#host, resolved);
    const onAbort = (): void => load.stop(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#loads.add(load);
    let isCommitted = false;
    try {
      await load.sort(source);
      const report = await this.#inTurn(load.signal, () => load.mergeAndCommit());
      isCommitted = true;
      return report;
    } finally {
      this.#loads.delete(load);
      signal?.removeEventListener('abort', onAbort);
      // A source that failed, say: what was started for it is of no use.
      if (!isCommitted) load.stop(undefined);
      await load.cleanUp(isCommitted);
    }
  }

  /** Ends all loads that are not being committed. */
  stop(reason: unknown): void {
    for (const load of this.#loads) load.stop(reason);
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
}
