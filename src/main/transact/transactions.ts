/**
 * The owner's side of transactions, its own and those of clients: their moments, their commits, and who runs again when.
 *
 *   begin     the moment is the last that is visible. It counts among the snapshots, so that whatever was visible then is kept,
 *             and is noted as judged, so that what is written since can be told from what was there (SnapshotList)
 *   commit    1. waits while an ingestion takes its place in the order of writes, and while another runs again that has read
 *                what it writes
 *             2. is judged by what tables hold (judgement.ts), in steps
 *             3. is judged by what memory holds, and written as a batch, in one step of this thread
 *   again     one at a time (reruns.ts), each from a moment at which whatever was under way is visible: what a run was refused
 *             for might not be, and would refuse it once more
 *
 * Invariants: nothing is written between the last look and the batch.
 *             When the store closes, transactions whose batch is not written are rejected; the others end as writes do.
 * Thread:     main.     Owns: the open transactions.
 */
import type { StorageError } from '../../shared/base/errors.ts';
import { NOTHING_EXPIRES } from '../../shared/base/expiry.ts';
import type { SequenceNumber } from '../../shared/base/ids.ts';
import { setImmediate } from '../../shared/base/timers.ts';
import { WriteBatch } from '../../shared/log/write-batch.ts';
import { timeOfRead } from '../../shared/read/found-entry.ts';
import { newestFirst } from '../../shared/read/readable-memtables.ts';
import type { Reads } from '../../shared/transact/read-set.ts';
import {
  type Attempt,
  type ResolvedTransaction,
  runTransaction,
  type TransactionFunction,
} from '../../shared/transact/run-transaction.ts';
import type { MomentReads, TransactionState } from '../../shared/transact/transaction.ts';
import type { SnapshotList } from '../store/snapshot.ts';
import type { WriteGate } from '../write/write-gate.ts';
import { isWrittenInMemory, type JudgedParts, TableJudgement } from './judgement.ts';
import type { WrittenBytes } from './read-index.ts';
import { type RefusedRun, Reruns, type RerunTurn } from './reruns.ts';

/** What it needs of a store. */
export interface TransactionParts extends JudgedParts {
  readonly gate: WriteGate;
  readonly snapshots: SnapshotList;
  readonly counters: { conflictCount: number; userBytes: number };
  visibleSequence(): SequenceNumber;
  checkReadable(): void;
  checkWritable(): void;
  /** Reads of a moment that is kept. */
  readsAt(sequence: SequenceNumber, timeMs: number): MomentReads;
}

/** An open transaction: a moment that is kept until it is ended. */
export class OpenTransaction {
  readonly sequence: SequenceNumber;
  /** By which what it reads expires; NOTHING_EXPIRES: nothing does. */
  readonly timeMs: number;
  /** In which it runs again. */
  readonly turn: RerunTurn | undefined;
  /** Among the open ones; -1: it has ended. */
  place = -1;
  /** Runs of it that were refused before. */
  readonly runs: number;
  /** When its commit was refused. */
  refused: RefusedRun | undefined;
  /** Rejects what waits for its function, when the store closes. */
  cancel: ((error: StorageError) => void) | undefined;

  constructor(sequence: SequenceNumber, timeMs: number, turn: RerunTurn | undefined, runs: number) {
    this.runs = runs;
    this.sequence = sequence;
    this.timeMs = timeMs;
    this.turn = turn;
  }
}

/** A run in this thread. */
class OwnAttempt implements Attempt {
  readonly moment: MomentReads;
  readonly #all: Transactions;
  readonly #open: OpenTransaction;
  readonly #sync: boolean;

  constructor(all: Transactions, open: OpenTransaction, moment: MomentReads, sync: boolean) {
    this.#all = all;
    this.#open = open;
    this.moment = moment;
    this.#sync = sync;
  }

  whileOpen<T>(given: PromiseLike<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#open.cancel = reject;
      given.then(resolve, reject);
    });
  }

  commit(state: TransactionState): Promise<boolean> {
    this.#open.cancel = undefined;
    return this.#all.commitOwn(this.#open, state, this.#sync);
  }

  end(): void {
    this.#all.end(this.#open);
  }
}

export class Transactions {
  readonly #parts: TransactionParts;
  readonly #reruns = new Reruns();
  readonly #open: OpenTransaction[] = [];

  constructor(parts: TransactionParts) {
    this.#parts = parts;
  }

  get openCount(): number {
    return this.#open.length;
  }

  /** Of those that are to run again. */
  get waitingCount(): number {
    return this.#reruns.waiting;
  }

