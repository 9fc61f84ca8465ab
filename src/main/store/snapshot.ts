/**
 * Snapshots: read points that compaction keeps alive.
 *
 * A snapshot is a sequence number: reads through it see the newest version of each key at or below it. Flush and
 * compaction are given all open ones and keep, for each, the version it sees.
 *
 * One that is collected without having been closed is given up as if it had been, with a warning (forgotten.ts). A scan through
 * it has pinned what it reads, and goes on.
 *
 * Invariants: a read point counts until its snapshot is closed or collected, once. A closed one holds nothing of the store.
 * Thread:     main.     Owns: the open snapshots.
 */
import { StorageError } from '../../shared/base/errors.ts';
import type { ForgottenWarning } from '../../shared/base/forgotten.ts';
import type { SequenceNumber } from '../../shared/base/ids.ts';

/** What a snapshot holds: apart from it, so that a forgotten one can be collected and this then given up. */
interface Hold {
  readonly list: SnapshotList;
  readonly sequence: SequenceNumber;
}

const forgotten = new FinalizationRegistry<Hold>(({ list, sequence }) => list.forget(sequence));

/**
 * A frozen moment of the store, from {@link StorageEngine.snapshot}. Close it: old versions are kept on disk for it. One that
 * is forgotten is closed when the garbage collector finds it, with a warning (`STRATAKV_FORGOTTEN_SNAPSHOT`).
 *
 * @example
 * const snapshot = engine.snapshot();
 * try {
 *   await engine.put('k', 'new');
 *   engine.getSync('k', { snapshot }); // still the old value
 * } finally {
 *   snapshot.close();
 * }
 */
export class Snapshot {
  /** undefined: closed. */
  #list: SnapshotList | undefined;
  readonly #sequence: SequenceNumber;

  /** @internal Use {@link StorageEngine.snapshot}. */
  constructor(list: SnapshotList, sequence: SequenceNumber) {
    this.#list = list;
    this.#sequence = sequence;
    forgotten.register(this, { list, sequence }, this);
  }

  /** Reading through a closed snapshot is STRATA_CLOSED. */
  get isClosed(): boolean {
    return this.#list === undefined;
  }

  /** Gives the moment up. Idempotent. */
  close(): void {
    const list = this.#list;
    if (list === undefined) return;
    this.#list = undefined;
    forgotten.unregister(this);
    list.remove(this.#sequence);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal The read point for `list`'s store; throws for a closed snapshot or one of another store. */
  static sequenceOf(snapshot: unknown, list: SnapshotList): SequenceNumber {
    if (!(snapshot instanceof Snapshot) || (snapshot.#list !== undefined && snapshot.#list !== list))
      throw new StorageError('STRATA_INVALID_ARGUMENT', 'the snapshot is not one of this store');
    if (snapshot.#list === undefined) throw new StorageError('STRATA_CLOSED', 'the snapshot is closed');
    return snapshot.#sequence;
  }
}

/** All keys from `start` on, deleted by `sequence`. */
export interface EndlessDelete {
  readonly start: Uint8Array;
  readonly sequence: number;
}

export class SnapshotList {
  /** How many open snapshots there are at each sequence. */
  readonly #counts = new Map<SequenceNumber, number>();
  /** The same, of transactions alone, lowest first. */
  readonly #judged = new Map<SequenceNumber, number>();
  #endless: readonly EndlessDelete[] = [];
  /** A job has kept something for one of them. */
  #isKept = false;
  readonly #warning: ForgottenWarning;
  /** undefined once the store is closed: whoever keeps a snapshot of it keeps nothing else. */
  #onReleased: (() => void) | undefined;

  /** `onReleased`: the last one at its sequence was closed, and what was kept for it may go. */
  constructor(warning: ForgottenWarning, onReleased: () => void) {
    this.#warning = warning;
    this.#onReleased = onReleased;
  }

  /** Without those of transactions. */
  get size(): number {
    let total = 0;
    for (const count of this.#counts.values()) total += count;
    return total;
  }

  take(sequence: SequenceNumber): Snapshot {
    this.#counts.set(sequence, (this.#counts.get(sequence) ?? 0) + 1);
    return new Snapshot(this, sequence);
  }

  /**
   * A read point of a transaction, until {@link release}: what is written above it is judged when that commits, so all of it has
   * to be there, deletes as well.
   */
  hold(sequence: SequenceNumber): void {
    this.#judged.set(sequence, (this.#judged.get(sequence) ?? 0) + 1);
  }

  release(sequence: SequenceNumber): void {
    const count = this.#judged.get(sequence)!;
    if (count > 1) this.#judged.set(sequence, count - 1);
    else this.#judged.delete(sequence);
    if (this.#judged.size === 0) this.#endless = [];
    if (!this.#isKept || this.#judged.size > 0) return;
    this.#isKept = false;
    this.#onReleased?.();
  }

  /** A flush cuts range deletes without an end down to what they can delete: transactions may have read what lies behind. */
  noteEndless(deletes: readonly EndlessDelete[]): void {
    if (this.#judged.size > 0) this.#endless = [...this.#endless, ...deletes];
  }

  /** Those that were cut since the oldest transaction that is open began; some may be older. */
  get endlessDeletes(): readonly EndlessDelete[] {
    return this.#endless;
  }

  /** For a job: deletes above this sequence stay, even those that hide nothing; undefined: no transaction is open. */
  keepDeletesAbove(): SequenceNumber | undefined {
    this.#isKept = this.#judged.size > 0;
    // The moments of transactions only rise: the first one that was noted is the lowest.
    for (const sequence of this.#judged.keys()) return sequence;
    return undefined;
  }

  remove(sequence: SequenceNumber): void {
    const count = this.#counts.get(sequence) ?? 0;
    if (count > 1) this.#counts.set(sequence, count - 1);
    else if (this.#counts.delete(sequence)) this.#onReleased?.();
  }

  /** {@link remove}, for a snapshot that was collected. */
  forget(sequence: SequenceNumber): void {
    this.#warning.tell();
    this.remove(sequence);
  }

  /** The store is closed: what is forgotten from now on is nobody's mistake. */
  end(): void {
    this.#warning.end();
    // The application may go on to hold some.
    this.#onReleased = undefined;
  }

  /** All read points, ascending: what a job is given. */
  sequences(): SequenceNumber[] {
    return [...new Set([...this.#counts.keys(), ...this.#judged.keys()])].sort((a, b) => a - b);
  }
}
