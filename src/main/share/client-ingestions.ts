/**
 * The bulk loads of one client: what its IngestWriters ask for.
 *
 * Invariants: when the client is gone, so are its loads, but for one that is being committed.
 * Thread:     main.     Owns: the loads of the client that have not ended.
 */
import type { MessagePort } from 'node:worker_threads';
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import type { IngestReport } from '../../shared/ingest/ingest-options.ts';
import type { IngestTerms, NumberRange, WireRuns } from '../../shared/threads/share-protocol.ts';
import type { ReceivedLoad } from '../ingest/received-ingestion.ts';

/** Where clients' loads go. */
export interface LoadReceiver {
  /** Throws when the store takes no writes. */
  begin(): ReceivedLoad;
  readonly chunkBytes: number;
}

/** Each takes file numbers, which are never given out again. */
const MAX_LOADS = 256;

export class ClientLoads {
  readonly #receiver: LoadReceiver;
  readonly #loads = new Map<number, ReceivedLoad>();
  #lastId = 0;

  constructor(receiver: LoadReceiver) {
    this.#receiver = receiver;
  }

  begin(): IngestTerms {
    if (this.#loads.size >= MAX_LOADS)
      throw invalidArgument(`a client has at most ${MAX_LOADS} bulk loads at a time`);
    const load = this.#receiver.begin();
    const id = ++this.#lastId;
    this.#loads.set(id, load);
    const forget = (): void => void this.#loads.delete(id);
    load.report.then(forget, forget);
    return {
      id,
      chunkBytes: this.#receiver.chunkBytes,
      latch: load.latch.buffer,
      numbers: load.reserve(),
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

  /** Resolves when nothing of the load is left. One that has ended is fine. */
  async abort(id: number): Promise<void> {
    await this.#loads.get(id)?.stop(new StorageError('STRATA_CLOSED', 'the load was aborted'));
  }

  /** The client is gone. */
  end(): void {
    for (const load of this.#loads.values())
      load.gone(new StorageError('STRATA_CLOSED', 'the client is closed'));
  }

  #find(id: number): ReceivedLoad {
    const load = this.#loads.get(id);
    // Loads end by themselves only with the store.
    if (load === undefined) throw new StorageError('STRATA_CLOSED', 'the store is closed');
    return load;
  }
}
