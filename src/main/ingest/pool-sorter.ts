/**
 * The first phase of an ingestion of the engine: its source is packed into chunks; each becomes a sorted run on the pool while
 * the next one fills.
 *
 * Invariants: all memory that it takes is a chunk for each thread, one that waits, and one being filled.
 * Thread:     main.
 * Owns:       the chunks, whose memory is given up when the last record is in a run, or the ingestion has ended. The files are
 *             the ingestion's.
 */

import { unless } from '../../shared/base/abortable.ts';
import type { IngestChunk } from '../../shared/ingest/chunk.ts';
import type { IngestSource } from '../../shared/ingest/ingest-options.ts';
import { RecordPacker } from '../../shared/ingest/record-packer.ts';
import { takeRecords } from '../../shared/ingest/record-source.ts';
import type { RunMeta } from '../../shared/ingest/run.ts';
import type { JobRunner } from '../jobs/job-runner.ts';
import type { ResolvedOptions } from '../store/options.ts';
import { INLINE_BYTES, type Ingestion, type SortedRecords } from './ingestion.ts';

const MIN_CHUNK_BYTES = 4096;
const MAX_CHUNK_BYTES: number = 32 * 1024 * 1024;
const MAX_CLIENT_CHUNK_BYTES: number = 8 * 1024 * 1024;

/** What sorting in the pool needs of a store. */
export interface SortParts {
  readonly jobs: JobRunner;
  readonly options: ResolvedOptions;
}

export class PoolSorter {
  readonly #store: SortParts;
  readonly #ingestion: Ingestion;
  readonly #packer: RecordPacker;
  readonly #estimatedTotal: number | undefined;
  /** In order of age; a hole where the job has not ended yet. */
  readonly #runs: (RunMeta | undefined)[] = [];
  readonly #jobs = new Set<Promise<void>>();

  constructor(store: SortParts, ingestion: Ingestion, estimatedTotal: number | undefined) {
    this.#store = store;
    this.#ingestion = ingestion;
    this.#estimatedTotal = estimatedTotal;
    const { threads } = store.options;
    this.#packer = new RecordPacker(chunkBytes(store, threads === 0 ? INLINE_BYTES : MAX_CHUNK_BYTES));
  }

  async sort(source: IngestSource): Promise<SortedRecords> {
    const { signal } = this.#ingestion;
    const ship = (chunk: IngestChunk): Promise<void> => this.#ship(chunk);
    const onProgress = (): void => this.#tell(false);
    try {
      await unless(signal, takeRecords(source, this.#packer, { signal, ship, onProgress }));
      await unless(signal, Promise.all(this.#jobs));
    } finally {
      this.#packer.end();
    }
    const { recordCount, byteCount } = this.#packer;
    if (recordCount > 0) this.#tell(true);
    return { runs: this.#runs as RunMeta[], recordCount, byteCount };
  }

  /** Resolves when no job writes a run any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#jobs);
  }

  async #ship(chunk: IngestChunk): Promise<void> {
    const place = this.#runs.push(undefined) - 1;
    const job = this.#sortChunk(chunk, place)
      .catch((error: unknown) => this.#ingestion.stop(error))
      .finally(() => this.#jobs.delete(job));
    this.#jobs.add(job);
    // One chunk for each thread, and one that waits: with the one being filled, all the memory that an ingestion takes.
    while (this.#jobs.size > Math.max(1, this.#store.options.callerThreads)) await Promise.race(this.#jobs);
  }

  async #sortChunk(chunk: IngestChunk, place: number): Promise<void> {
    try {
      const { run } = await this.#store.jobs.run<'ingest-run'>(
        (context) => ({ ...context, ...chunk.packed, kind: 'ingest-run', output: this.#ingestion.newRun() }),
        { urgent: false, keepAlive: false, forCaller: true, parent: this.#ingestion.traceId },
        this.#ingestion.token,
      );
      this.#runs[place] = run;
    } catch (error) {
      this.#packer.giveUp(chunk);
      throw error;
    }
    this.#packer.giveBack(chunk);
  }

  #tell(always: boolean): void {
    const { recordCount: records, byteCount: bytes } = this.#packer;
    const estimatedTotal = this.#estimatedTotal;
    this.#ingestion.progress.tell({ phase: 'sorting', records, bytes, estimatedTotal }, always);
  }
}

/** A client sorts and writes a chunk within one turn of its event loop. */
export function clientChunkBytes(store: Pick<SortParts, 'options'>): number {
  return chunkBytes(store, MAX_CLIENT_CHUNK_BYTES);
}

/** Of a store with small buffers chunks are small, too. */
function chunkBytes({ options }: Pick<SortParts, 'options'>, most: number): number {
  return Math.min(most, Math.max(MIN_CHUNK_BYTES, Math.ceil(options.writeBufferBytes / 2)));
}
