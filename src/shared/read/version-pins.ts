/**
 * Which versions are pinned, and which tables wait for that to end.
 *
 *   versions are counted        0    1    2    3    4 = current
 *   pinned                           x         x
 *   a table added at 1, removed at 3 is in 1 and 2           waits for 1: the newest pinned version that has it
 *   a table added at 2, removed at 4 is in 2 and 3           waits for 3; then for none, as 1 has not got it
 *
 * A table is in a version when that lies from its addition to before its removal: two numbers suffice, whatever the number of
 * tables. What leaves waits for one pinned version; when that is released, for the next older one that has it, if there is one.
 * So an edit costs the same whatever is pinned, and a release what waits for it.
 *
 * Thread:     any; the owner's versions and those of each client.     Owns: the counts of pins.
 * Not chosen: reference counts per table: a pin would cost as much as there are tables. Sets of numbers per version: likewise for
 *             an edit.
 */
import type { FileNumber } from '../base/ids.ts';
import type { TableInfo, VersionEdit } from '../base/version-edit.ts';
import type { PlacedTable, Version } from './version.ts';

/** Keeps a version, and so its tables, until released. */
export interface PinnedVersion {
  readonly version: Version;
  /** Idempotent. */
  release(): void;
}

/** A version that is current or pinned. */
interface Kept {
  readonly ordinal: number;
  pins: number;
  readonly waiting: Leaving[];
}

/** A table that has left the current version. */
interface Leaving {
  readonly table: TableInfo;
  readonly addedAt: number;
  readonly removedAt: number;
}

/** What comes with `edit`, and what goes for good; `left`: Version.removedBy(edit). A table that changes its level stays. */
export function turnoverOf(
  edit: VersionEdit,
  left: readonly PlacedTable[],
): { readonly removed: PlacedTable[]; readonly added: TableInfo[] } {
  const leaving = new Set(edit.removed.map(({ number }) => number));
  const coming = new Set(edit.added.map(({ table }) => table.number));
  return {
    removed: left.filter(({ table }) => !coming.has(table.number)),
    added: edit.added.map(({ table }) => table).filter(({ number }) => !leaving.has(number)),
  };
}

export class VersionPins {
  readonly #onObsolete: (tables: TableInfo[]) => void;
  #current: Kept = { ordinal: 0, pins: 0, waiting: [] };
  /** Versions before the current one that are pinned, oldest first. */
  readonly #pinned: Kept[] = [];
  /** Of tables of the current version; those that have been there from the beginning are missing. */
  readonly #addedAt = new Map<FileNumber, number>();
  readonly #leaving = new Set<FileNumber>();

  /** `onObsolete` gets the tables that no version holds. Must not throw. */
  constructor(onObsolete: (tables: TableInfo[]) => void) {
    this.#onObsolete = onObsolete;
  }

  /** Pins the current version, which is `version`. */
  pin(version: Version): PinnedVersion {
    const kept = this.#current;
    kept.pins++;
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      if (--kept.pins === 0 && kept !== this.#current) this.#drop(kept);
    };
    return { version, release };
  }

  /** How many versions before the current one are pinned. */
  get pinnedCount(): number {
    return this.#pinned.length;
  }

  /** Numbers of the tables that only older versions have. */
  get leaving(): ReadonlySet<FileNumber> {
    return this.#leaving;
  }

  /** Another version is current: without `removed`, in the order in which they are to be deleted, and with `added`. */
  advance(removed: readonly TableInfo[], added: readonly TableInfo[]): void {
    if (this.#current.pins > 0) this.#pinned.push(this.#current);
    const ordinal = this.#current.ordinal + 1;
    this.#current = { ordinal, pins: 0, waiting: [] };
    for (const { number } of added) this.#addedAt.set(number, ordinal);
    const leaving = removed.map((table) => {
      const addedAt = this.#addedAt.get(table.number) ?? 0;
      this.#addedAt.delete(table.number);
      this.#leaving.add(table.number);
      return { table, addedAt, removedAt: ordinal };
    });
    this.#report(leaving);
  }

  #drop(kept: Kept): void {
    this.#pinned.splice(this.#placeOf(kept.ordinal), 1);
    this.#report(kept.waiting);
  }

  /** Those that no pinned version has are obsolete; the others wait. */
  #report(leaving: readonly Leaving[]): void {
    const obsolete: TableInfo[] = [];
    for (const one of leaving) {
      const newest = this.#pinned[this.#placeOf(one.removedAt) - 1];
      if (newest !== undefined && newest.ordinal >= one.addedAt) newest.waiting.push(one);
      else obsolete.push(one.table);
    }
    for (const { number } of obsolete) this.#leaving.delete(number);
    if (obsolete.length > 0) this.#onObsolete(obsolete);
  }

  /** The place of the first pinned version from `ordinal` on. */
  #placeOf(ordinal: number): number {
    let low = 0;
    let high = this.#pinned.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pinned[middle]!.ordinal < ordinal) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
