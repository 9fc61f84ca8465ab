/**
 * Snapshots: read points that compaction keeps alive.
 *
 * A snapshot is a sequence number, and a time: reads through it see the newest version of each key at or below it, if that had
 * not expired by then. Flush and compaction are given all open ones and keep, for each, the version it sees.
 *
 * One that is collected without having been closed is given up as if it had been, with a warning (forgotten.ts). A scan through
 * it has pinned what it reads, and goes on.
 *
 * Invariants: times rise with sequences, as both do in the store.
 *             A read point counts until its snapshot is closed or collected, once. A closed one holds nothing of the store.
 * Thread:     main.     Owns: the open snapshots.
 */
import { StorageError } from '../../shared/base/errors.ts';
import type { ForgottenWarning } from '../../shared/base/forgotten.ts';
import type { SequenceNumber } from '../../shared/base/ids.ts';
import { INSPECT, type Inspect, inspected } from '../../shared/base/inspected.ts';
import { FixedTime } from '../../shared/read/found-entry.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';

/** What a snapshot holds: apart from it, so that a forgotten one can be collected and this then given up. */
interface Hold {
  readonly list: SnapshotList;
  readonly sequence: SequenceNumber;
  readonly timeMs: number;
}

const forgotten = new FinalizationRegistry<Hold>(({ list, sequence, timeMs }) =>
  list.forget(sequence, timeMs),
);

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
  readonly #clock: FixedTime;
  readonly #isWatched: boolean;

  /** @internal Use {@link StorageEngine.snapshot}. Unwatched: whoever has it closes it in any case. */
  constructor(list: SnapshotList, sequence: SequenceNumber, timeMs: number, isWatched: boolean) {
    this.#list = list;
    this.#isWatched = isWatched;
    this.#sequence = sequence;
    this.#clock = new FixedTime(timeMs);
    if (isWatched) forgotten.register(this, { list, sequence, timeMs }, this);
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
    if (this.#isWatched) forgotten.unregister(this);
    list.remove(this.#sequence, this.#clock.now());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    return inspected(
      'Snapshot',
      { sequence: this.#sequence, isClosed: this.isClosed },
      depth,
      options,
      inspect,
    );
  }

  /** @internal The read point for `list`'s store; throws for a closed snapshot or one of another store. */
  static sequenceOf(snapshot: unknown, list: SnapshotList): SequenceNumber {
    if (!(snapshot instanceof Snapshot) || (snapshot.#list !== undefined && snapshot.#list !== list))
      throw new StorageError('STRATA_INVALID_ARGUMENT', 'the snapshot is not one of this store');
    if (snapshot.#list === undefined) throw new StorageError('STRATA_CLOSED', 'the snapshot is closed');
    return snapshot.#sequence;
  }

  /** @internal The time by which what is read through it expires. */
  static clockOf(snapshot: Snapshot): FixedTime {
    return snapshot.#clock;
  }
}

/** All keys from `start` on, deleted by `sequence`. */
export interface EndlessDelete {
  readonly start: Uint8Array;
  readonly sequence: number;
}

/** Who reads what a job makes: as jobs are told it (shared/threads/jobs.ts). */
export interface ReadPoints {
  /** Of open snapshots, ascending. */
  readonly snapshots: readonly SequenceNumber[];
  /** The earliest time by which each of them is read. */
  readonly snapshotTimes: readonly number[];
  /** By which all later reads are. */
  readonly nowMs: number;
  /** Deletes above this sequence stay, even those that hide nothing: a transaction may ask for them. undefined: none does. */
  readonly keepDeletesAbove?: SequenceNumber | undefined;
}

interface ReadPoint {
  /** How many transactions read at its sequence. */
  count: number;
  /** Of the first of them. */
  readonly timeMs: number;
}

interface JudgedPoint extends ReadPoint {
  readonly sequence: SequenceNumber;
}

export class SnapshotList {
  /** The times of the open snapshots at each sequence, rising. */
  readonly #times = new Map<SequenceNumber, number[]>();
  /** The same, of transactions, lowest first: their moments only rise. */
  readonly #judged: JudgedPoint[] = [];
  #endless: readonly EndlessDelete[] = [];
  /** A job has kept something for one of them. */
  #isKept = false;
  readonly #warning: ForgottenWarning;
  /** undefined once the store is closed: whoever keeps a snapshot of it keeps nothing else. */
  #onReleased: (() => void) | undefined;

  /** `onReleased`: the last one at its sequence, or the one that was read by the earliest time, was closed: what was kept for it
   * may go. */
  constructor(warning: ForgottenWarning, onReleased: () => void) {
    this.#warning = warning;
    this.#onReleased = onReleased;
  }

  /** Without those of transactions. */
  get size(): number {
    let total = 0;
    for (const times of this.#times.values()) total += times.length;
    return total;
  }

  take(sequence: SequenceNumber, timeMs: number, isWatched = true): Snapshot {
    const times = this.#times.get(sequence);
    if (times === undefined) this.#times.set(sequence, [timeMs]);
    else times.push(timeMs);
    return new Snapshot(this, sequence, timeMs, isWatched);
  }

  /**
   * A read point of a transaction, until {@link release}: what is written above it is judged when that commits, so all of it has
   * to be there, deletes as well. `timeMs` may be NOTHING_EXPIRES.
   */
  hold(sequence: SequenceNumber, timeMs: number): void {
    const point = this.#judged.at(-1);
    if (point?.sequence === sequence) point.count++;
    else this.#judged.push({ sequence, count: 1, timeMs });
  }

  release(sequence: SequenceNumber): void {
    const judged = this.#judged;
    let place = judged.length - 1;
    if (judged[place]!.sequence !== sequence) place = this.#placeOf(sequence);
    if (--judged[place]!.count > 0) return;
    if (place === judged.length - 1) judged.pop();
    else judged.splice(place, 1);
    if (judged.length > 0) return;
    this.#endless = [];
    if (this.#isKept) this.#onReleased?.();
    this.#isKept = false;
  }

  /** A flush cuts range deletes without an end down to what they can delete: transactions may have read what lies behind. */
  noteEndless(deletes: readonly EndlessDelete[]): void {
    if (this.#judged.length > 0) this.#endless = [...this.#endless, ...deletes];
  }

  /** Those that were cut since the oldest transaction that is open began; some may be older. */
  get endlessDeletes(): readonly EndlessDelete[] {
    return this.#endless;
  }

  remove(sequence: SequenceNumber, timeMs: number): void {
    const times = this.#times.get(sequence) ?? [];
    const earliest = times[0];
    // From the end: the last that was taken is mostly the first that is closed.
    times.splice(times.lastIndexOf(timeMs), 1);
    if (times.length === 0) this.#times.delete(sequence);
    if (times[0] !== earliest) this.#onReleased?.();
  }

  /** {@link remove}, for a snapshot that was collected. */
  forget(sequence: SequenceNumber, timeMs: number): void {
    this.#warning.tell();
    this.remove(sequence, timeMs);
  }

  /** The store is closed: what is forgotten from now on is nobody's mistake. */
  end(): void {
    this.#warning.end();
    // The application may go on to hold some.
    this.#onReleased = undefined;
  }

  /** What a job is given that begins now. */
  readPointsOfJob(clock: Clock): ReadPoints {
    this.#isKept = this.#judged.length > 0;
    return this.readPoints(clock);
  }

  /** The same, for who only plans one. */
  readPoints(clock: Clock): ReadPoints {
    const nowMs = clock.now();
    const judged = this.#judged.map(({ sequence }) => sequence);
    const snapshots = [...new Set([...this.#times.keys(), ...judged])].sort((a, b) => a - b);
    let timeMs = 0;
    const snapshotTimes = snapshots.map((sequence) => {
      // A transaction that nothing expired for can have been as early as any before it.
      timeMs = Math.max(timeMs, this.#timeAt(sequence));
      return timeMs;
    });
    return { snapshots, snapshotTimes, nowMs, keepDeletesAbove: judged[0] };
  }

  /** The earliest of those who read there. */
  #timeAt(sequence: SequenceNumber): number {
    const ofSnapshots = this.#times.get(sequence)?.[0] ?? Number.POSITIVE_INFINITY;
    const judged = this.#judged[this.#placeOf(sequence)];
    return Math.min(ofSnapshots, judged?.sequence === sequence ? judged.timeMs : Number.POSITIVE_INFINITY);
  }

  /** Among the moments of transactions: the first one that is not before `sequence`. */
  #placeOf(sequence: SequenceNumber): number {
    const judged = this.#judged;
    let low = 0;
    let high = judged.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (judged[middle]!.sequence < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
