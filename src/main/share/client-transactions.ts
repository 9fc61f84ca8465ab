/**
 * The owner's part in the transactions of one client: keeps the moments that it reads, and judges and writes its commits.
 *
 * Invariants: what a client leaves open ends with it.
 * Thread:     main.     Owns: the open transactions of the client.
 */
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import type { TransactionStart } from '../../shared/threads/share-protocol.ts';
import type { Reads } from '../../shared/transact/read-set.ts';
import type { WrittenBytes } from '../transact/read-index.ts';
import type { RefusedRun } from '../transact/reruns.ts';
import type { OpenTransaction } from '../transact/transactions.ts';

/** The store's transactions, as a client's are part of them. */
export interface TransactionService {
  begin(): OpenTransaction;
  /** One that was refused: in its turn. */
  beginAgain(refused: RefusedRun | undefined): Promise<OpenTransaction>;
  commit(
    open: OpenTransaction,
    reads: () => Reads,
    written: WrittenBytes,
    write: () => Promise<void>,
  ): Promise<boolean>;
  end(open: OpenTransaction): void;
}

const MAX_REFUSED = 256;

export class ClientTransactions {
  readonly #service: TransactionService;
  readonly #open = new Map<number, OpenTransaction>();
  /** Until they run again. */
  readonly #refused = new Map<number, RefusedRun>();
  #lastId = 0;
  #isEnded = false;

  constructor(service: TransactionService) {
    this.#service = service;
  }

  /** `refused`: the number of the run before, in which it was; undefined: it runs for the first time. */
  async begin(refused: number | undefined): Promise<TransactionStart> {
    if (refused === undefined) return this.#started(this.#service.begin());
    const before = this.#refused.get(refused);
    this.#refused.delete(refused);
    const open = await this.#service.beginAgain(before);
    if (!this.#isEnded) return this.#started(open);
    this.#service.end(open);
    throw new StorageError('STRATA_CLOSED', 'the client is closed');
  }

  #started(open: OpenTransaction): TransactionStart {
    const id = ++this.#lastId;
    this.#open.set(id, open);
    return { id, sequence: open.sequence, timeMs: open.timeMs };
  }

  /** false: what it has read was written since. It has ended either way. */
  async commit(
    id: number,
    reads: Reads,
    written: WrittenBytes,
    write: () => Promise<void>,
  ): Promise<boolean> {
    const open = this.#open.get(id);
    if (open === undefined) throw invalidArgument('a transaction that is not open was to be committed');
    this.#open.delete(id);
    const isWritten = await this.#service.commit(open, () => reads, written, write);
    if (open.refused !== undefined) this.#noteRefused(id, open.refused);
    return isWritten;
  }

  /** Those that do not run again are forgotten in the end. */
  #noteRefused(id: number, run: RefusedRun): void {
    this.#refused.set(id, run);
    const [oldest] = this.#refused.keys();
    if (this.#refused.size > MAX_REFUSED) this.#refused.delete(oldest!);
  }

  /** Without having written. */
  finish(id: number): void {
    const open = this.#open.get(id);
    this.#open.delete(id);
    if (open !== undefined) this.#service.end(open);
  }

  /** The client is gone. */
  end(): void {
    this.#isEnded = true;
    this.#refused.clear();
    for (const open of this.#open.values()) this.#service.end(open);
    this.#open.clear();
  }
}
