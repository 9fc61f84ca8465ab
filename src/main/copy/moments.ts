/**
 * Moments that the tables of a store stand for: versions that hold all writes up to a sequence, and no others.
 *
 *   memtables    [ .. S1] [ .. S2] [ .. ]          become tables one by one, the oldest first
 *   versions     through 0     S1      S1      S2       S2       T
 *                          flush  compaction flush compaction  ingestion, which enters when nothing is in memory
 *
 * So each version stands for one moment; which one, the edits of flushes and ingestions say (`through` in version-edit.ts).
 * Whoever wants the version of a sequence asks before its flush, and gets it pinned in the step in which that is installed: of
 * the version after the next flush nobody could tell what to leave out.
 *
 * Invariants: `through` never falls. A version that was asked for is held once, and until it is released.
 * Thread:     main.     Owns: what is held for whoever waits for a moment.
 * Not chosen: a moment of any sequence, memtables included: a copy would need logs, cut in the midst of a file that goes on
 *             growing.
 */
import type { VersionEdit } from '../../shared/base/version-edit.ts';
import type { Version } from '../../shared/read/version.ts';
import type { KeptState } from '../manifest/kept-state.ts';

/** A version, and what is kept for changes() besides its tables: none of these files is deleted until it is released. */
export interface HeldMoment {
  readonly version: Version;
  readonly kept: KeptState;
  /** Idempotent. */
  release(): void;
}

/** A moment that was asked for by the sequence of its last write. */
export interface AwaitedMoment {
  /** undefined until that write is in a table. */
  readonly held: HeldMoment | undefined;
  /** Idempotent. */
  release(): void;
}

class Awaited implements AwaitedMoment {
  readonly sequence: number;
  readonly #onRelease: (self: Awaited) => void;
  #held: HeldMoment | undefined;

  constructor(sequence: number, onRelease: (self: Awaited) => void) {
    this.sequence = sequence;
    this.#onRelease = onRelease;
  }

  get held(): HeldMoment | undefined {
    return this.#held;
  }

  come(held: HeldMoment): void {
    this.#held = held;
  }

  release(): void {
    this.#held?.release();
    this.#onRelease(this);
  }
}

export class TableMoments {
  readonly #hold: () => HeldMoment;
  readonly #awaited = new Set<Awaited>();
  #through: number;

  /** `hold` holds the current moment; `through`: of the current version. */
  constructor(hold: () => HeldMoment, through: number) {
    this.#hold = hold;
    this.#through = through;
  }

  /** The sequence of the last write that is in the tables of the current version. */
  get through(): number {
    return this.#through;
  }

  /** A version has become current, in this step. */
  installed({ through }: VersionEdit): void {
    if (through === undefined) return;
    this.#through = Math.max(this.#through, through);
    for (const one of this.#awaited) {
      if (one.sequence > this.#through) continue;
      this.#awaited.delete(one);
      one.come(this.#hold());
    }
  }

  /** The current version, whatever it is. */
  hold(): HeldMoment {
    return this.#hold();
  }

  /**
   * The moment after the write of `sequence`, which is the last one of a frozen memtable, or in a table. To be released even if
   * it never comes.
   */
  at(sequence: number): AwaitedMoment {
    const awaited = new Awaited(sequence, (self) => this.#awaited.delete(self));
    if (sequence <= this.#through) awaited.come(this.#hold());
    else this.#awaited.add(awaited);
    return awaited;
  }
}
