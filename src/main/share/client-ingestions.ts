/**
 * The ingestions of one client: what its IngestWriters ask for.
 *
 * Invariants: when the client is gone, so are its ingestions, except one that is being committed.
 * Thread:     main.     Owns: the ingestions of the client that have not ended.
 */
import type { MessagePort } from 'node:worker_threads';
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import type { IngestReport } from '../../shared/ingest/ingest-options.ts';
import type { IngestTerms, NumberRange, WireRuns } from '../../shared/threads/share-protocol.ts';
import type { ReceivedIngestion } from '../ingest/received-ingestion.ts';

/** Where clients' ingestions go. */
export interface IngestReceiver {
  /** Throws when the store takes no writes. */
  begin(): ReceivedIngestion;
  readonly chunkBytes: number;
}

/** Each takes file numbers, which are never given out again. */
const MAX_INGESTIONS = 256;

export class ClientIngestions {
  readonly #receiver: IngestReceiver;
  readonly #ingestions = new Map<number, ReceivedIngestion>();
  #lastId = 0;

  constructor(receiver: IngestReceiver) {
    this.#receiver = receiver;
  }

  begin(): IngestTerms {
    if (this.#ingestions.size >= MAX_INGESTIONS)
      throw invalidArgument(`a client has at most ${MAX_INGESTIONS} ingestions at a time`);
    const ingestion = this.#receiver.begin();
    const id = ++this.#lastId;
    this.#ingestions.set(id, ingestion);
    const forget = (): void => void this.#ingestions.delete(id);
    ingestion.report.then(forget, forget);
    return {
      id,
      chunkBytes: this.#receiver.chunkBytes,
      latch: ingestion.latch.buffer,
      numbers: ingestion.reserve(),
    };
  }

  reserve(id: number): NumberRange {
    return this.#find(id).reserve();
  }

  async finish(id: number, sorted: WireRuns, progressPort: MessagePort | undefined): Promise<IngestReport> {
    progressPort?.unref();
    try {
      return await this.#find(id).finish(sorted, (progress) => progressPort?.postMessage(progress));
    } finally {
      progressPort?.close();
    }
  }

  /** Resolves when nothing of the ingestion is left. One that has ended is fine. */
  async abort(id: number): Promise<void> {
    await this.#ingestions.get(id)?.stop(new StorageError('STRATA_CLOSED', 'the ingestion was aborted'));
  }

  /** The client is gone. */
  end(): void {
    for (const ingestion of this.#ingestions.values())
      ingestion.gone(new StorageError('STRATA_CLOSED', 'the client is closed'));
  }

  #find(id: number): ReceivedIngestion {
    const ingestion = this.#ingestions.get(id);
    // Ingestions end by themselves only with the store.
    if (ingestion === undefined) throw new StorageError('STRATA_CLOSED', 'the store is closed');
    return ingestion;
  }
}
