/**
 * Notices when reads pay for tables that a compaction would merge.
 *
 * Every scan positions itself in each L0 table, and in all but one of them in vain. A compaction of L0 costs about as much
 * per 16 KiB that it reads and writes as such a seek (LevelDB's allowed_seeks), so once the seeks in vain add up to its
 * price it is due, although L0 has not reached its trigger: a store that was filled and is now read gets into shape.
 *
 * A lookup asks half of the tables in vain, and each of them only whether its filter has the key: measured 0.1 us against 3 for
 * a scan's seek.
 *
 * Thread: main.     Owns: the count.
 * Not chosen: compacting L0 whenever the store is idle: a store that gets a flush an hour would be rewritten each time.
 */
import type { Version } from '../../shared/read/version.ts';

const BYTES_PER_SEEK = 16384;
/** Of a lookup for each L0 table but one, in seeks. */
const LOOKUP_WEIGHT: number = 1 / 64;
/** A store this small is compacted as soon as anyone reads it in earnest. */
const MIN_SEEKS = 256;

export class ReadPressure {
  readonly #onDue: () => void;
  #vainSeeks = 0;
  #price: number = Number.POSITIVE_INFINITY;
  #pricedVersion: Version | undefined;

  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** A scan over `version` is about to begin. */
  noteScan(version: Version): void {
    const count = version.levelZeroRuns.length;
    if (count > 1) this.#note(version, count - 1);
  }

  /** Keys were looked up, or are about to be, in the tables of `version`. */
  noteLookups(version: Version, lookups: number): void {
    const count = version.levelZeroRuns.length;
    if (count > 1) this.#note(version, (count - 1) * lookups * LOOKUP_WEIGHT);
  }

  #note(version: Version, vainSeeks: number): void {
    if (this.#pricedVersion !== version) {
      this.#pricedVersion = version;
      this.#vainSeeks = 0;
      this.#price = Math.max(MIN_SEEKS, version.sizeBytes / BYTES_PER_SEEK);
    }
    const wasDue = this.#vainSeeks >= this.#price;
    this.#vainSeeks += vainSeeks;
    if (!wasDue && this.#vainSeeks >= this.#price) this.#onDue();
  }

  /** Whether L0 of the current version should be compacted for the readers' sake. */
  isDue(version: Version): boolean {
    return this.#pricedVersion === version && this.#vainSeeks >= this.#price;
  }
}
