/**
 * Owns which version is current: takes edits one at a time, makes each durable, installs it, and says which files
 * have become useless.
 *
 *   apply(edit):  1. wait for the edits before         4. its tables get their names for good (FileNames)
 *                 2. compute the next version          5. install: `current` is the next version
 *                 3. manifest durable, unless the      6. bump the counter in the control block
 *                    directory is not ours any more    7. report tables no live version holds
 *
 * A version lives while it is current or pinned. A reader pins the current one for as long as it reads, so that the
 * tables it may still open are not deleted under it.
 *
 * If step 3 fails after the new manifest may have reached the disk, nobody knows which one the next open will find.
 * The set is then poisoned: every later apply rejects with that error, and no file is reported ever again, as either
 * manifest must find its tables. A disk that is full (or a process out of descriptors) before that point has changed
 * nothing: this edit and those already queued behind it (which may assume it) reject, and applying again is fine once
 * there is room.
 *
 * The manifest says of every table and log that it does not need any more that it is obsolete, until a deletion of it is
 * durable (obsolete-list.ts). So a file that it does not know at all is never taken for one that may be deleted.
 *
 * Invariants: file numbers only rise, but for the newest when nothing came of it. `logNumber` and `lastSequence` never fall.
 * Thread:     main.   Owns: the current version, pins, the manifest. File numbers are taken in the control block.
 * Not chosen: reference counts per table. Pins are many and short, edits few: counting versions costs a pin one
 *             addition, whatever the number of tables.
 */
import { join } from 'node:path';
import { assert } from '../shared/assert.ts';
import type { ControlBlock } from '../shared/control-block.ts';
import { StorageError } from '../shared/errors.ts';
import { MANIFEST_NAME, tablePath } from '../shared/file-names.ts';
import type { FileSystem } from '../shared/file-system.ts';
import { type FileNumber, fileNumber, type SequenceNumber, sequenceNumber } from '../shared/ids.ts';
import { Version } from '../shared/read/version.ts';
import type { TableMeta, VersionEdit } from '../shared/version-edit.ts';
import { isRoomProblem } from './background-errors.ts';
import {
  type ManifestState,
  manifestStamp,
  publishManifest,
  type SealedLog,
  stageManifest,
} from './manifest.ts';
import type { ObsoleteLog } from './manifest-state.ts';
import { ObsoleteList } from './obsolete-list.ts';

/** What the manifest learns along with an edit. */
export interface EditExtra {
  /** The last sequence number in use; a lower one than known is ignored. */
  readonly lastSequence: number;
  /** Logs sealed since the last edit, with their final length. They are forgotten once `logNumber` passes them. */
  readonly sealedLogs?: readonly SealedLog[];
}

/** Keeps a version, and so its tables, until released. */
export interface PinnedVersion {
  readonly version: Version;
  /** Idempotent. */
  release(): void;
}

/** The files that an edit is about. */
export interface VersionFiles {
  /** The manifest is about to be put in force; throws when the directory is not this store's any more. */
  checkOwnership(): void;
  /** A durable manifest names these tables for the first time. */
  nameForGood(tables: readonly TableMeta[]): Promise<void>;
  /** No live version holds these tables. Must not throw. */
  obsolete(tables: TableMeta[]): void;
}

const NO_FILES: VersionFiles = {
  checkOwnership: () => undefined,
  nameForGood: () => Promise.resolve(),
  obsolete: () => undefined,
};

export class VersionSet {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #control: ControlBlock;
  readonly #files: VersionFiles;
  readonly #obsolete: ObsoleteList;
  /** What the manifest on disk says; file numbers in the control block run ahead. */
  #state: ManifestState;
  #current: Version;
  /** How often the current version is pinned: a number, as a short scan notices what a map costs. */
  #currentPins = 0;
  /** How often each version before it is pinned. */
  readonly #pins = new Map<Version, number>();
  /** Tables that left the current version and wait for older ones to end. */
  readonly #leaving = new Map<FileNumber, TableMeta>();
  #queue: Promise<void> = Promise.resolve();
  #poison: { readonly error: unknown } | undefined;
  /** Rises when an edit fails harmlessly, so that those queued behind it know. */
  #failures = 0;
  #lastFailure: unknown;
  /** Of the manifest on disk, as this set left it. */
  #stamp: string | undefined;
  #isApplying = false;
  /** Told in the step in which a version becomes current: clients in other threads must hear of it (shared-views.ts). */
  onInstalled: (edit: VersionEdit) => void = () => {};

