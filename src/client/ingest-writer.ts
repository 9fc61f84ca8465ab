/**
 * An ingestion from an application's own thread: the thread packs, sorts and writes the runs (docs/architecture.md, path 4); the
 * owner merges and commits them.
 *
 *   put                   record-packer.ts; a full chunk becomes a run at once (run-store.ts)
 *   finish                what is left becomes the last run; the owner gets the list of all of them
 *   abort                 the owner deletes the files
 *
 * Invariants: it ends once: by finish(), by abort(), by a failure, or with the client. Everything is in the store then, or
 *             nothing of it, in memory or on the disk. If the client ends, the owner deletes its files.
 * Thread:     the client's.
 * Owns:       one chunk, or as many as wait to be written; their memory is given up at the end. The files are the owner's.
 */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { unless } from '../shared/base/abortable.ts';
import { StorageError } from '../shared/base/errors.ts';
import type { Bytes } from '../shared/base/input-bytes.ts';
import { awaited } from '../shared/base/process-keeper.ts';
import { throwIfAborted, whenAborted } from '../shared/base/signals.ts';
import {
  type IngestOptions,
  type IngestProgress,
  type IngestReport,
  type IngestSource,
  type ResolvedIngest,
  resolveIngest,
} from '../shared/ingest/ingest-options.ts';
import { ProgressTeller } from '../shared/ingest/progress.ts';
import { RecordPacker } from '../shared/ingest/record-packer.ts';
import { takeRecords } from '../shared/ingest/record-source.ts';
import type { IngestTerms, WireRuns } from '../shared/threads/share-protocol.ts';
import { isProgress } from './answers.ts';
import { RunStore, type WriterHost } from './run-store.ts';

/**
 * An ingestion that is written record by record, from {@link StorageClient.ingestWriter}. Finish or abort it: until then its
 * files stay on the disk, as long as the client lives.
 *
 * A put that fills the chunk (8 MiB) sorts it and writes it to a file, within the call: some tens of milliseconds.
 *
 * @example
 * const writer = await client.ingestWriter();
 * try {
 *   for (const [key, value] of parse(text)) writer.put(key, value);
 *   await writer.finish();
 * } finally {
 *   await writer.abort(); // nothing, once it is finished
 * }
 */
export class IngestWriter {
  readonly #host: WriterHost;
  readonly #id: number;
  readonly #onEnd: () => void;
  readonly #packer: RecordPacker;
  readonly #store: RunStore;
  readonly #abort = new AbortController();
  #state: 'open' | 'finishing' | 'ended' = 'open';
  /** In an object of its own, as a reason may be anything, undefined included. */
  #reason: { readonly reason: unknown } | undefined;
  /** The owner's answer that nothing is left. */
  #undone: Promise<void> | undefined;