  /** Runs `fn` in this thread. */
  run<T>(fn: TransactionFunction<T>, { sync, retries }: ResolvedTransaction): Promise<T> {
    let last: OpenTransaction | undefined;
    const attempt = (open: OpenTransaction): Attempt => {
      last = open;
      return new OwnAttempt(this, open, this.#parts.readsAt(open.sequence, open.timeMs), sync);
    };
    return runTransaction(
      (runs) => (runs === 0 ? attempt(this.begin()) : this.beginAgain(last?.refused).then(attempt)),
      fn,
      retries,
    );
  }

  commitOwn(open: OpenTransaction, state: TransactionState, sync: boolean): Promise<boolean> {
    const { reads, own, moment } = state;
    const { pipeline, counters, clock } = this.#parts;
    return this.commit(
      open,
      () => reads.toReads(moment.clock.mayHaveRead),
      { bytes: WriteBatch.memory(own.batch), start: 0, end: own.batch.byteLength },
      () => {
        WriteBatch.settle(own.batch, clock);
        const written = pipeline.appendBatch(own.batch, sync);
        counters.userBytes += own.batch.dataByteLength;
        return written;
      },
    );
  }

  begin(turn?: RerunTurn, runs = 0): OpenTransaction {
    const { visibleSequence, memtables, versions, clock, snapshots } = this.#parts;
    const timeMs = timeOfRead(newestFirst(memtables), versions.current, clock);
    const open = new OpenTransaction(visibleSequence(), timeMs, turn, runs);
    snapshots.hold(open.sequence, timeMs);
    open.place = this.#open.push(open) - 1;
    return open;
  }

  /** As {@link begin}, for one that was refused, in its turn. */
  async beginAgain(refused: RefusedRun | undefined): Promise<OpenTransaction> {
    const turn = await this.#reruns.enter(refused);
    try {
      await this.#parts.pipeline.published();
      this.#parts.checkReadable();
      return this.begin(turn, refused?.runs);
    } catch (error) {
      this.#reruns.leave(turn);
      throw error;
    }
  }

  /** It is over, committed or not. Idempotent. */
  end(open: OpenTransaction): void {
    const { place } = open;
    if (place < 0) return;
    // The last one takes its place.
    const last = this.#open.pop()!;
    if (last !== open) {
      this.#open[place] = last;
      last.place = place;
    }
    open.place = -1;
    const { snapshots, pipeline } = this.#parts;
    snapshots.release(open.sequence);
    const { turn } = open;
    if (turn === undefined) return;
    // What it has written is to be seen by the next.
    const published = pipeline.published();
    if (published === undefined) this.#reruns.leave(turn);
    else void published.then(() => this.#reruns.leave(turn));
  }

  /**
   * Has `write` append what is `written`, and ends `open`, if nothing of the reads was written since its moment: resolves as
   * `write` does. With false when something was.
   */
  async commit(
    open: OpenTransaction,
    readsOf: () => Reads,
    written: WrittenBytes,
    write: () => Promise<void>,
  ): Promise<boolean> {
    const { gate, counters } = this.#parts;
    let reads: Reads | undefined;
    let tables: TableJudgement | undefined;
    try {
      for (;;) {
        this.#parts.checkWritable();
        const way = gate.ingestion ?? this.#reruns.wayFor(written, open.turn);
        if (way !== undefined) {
          await way;
          continue;
        }
        if (this.#hasChangedSince(open)) {
          reads ??= readsOf();
          tables ??= new TableJudgement(this.#parts, reads, open);
          const found = tables.step();
          if (found === 'more') {
            await new Promise<void>((resolve) => setImmediate(resolve));
            continue;
          }
          if (
            found === 'written' ||
            tables.hasExpired() ||
            isWrittenInMemory(this.#parts, reads, tables.moment)
          ) {
            counters.conflictCount++;
            open.refused = { reads, runs: open.runs + 1 };
            return false;
          }
        }
        const appended = write();
        this.end(open);
        await appended;
        return true;
      }
    } finally {
      tables?.end();
      this.end(open);
    }
  }

  /** Whether anything at all was written, or can have expired. */
  #hasChangedSince({ sequence, timeMs }: OpenTransaction): boolean {
    const { pipeline, versions, lastSequence, clock } = this.#parts;
    return (
      pipeline.held.count > 0 ||
      lastSequence() > sequence ||
      versions.lastSequence > sequence ||
      (timeMs !== NOTHING_EXPIRES && clock.now() > timeMs)
    );
  }

  /** The store closes: whoever waits for a function to end waits no longer. */
  close(error: StorageError): void {
    this.#reruns.close(error);
    for (const { cancel } of [...this.#open]) cancel?.(error);
  }
}
