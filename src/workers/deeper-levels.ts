/**
 * Decides whether a key may exist in tables below a merge's output: if not, a delete hides nothing and a put needs no
 * sequence.
 *
 *   keys ascend, so each level keeps a cursor on its first table that does not end before the key: over a whole merge
 *   every bound is compared about once
 *
 * Requires:   the keys asked for ascend (repeats are fine), those of mayHold and the starts of mayHoldAny together.
 * Invariants: "no" is certain, "maybe" is not: only bounds are known, not what lies within.
 * Thread:     any; pure.
 */
import { compareBytes, compareKeys } from '../shared/base/bytes.ts';
import { MAX_KEY_BYTES } from '../shared/base/limits.ts';
import type { KeyBounds } from '../shared/threads/jobs.ts';

export class DeeperLevels {
  readonly #levels: readonly (readonly KeyBounds[])[];
  readonly #cursors: number[];
  readonly #holdsEverything: boolean;

  /** One list of bounds per level, sorted and disjoint; 'unknown': any key may exist (in a repair). */
  constructor(levels: readonly (readonly KeyBounds[])[] | 'unknown') {
    this.#holdsEverything = levels === 'unknown';
    this.#levels = levels === 'unknown' ? [] : levels.filter((bounds) => bounds.length > 0);
    this.#cursors = this.#levels.map(() => 0);
  }

  mayHold(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#holdsEverything) return true;
    for (let level = 0; level < this.#levels.length; level++) {
      const tables = this.#levels[level]!;
      let cursor = this.#cursors[level]!;
      while (cursor < tables.length && isBefore(tables[cursor]!.largest, bytes, start, end)) cursor++;
      this.#cursors[level] = cursor;
      if (cursor === tables.length) continue;
      const { smallest } = tables[cursor]!;
      if (compareBytes(bytes, start, end, smallest, 0, smallest.length) >= 0) return true;
    }
    return false;
  }

  /** Whether a key in [start, end) may exist there. */
  mayHoldAny(start: Uint8Array, end: Uint8Array): boolean {
    if (this.mayHold(start, 0, start.length)) return true;
    // Each cursor is at the first table that does not end before the start.
    return this.#levels.some((tables, level) => {
      const table = tables[this.#cursors[level]!];
      return table !== undefined && compareKeys(table.smallest, end) < 0;
    });
  }

  /** The last key that may exist there; undefined: none does. */
  get lastKey(): Uint8Array | undefined {
    if (this.#holdsEverything) return new Uint8Array(MAX_KEY_BYTES).fill(0xff);
    let last: Uint8Array | undefined;
    for (const tables of this.#levels) {
      const { largest } = tables.at(-1)!;
      if (last === undefined || compareKeys(largest, last) > 0) last = largest;
    }
    return last;
  }
}

function isBefore(bound: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  return compareBytes(bound, 0, bound.length, bytes, start, end) < 0;
}