  /** @internal Use {@link StorageClient.ingestWriter}. */
  constructor(host: WriterHost, terms: IngestTerms, onEnd: () => void) {
    this.#host = host;
    this.#id = terms.id;
    this.#onEnd = onEnd;
    this.#packer = new RecordPacker(terms.chunkBytes);
    this.#store = new RunStore(
      host,
      terms,
      (chunk) => this.#packer.giveBack(chunk),
      (error) => this.stop(error),
    );
  }

  /** Records put so far. */
  get recordCount(): number {
    return this.#packer.recordCount;
  }

  /** Bytes of their keys and values. */
  get byteCount(): number {
    return this.#packer.byteCount;
  }

  /**
   * Adds a record: in any order; of equal keys the last one counts. Key and value are copied before it returns. Nothing is
   * visible before {@link IngestWriter.finish}. A record that is refused is not in the ingestion, which goes on.
   * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_CLOSED once the writer, the client or the store has ended,
   * STRATA_IO when a file can't be written, which ends the writer.
   */
  put(key: Bytes, value: Bytes): void {
    if (this.#state !== 'open' || this.#store.hasEnded) throw this.#whyEnded();
    if (this.#packer.add(key, value)) return;
    this.#writeChunk();
    this.#packer.add(key, value);
  }

  /**
   * Resolves when all records are in the store, visible and durable: at once, and newer than whatever was written by then. Takes
   * `onProgress` and `signal` of the options of `ingest`.
   * @throws {@link StorageError} as {@link StorageEngine.ingest}; also the signal's reason. Nothing of the ingestion is in the
   * store then, and the writer has ended.
   */
  async finish(options?: IngestOptions): Promise<IngestReport> {
    const resolved = resolveIngest([], options);
    return await awaited(this.#toItsEnd(resolved, undefined));
  }

  /** @internal All records of `source`, and the end of it. */
  async ingest(source: IngestSource, options: ResolvedIngest): Promise<IngestReport> {
    const { signal } = this.#abort;
    const progress = new ProgressTeller(options.onProgress, (error) => this.stop(error));
    const tell = (always: boolean): void => {
      const { recordCount: records, byteCount: bytes } = this.#packer;
      const estimatedTotal = options.estimatedRecords;
      progress.tell({ phase: 'sorting', records, bytes, estimatedTotal }, always);
    };
    const takeAll = async (): Promise<void> => {
      const taken = takeRecords(source, this.#packer, {
        signal,
        ship: async (chunk) => {
          this.#store.write(chunk);
          await this.#store.drained();
        },
        onProgress: () => tell(false),
      });
      await unless(signal, taken);
      if (this.#packer.recordCount > 0) tell(true);
    };
    return await awaited(this.#toItsEnd(options, takeAll));
  }

  /** Resolves when nothing of the ingestion is left, in memory or on the disk. One that is finished stays. Idempotent. */
  async abort(): Promise<void> {
    this.stop(new StorageError('STRATA_CLOSED', 'the ingestion was aborted'));
    await this.#undone;
  }

  /** {@link IngestWriter.abort}, for `await using`: no more than a formality once it is finished. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  /** @internal Ends the ingestion, whose promises reject with `reason`, unless it is being committed. */
  stop(reason: unknown): void {
    if (this.#state === 'ended') return;
    // One that is finishing may have been committed by now: only the owner's answer says.
    if (this.#state === 'open') this.#end();
    this.#reason ??= { reason };
    this.#store.drop();
    this.#packer.end();
    // A client that is gone has no one to tell, and no need to.
    this.#undone ??= this.#host.calls.call('ingestAbort', [this.#id]).catch(() => undefined);
    this.#abort.abort(reason);
  }

  /**
   * Carries out `first`, which adds records, and then all that is left to do. Without it the owner is asked before this returns,
   * if no run waits to be written: a client that is closed next waits for its calls.
   */
  async #toItsEnd(
    { signal, onProgress }: ResolvedIngest,
    first: (() => Promise<void>) | undefined,
  ): Promise<IngestReport> {
    if (this.#state !== 'open' || this.#store.hasEnded) throw this.#whyEnded();
    this.#state = 'finishing';
    const forgetSignal = whenAborted(signal, (reason) => this.stop(reason));
    try {
      throwIfAborted(this.#abort.signal);
      if (first !== undefined) await first();
      this.#writeChunk();
      if (!this.#store.isDrained) await unless(this.#abort.signal, this.#store.drained());
      // The owner merges for long, and nothing is to be packed any more.
      this.#packer.end();
      // What this client wrote before the end is older than the ingestion.
      const sent = this.#host.sent();
      if (sent !== undefined) await unless(this.#abort.signal, sent);
      throwIfAborted(this.#abort.signal);
      return await this.#handOver(onProgress);
    } catch (error) {
      this.stop(error);
      await this.#undone;
      throw this.#reason!.reason;
    } finally {
      forgetSignal();
      this.#end();
    }
  }

  async #handOver(onProgress: (progress: IngestProgress) => void): Promise<IngestReport> {
    const { port1, port2 } = new MessageChannel();
    const progress = new ProgressTeller(onProgress, (error) => this.stop(error));
    const tell = (message: unknown): void => {
      if (isProgress(message)) progress.tell(message, true);
    };
    port1.on('message', tell);
    port1.unref();
    const { recordCount, byteCount } = this.#packer;
    const sorted: WireRuns = { runs: this.#store.runs, recordCount, byteCount };
    try {
      const report = await this.#host.calls.call('ingestFinish', [this.#id, sorted, port2], [port2]);
      // What the answer has overtaken. What a callback throws now is too late to end anything.
      for (;;) {
        const received = receiveMessageOnPort(port1);
        if (received === undefined) return report;
        tell(received.message);
      }
    } finally {
      port1.close();
    }
  }

  /** What was packed since the last run becomes one. */
  #writeChunk(): void {
    const chunk = this.#packer.takeChunk();
    if (chunk === undefined) return;
    try {
      this.#store.write(chunk);
    } catch (error) {
      this.stop(error);
      throw error;
    }
  }

  #end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#packer.end();
    this.#onEnd();
  }

  #whyEnded(): unknown {
    if (this.#state === 'finishing')
      return new StorageError('STRATA_CLOSED', 'the ingestion is being finished: it takes no more');
    if (this.#state === 'open') this.stop(new StorageError('STRATA_CLOSED', 'the store is closed'));
    if (this.#reason !== undefined) return this.#reason.reason;
    return new StorageError('STRATA_CLOSED', 'the ingestion is finished');
  }
}