  private constructor(
    fs: FileSystem,
    directory: string,
    control: ControlBlock,
    state: ManifestState,
    files: VersionFiles,
    logs: readonly ObsoleteLog[],
  ) {
    this.#fs = fs;
    this.#directory = directory;
    this.#control = control;
    this.#files = files;
    this.#obsolete = new ObsoleteList(state, logs);
    this.#state = state;
    this.#current = Version.fromLevels(state.levels);
    control.raiseFileNumber(state.nextFileNumber);
  }

  /** Starts from what the manifest says; writes nothing. `logs` are all there are from its logNumber on. */
  static create(
    fs: FileSystem,
    directory: string,
    control: ControlBlock,
    state: ManifestState,
    files: Partial<VersionFiles> = {},
    logs: readonly ObsoleteLog[] = [],
  ): VersionSet {
    const set = new VersionSet(fs, directory, control, state, { ...NO_FILES, ...files }, logs);
    set.#stamp = manifestStamp(fs, directory);
    return set;
  }

  get current(): Version {
    return this.#current;
  }

  get storeId(): string {
    return this.#state.storeId;
  }

  /** As of the last durable edit. */
  get lastSequence(): SequenceNumber {
    return sequenceNumber(this.#state.lastSequence);
  }

  /** Logs below this number may be deleted. */
  get logNumber(): FileNumber {
    return fileNumber(this.#state.logNumber);
  }

  get sealedLogs(): readonly SealedLog[] {
    return this.#state.sealedLogs;
  }

  /** Set once the manifest on disk is no longer known; see the header. */
  get isPoisoned(): boolean {
    return this.#poison !== undefined;
  }

  allocateFileNumber(): FileNumber {
    return this.reserveFileNumbers(1);
  }

  /** The log was created; `firstGroup` says what it is known by when it is obsolete. */
  noteLog(number: FileNumber, firstGroup: () => number): void {
    this.#obsolete.noteLog(number, firstGroup);
  }

  /** A table or log was deleted, or found to be gone. */
  noteDeleted(number: FileNumber): void {
    this.#obsolete.noteDeleted(number);
  }

  /** No file bears this number yet, nor a higher one. Jobs take numbers, too: it may rise at any time. */
  get nextFileNumber(): FileNumber {
    return this.#control.nextFileNumber;
  }

  /**
   * Reserves `count` consecutive numbers and returns the first. Those that no file comes to bear are given back.
   * @throws {@link StorageError} STRATA_READ_ONLY when there are not so many left.
   */
  reserveFileNumbers(count: number): FileNumber {
    return this.#control.takeFileNumbers(count);
  }

  /** Never hands out `number` or a lower one from now on: at open, for every file found in the directory. */
  bumpFileNumber(number: number): void {
    this.#control.raiseFileNumber(number + 1);
  }

  /** `number` was allocated for a log, and no file bears it: it is free again, unless later ones are out. */
  giveBackFileNumber(number: FileNumber): void {
    this.#control.giveBackFileNumbers(number, 1);
    this.#obsolete.forgetLog(number);
  }

  /** No file bore these numbers, which were reserved. false: they are not free again, as later ones are out. */
  giveBackReserved(first: FileNumber, count: number): boolean {
    return this.#control.giveBackFileNumbers(first, count);
  }

  /** Pins the current version. */
  pin(): PinnedVersion {
    const version = this.#current;
    this.#currentPins++;
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      this.#unpin(version);
    };
    return { version, release };
  }

  /** Carries out `edit`. Resolves when it is durable and current; rejects as the header tells. */
  apply(edit: VersionEdit, extra: EditExtra): Promise<void> {
    const failures = this.#failures;
    const applied = this.#queue.then(() => {
      if (this.#poison !== undefined) throw this.#poison.error;
      if (failures !== this.#failures) throw this.#lastFailure;
      return this.#applyNow(edit, extra);
    });
    this.#queue = applied.catch(() => {
      // The caller hears of the failure; the next edit only waits for this one to end, however it does.
    });
    return applied;
  }

  /** Numbers of all tables that a live version may read. */
  liveFileNumbers(): Set<FileNumber> {
    const live = new Set(this.#leaving.keys());
    for (const table of this.#current.levels.flat()) live.add(table.number);
    return live;
  }

  async #applyNow(edit: VersionEdit, extra: EditExtra): Promise<void> {
    let next: Version;
    let state: ManifestState;
    let mayBePublished = false;
    this.#isApplying = true;
    try {
      next = this.#current.apply(edit);
      state = this.#nextState(next, edit, extra);
      await stageManifest(this.#fs, this.#directory, state);
      this.#checkUnchanged(this.#newTables(edit));
      mayBePublished = true;
      const publication = this.#obsolete.publicationBegins();
      await publishManifest(this.#fs, this.#directory);
      this.#obsolete.published(publication, state);
      this.#stamp = manifestStamp(this.#fs, this.#directory);
      await this.#files.nameForGood(this.#newTables(edit));
    } catch (error) {
      if (!mayBePublished && isRoomProblem(error)) {
        this.#failures++;
        this.#lastFailure = error;
      } else {
        this.#poison = { error };
      }
      throw error;
    } finally {
      this.#isApplying = false;
    }
    const before = this.#current;
    if (this.#currentPins > 0) this.#pins.set(before, this.#currentPins);
    this.#state = state;
    this.#current = next;
    this.#currentPins = 0;
    this.#control.bumpVersionCounter();
    this.onInstalled(edit);
    this.#noteLeaving(before, edit);
    this.#reportObsolete();
  }

  /** Neither the directory nor the manifest in it may be somebody else's. */
  #checkUnchanged(newTables: readonly TableMeta[]): void {
    this.#files.checkOwnership();
    if (manifestStamp(this.#fs, this.#directory) !== this.#stamp)
      throw changedError(join(this.#directory, MANIFEST_NAME));
    // Naming a table must not replace one that somebody has put there.
    for (const { number } of newTables) {
      const path = tablePath(this.#directory, number);
      if (this.#fs.stat(path) !== undefined) throw changedError(path);
    }
  }

  /** Whether the manifest on disk is the one that this set left there. True while an edit is under way. */
  isManifestOurs(): boolean {
    if (this.#isApplying || this.#poison !== undefined) return true;
    return manifestStamp(this.#fs, this.#directory) === this.#stamp;
  }

  #newTables({ added }: VersionEdit): TableMeta[] {
    const known = this.#current;
    return added.flatMap(({ table }) => (known.hasFile(table.number) ? [] : [table]));
  }

  #nextState(version: Version, edit: VersionEdit, extra: EditExtra): ManifestState {
    const logNumber = Math.max(this.#state.logNumber, edit.logNumber ?? 0);
    const sealed = new Map(this.#state.sealedLogs.map((log) => [log.number, log]));
    for (const log of extra.sealedLogs ?? []) {
      assert(
        (sealed.get(log.number)?.sizeBytes ?? log.sizeBytes) === log.sizeBytes,
        'a sealed log has grown',
      );
      sealed.set(log.number, log);
    }
    const live = new Set(version.levels.flat().map((table) => table.number));
    const removed = edit.removed.flatMap(({ level, number }) => {
      const table = this.#current.levels[level]?.find((candidate) => candidate.number === number);
      return table === undefined || live.has(number) ? [] : [table];
    });
    const sequences = edit.added.map(({ table }) => table.largestSequence);
    return {
      ...this.#state,
      nextFileNumber: this.#control.nextFileNumber,
      lastSequence: sequences.reduce(
        (highest, sequence) => Math.max(highest, sequence),
        Math.max(this.#state.lastSequence, extra.lastSequence),
      ),
      logNumber,
      sealedLogs: [...sealed.values()]
        .filter((log) => log.number >= logNumber)
        .sort((a, b) => a.number - b.number),
      ...this.#obsolete.after(removed, logNumber),
      levels: version.levels,
    };
  }

  #noteLeaving(before: Version, edit: VersionEdit): void {
    // A table that moved was removed from one level and added to another: it stays.
    const moved = new Set(edit.added.map(({ table }) => table.number));
    // Deepest level first, which holds the oldest data: see DeletionQueue. Level 0 has its newest table first.
    const oldestFirst = edit.removed
      .map(({ level, number }) => ({
        level,
        number,
        place: before.levels[level]!.findIndex((table) => table.number === number),
      }))
      .sort((a, b) => b.level - a.level || b.place - a.place);
    for (const { level, number } of oldestFirst) {
      if (moved.has(number)) continue;
      this.#leaving.set(number, before.levels[level]!.find((table) => table.number === number)!);
    }
  }

  #unpin(version: Version): void {
    if (version === this.#current) {
      this.#currentPins--;
      return;
    }
    const count = this.#pins.get(version)! - 1;
    if (count > 0) {
      this.#pins.set(version, count);
      return;
    }
    this.#pins.delete(version);
    this.#reportObsolete();
  }

  #reportObsolete(): void {
    if (this.#poison !== undefined || this.#leaving.size === 0) return;
    const pinned = [...this.#pins.keys()];
    const obsolete = [...this.#leaving.values()].filter(
      (table) => !pinned.some((version) => version.hasFile(table.number)),
    );
    if (obsolete.length === 0) return;
    for (const table of obsolete) this.#leaving.delete(table.number);
    this.#files.obsolete(obsolete);
  }
}

/** Nobody but the owner of a store writes into its directory. */
export function changedError(file: string): StorageError {
  return new StorageError('STRATA_IO', `${file} was changed by somebody else while the store was open`, {
    file,
  });
}
