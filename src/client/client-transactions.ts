/**
 * A client's transactions: read in this thread, at a moment that the owner keeps, and judged and written by the owner.
 *
 *   begin    the owner says which sequence; the view of this thread by then has it, and is pinned
 *   reads    by that view, at that sequence
 *   commit   what was read, and the batch, go over in one message; the owner answers whether it was written
 *
 * Thread: the client's.     Owns: the transactions that run.
 */
import { StorageError } from '../shared/base/errors.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import type { Wanted } from '../shared/read/found-entry.ts';
import type { ResolvedRead, ResolvedScan } from '../shared/read/read-options.ts';
import type { Scan } from '../shared/read/scan.ts';
import type { ScanCore } from '../shared/read/scan-core.ts';
import type { OwnSource } from '../shared/read/scan-sources.ts';
import type { Calls } from '../shared/threads/calls.ts';
import { MarkFlag, type OwnerCalls } from '../shared/threads/share-protocol.ts';
import type { SharedClock } from '../shared/threads/shared-clock.ts';
import {
  type Attempt,
  type ResolvedTransaction,
  runTransaction,
  type TransactionFunction,
} from '../shared/transact/run-transaction.ts';
import type { MomentReads, TransactionState } from '../shared/transact/transaction.ts';
import { TransactionClock } from '../shared/transact/transaction-clock.ts';
import type { ClientReads } from './client-reads.ts';
import { ClientSnapshot } from './client-snapshot.ts';

type Read = ResolvedRead<never> | undefined;

/** What they need of the client. */
export interface TransactingClient {
  /** Snapshots of it are asked for with this. */
  readonly self: object;
  readonly calls: Calls<OwnerCalls>;
  readonly reads: ClientReads;
  /** The store's. */
  readonly clock: SharedClock;
  checkOpen(): void;
  /** Resolves when what was written before is on its way; undefined: it is. */
  sent(): Promise<void> | undefined;
  openScan(
    options: ResolvedScan<ClientSnapshot>,
    own: OwnSource | undefined,
  ): { readonly scan: Scan; readonly core: ScanCore };
}

export class ClientTransactions {
  readonly #client: TransactingClient;
  /** Reject what waits for their functions. */
  readonly #running = new Set<(error: StorageError) => void>();

  constructor(client: TransactingClient) {
    this.#client = client;
  }

  run<T>(fn: TransactionFunction<T>, { sync, retries }: ResolvedTransaction): Promise<T> {
    let last: number | undefined;
    const begin = async (): Promise<Attempt> => {
      const begun = await this.#begin(last, sync);
      last = begun.id;
      return new ClientAttempt(this.#client, this.#running, begun);
    };
    return runTransaction(begin, fn, retries);
  }

  /** The client ends. */
  close(error: StorageError): void {
    for (const reject of this.#running) reject(error);
  }

  async #begin(refused: number | undefined, sync: boolean): Promise<BegunTransaction> {
    const client = this.#client;
    await client.sent();
    const { id, sequence, timeMs } = await client.calls.call('transactionBegin', [refused]);
    client.checkOpen();
    const { view, sequence: now, release } = client.reads.pinMoment(undefined);
    if (now < sequence) {
      release();
      throw new StorageError('STRATA_CLOSED', 'the owner of the store named a moment that is not there');
    }
    const clock = new TransactionClock(timeMs);
    const snapshot = new ClientSnapshot(client.self, { view, sequence, clock, release, forget: release });
    return { id, sequence, clock, snapshot, sync };
  }
}

interface BegunTransaction {
  /** By which the owner knows it. */
  readonly id: number;
  readonly sequence: number;
  readonly clock: TransactionClock;
  readonly snapshot: ClientSnapshot;
  readonly sync: boolean;
}

class ClientAttempt implements Attempt, MomentReads {
  readonly sequence: number;
  readonly clock: TransactionClock;
  readonly #client: TransactingClient;
  readonly #running: Set<(error: StorageError) => void>;
  readonly #id: number;
  readonly #snapshot: ClientSnapshot;
  readonly #sync: boolean;
  /** For reads that say nothing else. */
  readonly #plain: ResolvedRead<ClientSnapshot>;
  #isOver = false;

  constructor(
    client: TransactingClient,
    running: Set<(error: StorageError) => void>,
    { id, sequence, clock, snapshot, sync }: BegunTransaction,
  ) {
    this.#client = client;
    this.#running = running;
    this.#id = id;
    this.sequence = sequence;
    this.clock = clock;
    this.#snapshot = snapshot;
    this.#sync = sync;
    this.#plain = { snapshot, fillCache: true, zeroCopy: false, signal: undefined };
  }

  get moment(): MomentReads {
    return this;
  }

  async whileOpen<T>(given: PromiseLike<T>): Promise<T> {
    let cancel!: (error: StorageError) => void;
    try {
      return await new Promise<T>((resolve, reject) => {
        cancel = reject;
        this.#running.add(cancel);
        given.then(resolve, reject);
      });
    } finally {
      this.#running.delete(cancel);
    }
  }

  async commit({ reads, own: { batch } }: TransactionState): Promise<boolean> {
    const client = this.#client;
    client.checkOpen();
    const wire = reads.toReads(this.clock.mayHaveRead);
    WriteBatch.settle(batch, client.clock);
    const bytes = WriteBatch.encoded(batch).slice();
    const flags = (this.#sync ? MarkFlag.Sync : 0) | (batch.length > 1 ? MarkFlag.Batch : 0);
    const marks = Uint32Array.of(bytes.length, batch.length, batch.dataByteLength, flags);
    await client.sent();
    this.#isOver = true;
    return await client.calls.call('transactionCommit', [this.#id, wire, { bytes, marks }], [bytes.buffer]);
  }

  end(): void {
    this.#snapshot.close();
    if (this.#isOver) return;
    this.#isOver = true;
    // It fails when the owner is gone, with whom the transaction has ended as well.
    this.#client.calls.call('transactionEnd', [this.#id]).catch(() => undefined);
  }

  checkReadable(): void {
    this.#client.checkOpen();
  }

  checkWritable(): void {
    this.#client.checkOpen();
  }

  getSync(key: Uint8Array, read: Read, wanted: Wanted): Buffer | undefined {
    return this.#client.reads.getSyncAt(key, this.#at(read), wanted);
  }

  get(key: Uint8Array, read: Read, wanted: Wanted): ReturnType<MomentReads['get']> {
    return this.#client.reads.getAt(key, this.#at(read), wanted);
  }

  getMany(keys: readonly Uint8Array[], read: Read): Promise<(Buffer | undefined)[]> {
    return this.#client.reads.getManyAt(keys, this.#at(read));
  }

  scan(
    options: ResolvedScan<never>,
    own: OwnSource | undefined,
  ): { readonly scan: Scan; readonly core: ScanCore } {
    return this.#client.openScan({ ...options, snapshot: this.#snapshot }, own);
  }

  #at(read: Read): ResolvedRead<ClientSnapshot> {
    return read === undefined ? this.#plain : { ...read, snapshot: this.#snapshot };
  }
}
