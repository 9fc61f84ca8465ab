/**
 * Who has to hear of the edits of a version set, and what an edit comes to.
 *
 * Thread: main.
 */
import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import type { TableInfo, VersionEdit } from '../../shared/base/version-edit.ts';
import type { InclusiveRange, PlacedTable, Version } from '../../shared/read/version.ts';
import type { TablePage } from './manifest-state.ts';
import type { Dropped } from './next-state.ts';

/** The files that an edit is about, and who has to hear of it. */
export interface VersionHost {
  /** The manifest is about to be put in force; throws when the directory is not this store's any more. */
  checkOwnership(): void;
  /** A durable manifest names these tables for the first time. */
  nameForGood(tables: readonly TableInfo[]): Promise<void>;
  /** No live version holds these tables. Must not throw. */
  obsolete(tables: TableInfo[]): void;
  /** The manifest in force has not got these pages; with their first names where it never had. Must not throw. */
  obsoletePages(numbers: FileNumber[], wereNamed: boolean): void;
  /** The manifest in force keeps these for changes() no longer, and no live version holds the tables. Must not throw. */
  dropped(files: Dropped): void;
  /** A version has become current, in this step: clients in other threads must hear of it. */
  installed(edit: VersionEdit): void;
  /** The key ranges that running compactions read and write: bounds of other tables are not to reach into them. */
  reservedRanges(): readonly InclusiveRange[];
  /** Up to here every archive that keeps up has read the changes; undefined: there is none. */
  unreadAfter(): number | undefined;
  /** Called once, before the edit rejects: nobody knows which manifest the next open will find. */
  poisoned(error: unknown): void;
}

/** An edit that has been worked out. */
export interface Step {
  readonly edit: VersionEdit;
  readonly version: Version;
  /** What is taken from its level, be it to move. */
  readonly left: readonly PlacedTable[];
  /** Tables that are in no level any more, in the order in which they are to be deleted. */
  readonly removed: readonly TableInfo[];
  /** Tables that were in none before. */
  readonly added: readonly TableInfo[];
}

/** Nobody. */
export const NO_HOST: VersionHost = {
  checkOwnership: () => undefined,
  nameForGood: () => Promise.resolve(),
  obsolete: () => undefined,
  obsoletePages: () => undefined,
  dropped: () => undefined,
  installed: () => undefined,
  reservedRanges: () => [],
  unreadAfter: () => undefined,
  poisoned: () => undefined,
};

/** Deepest level first, which holds the oldest data: see DeletionQueue. Level 0 has its newest table first. */
export function oldestFirst(a: PlacedTable, b: PlacedTable): number {
  return b.level - a.level || b.place - a.place;
}

/** Pages that the manifest after does not have. */
export function replacedPages(before: readonly TablePage[], after: readonly TablePage[]): FileNumber[] {
  const kept = new Set(after);
  return before.filter((page) => !kept.has(page)).map((page) => fileNumber(page.number));
}
