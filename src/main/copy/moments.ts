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
 * Invariants: `through` never falls. A version that was asked for is pinned once, and kept until it is released.
 * Thread:     main.     Owns: the pins of whoever waits for a moment.
 * Not chosen: a moment of any sequence, memtables included: a copy would need logs, cut in the midst of a file that goes on
 *             growing.
 */
import type { VersionEdit } from '../../shared/base/version-edit.ts';
import type { PinnedVersion } from '../../shared/read/version-pins.ts';

/** What pins the current version. */
export interface PinSource {
  pin(): PinnedVersion;
}

/** A version that was asked for by the sequence of its last write. */
export interface AwaitedMoment {
  /** undefined until that write is in a table. */
  readonly pin: PinnedVersion | undefined;
  /** Idempotent. */
  release(): void;
}

class Awaited implements AwaitedMoment {
  readonly sequence: number;
  readonly #onRelease: (self: Awaited) => void;
  #pin: PinnedVersion | undefined;

  constructor(sequence: number, onRelease: (self: Awaited) => void) {
    this.sequence = sequence;
    this.#onRelease = onRelease;
  }

  get pin(): PinnedVersion | undefined {
    return this.#pin;
  }

  come(pin: PinnedVersion): void {
    this.#pin = pin;
  }

  release(): void {
    this.#pin?.release();
    this.#onRelease(this);
  }
}

export class TableMoments {
  readonly #versions: PinSource;
  readonly #awaited = new Set<Awaited>();
  #through: number;

  /** `through`: of the current version. */
  constructor(versions: PinSource, through: number) {
    this.#versions = versions;
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
      one.come(this.#versions.pin());
    }
  }

  /**
   * The version of the moment after the write of `sequence`, which is the last one of a frozen memtable, or in a table. To be
   * released even if it never comes.
   */
  at(sequence: number): AwaitedMoment {
    const awaited = new Awaited(sequence, (self) => this.#awaited.delete(self));
    if (sequence <= this.#through) awaited.come(this.#versions.pin());
    else this.#awaited.add(awaited);
    return awaited;
  }
}
