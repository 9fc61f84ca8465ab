/**
 * What the manifest says of files that were in use once: their numbers, until a deletion of each is durable.
 *
 *   in use -> removed by an edit: listed, from that manifest on -> deleted -> a manifest whose publication (which syncs the
 *   directory) began after the deletion is in force -> the next one does not list it
 *
 * A deletion alone is not enough: after a power cut the file may be back, and the manifest that is back with it must know it.
 *
 * Invariants: a file that has the name of a table or log, and that no manifest in force needs or lists, was not this store's.
 *             As long as its version is pinned, or can't be deleted, a table stays listed: the list is as long as the directory
 *             is full of what is not needed.
 * Thread:     main.     Owns: the list, and which logs there are.
 * Not chosen: to take every table that the manifest does not name for a leftover (LevelDB does). When the manifest is out of
 *             date, or another store's, that deletes the data.
 */
import type { FileNumber } from '../../shared/base/ids.ts';
import type { KeptLog, ManifestState, ObsoleteLog, ObsoleteTable } from './manifest-state.ts';

const NONE: ReadonlySet<number> = new Set();

type Lists = Pick<ManifestState, 'obsoleteTables' | 'obsoleteLogs' | 'obsoletePages'>;

export class ObsoleteList {
  #lists: Lists;
  /** Logs that are needed, or were when they were last spoken of, and what each is known by once it is not. */
  readonly #logs: Map<number, () => number>;
  /** Deleted files that are still listed, and how many publications had begun by then. */
  readonly #deleted = new Map<number, number>();
  #begun = 0;

  constructor(lists: Lists, logs: readonly ObsoleteLog[]) {
    const { obsoleteTables, obsoleteLogs, obsoletePages } = lists;
    this.#lists = { obsoleteTables, obsoleteLogs, obsoletePages };
    this.#logs = new Map(logs.map(({ number, firstGroup }) => [number, () => firstGroup]));
  }

  /** The log exists from now on. */
  noteLog(number: FileNumber, firstGroup: () => number): void {
    this.#logs.set(number, firstGroup);
  }

  /** It does not exist, and another file may get the number. */
  forgetLog(number: FileNumber): void {
    this.#logs.delete(number);
  }

  noteDeleted(number: FileNumber): void {
    this.#deleted.set(number, this.#begun);
  }

  /** What a log that is needed, or was, is known by; 0: it had no group, or there is no such log. */
  firstGroupOf(number: number): number {
    return this.#logs.get(number)?.() ?? 0;
  }

  /**
   * The lists when these tables and pages are not needed any more, nor are the logs below `logNumber` that are not kept, and
   * those that were kept and are dropped.
   */
  after(
    removedTables: readonly ObsoleteTable[],
    logNumber: number,
    removedPages: readonly ObsoleteTable[] = [],
    keptLogs: ReadonlySet<number> = NONE,
    droppedLogs: readonly ObsoleteLog[] = [],
  ): Lists {
    const logs = [...this.#logs]
      .filter(([number]) => number < logNumber && !keptLogs.has(number))
      .map(([number, firstGroup]) => ({ number, firstGroup: firstGroup() }));
    for (const { number, firstGroup } of droppedLogs) logs.push({ number, firstGroup });
    return {
      obsoleteTables: withMore(this.#lists.obsoleteTables, removedTables.map(identityOf)),
      obsoleteLogs: withMore(this.#lists.obsoleteLogs, logs),
      obsoletePages: withMore(this.#lists.obsoletePages, removedPages.map(identityOf)),
    };
  }

  /** Returns the argument for {@link published}. */
  publicationBegins(): number {
    return ++this.#begun;
  }

  /** A manifest with these lists is durable, and so are the deletions from before its publication began. */
  published(publication: number, lists: Lists, keptLogs: readonly KeptLog[] = []): void {
    const isNeeded = (number: number): boolean => (this.#deleted.get(number) ?? publication) >= publication;
    this.#lists = {
      obsoleteTables: lists.obsoleteTables.filter(({ number }) => isNeeded(number)),
      obsoleteLogs: lists.obsoleteLogs.filter(({ number }) => isNeeded(number)),
      obsoletePages: lists.obsoletePages.filter(({ number }) => isNeeded(number)),
    };
    for (const [number, begun] of this.#deleted) if (begun < publication) this.#deleted.delete(number);
    for (const { number } of [...lists.obsoleteLogs, ...keptLogs]) this.#logs.delete(number);
  }
}

export function identityOf({ number, sizeBytes, checksum }: ObsoleteTable): ObsoleteTable {
  return { number, sizeBytes, checksum };
}

function withMore<T extends { readonly number: number }>(
  files: readonly T[],
  more: readonly T[],
): readonly T[] {
  return more.length === 0 ? files : ascending([...files, ...more]);
}

/** Each number once. */
export function ascending<T extends { readonly number: number }>(files: readonly T[]): T[] {
  const byNumber = new Map(files.map((file) => [file.number, file]));
  return [...byNumber.values()].sort((a, b) => a.number - b.number);
}
