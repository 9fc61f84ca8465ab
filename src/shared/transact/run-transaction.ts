/**
 * Runs the function of a transaction until what it has read still holds when it commits.
 *
 *   begin -> fn -> nothing written: done
 *               -> commit: judged. Nothing read was written since: done
 *                                  else again from the start, `retries` times
 *
 * Thread: any.
 */
import { invalidArgument, StorageError } from '../base/errors.ts';
import { describe } from '../base/input-bytes.ts';
import { boolean, checkObject, integer } from '../base/option-checks.ts';
import { type MomentReads, Transaction, TransactionState } from './transaction.ts';

/** Options of a transaction. */
export interface TransactionOptions {
  /** Wait until the commit would survive power loss. Default: the engine's `sync` option. */
  readonly sync?: boolean | undefined;
  /** How often it is run again when what it read was written meanwhile. Default 10. */
  readonly retries?: number | undefined;
}

/** Reads and writes by what it is given. It may run several times. */
export type TransactionFunction<T> = (tx: Transaction) => Promise<T> | T;

const DEFAULT_RETRIES = 10;
const MOST_RETRIES: number = Number.MAX_SAFE_INTEGER;
const OPTION_NAMES: ReadonlySet<string> = new Set(['sync', 'retries']);

export interface ResolvedTransaction {
  readonly sync: boolean;
  readonly retries: number;
}

/** One run of the function. */
export interface Attempt {
  readonly moment: MomentReads;
  /** Settles as `given` does, or is rejected when the store, or the way to it, is closed before that. */
  whileOpen<T>(given: PromiseLike<T>): Promise<T>;
  /** Whether it is committed, and as durable as was asked for; false: what it has read was written since. */
  commit(state: TransactionState): Promise<boolean>;
  /** Gives up what it holds. Idempotent. */
  end(): void;
}

export function resolveTransaction(
  fn: unknown,
  options: TransactionOptions | undefined,
  sync: boolean,
): ResolvedTransaction {
  if (typeof fn !== 'function') throw invalidArgument(`transaction takes a function, not ${describe(fn)}`);
  if (options === undefined) return { sync, retries: DEFAULT_RETRIES };
  checkObject(options, 'transaction options', OPTION_NAMES);
  return {
    sync: boolean(options, 'sync', sync),
    retries: integer(options, 'retries', DEFAULT_RETRIES, 0, MOST_RETRIES),
  };
}

/** `begin` is told how often the function has run already. Resolves with what `fn` returned in the run that counts. */
export async function runTransaction<T>(
  begin: (runs: number) => Attempt | Promise<Attempt>,
  fn: TransactionFunction<T>,
  retries: number,
): Promise<T> {
  for (let runs = 0; ; runs++) {
    const begun = begin(runs);
    const attempt = isThenable(begun) ? await begun : begun;
    const state = new TransactionState(attempt.moment);
    try {
      const given = fn(new Transaction(state));
      const result = isThenable(given) ? await attempt.whileOpen(given) : given;
      state.end();
      if (state.own.isEmpty || (await attempt.commit(state))) return result;
    } finally {
      state.end();
      state.reads.end();
      attempt.end();
    }
    if (runs >= retries) throw conflictError(runs + 1);
  }
}

function isThenable<T>(value: Promise<T> | T): value is Promise<T> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}

function conflictError(runs: number): StorageError {
  return new StorageError(
    'STRATA_CONFLICT',
    `the transaction was not committed: what it read was written by others meanwhile, in each of ${runs} runs`,
  );
}
