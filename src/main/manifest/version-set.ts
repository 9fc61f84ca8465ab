/**
 * Owns which version is current: takes edits one at a time, makes each durable, installs it, and says which files
 * have become useless.
 *
 *   apply(edit):  1. wait for the edits before         4. its tables and pages get their names for good
 *                 2. compute the next version          5. install: `current` is the next version
 *                 3. its pages and the manifest        6. bump the counter in the control block
 *                    durable, unless the directory     7. report tables no live version holds, and the pages that the
 *                    is not ours any more                 manifest has no more
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
 * Invariants: file numbers only rise, except that the newest is taken back when nothing came of it. `logNumber` and
 *             `lastSequence` never fall.
 * Thread:     main.   Owns: the current version, pins (version-pins.ts), the manifest. File numbers are taken in the control
 *             block.
 */
import { join } from 'node:path';
import { isExhaustion, isRoomProblem } from '../../shared/base/failures.ts';
import { type FileNumber, fileNumber, type SequenceNumber, sequenceNumber } from '../../shared/base/ids.ts';
import type { TableInfo, VersionEdit } from '../../shared/base/version-edit.ts';
import { History } from '../../shared/changes/history.ts';
import { MANIFEST_NAME, pagePath, tablePath } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { TableSequence } from '../../shared/read/table-list.ts';
import { type PlacedTable, Version } from '../../shared/read/version.ts';
import { type PinnedVersion, turnoverOf, VersionPins } from '../../shared/read/version-pins.ts';
import type { ControlBlock } from '../../shared/threads/control-block.ts';
import type { KeptState } from './kept-state.ts';
import {
  changedError,
  type ManifestState,
  manifestStamp,
  publishManifest,
  type SealedLog,
  stageManifest,
} from './manifest.ts';
import { editPages, isWritten, PAGE_LIMITS, type PageLimits } from './manifest-pages.ts';
import { rootBytes } from './manifest-root.ts';
import type { ObsoleteLog, TablePage } from './manifest-state.ts';
import { type Dropped, type EditExtra, nextState } from './next-state.ts';
import { ObsoleteList } from './obsolete-list.ts';
import { namePages, writePages } from './page-files.ts';
import { NO_RETENTION, type RetentionPolicy, retain } from './retention.ts';
import { shortenEdit } from './short-edit.ts';
import { NO_HOST, oldestFirst, replacedPages, type Step, type VersionHost } from './version-host.ts';

export type { PinnedVersion } from '../../shared/read/version-pins.ts';
export type { EditExtra } from './next-state.ts';
export type { VersionHost } from './version-host.ts';

export class VersionSet {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #control: ControlBlock;
  readonly #host: VersionHost;
  readonly #obsolete: ObsoleteList;
  readonly #limits: PageLimits;
  /** What the manifest on disk says; file numbers in the control block run ahead. */
  #state: ManifestState<TableSequence>;
  #current: Version;
  readonly #pins = new VersionPins((tables) => {
    if (this.#poison !== undefined) return;
    const kept = new Set(this.#state.keptTables.map(({ number }) => number));
    this.#host.obsolete(kept.size === 0 ? tables : tables.filter(({ number }) => !kept.has(number)));
  });
  #ownerEpoch: number;
  readonly history: History;
  readonly #retention: RetentionPolicy;
  #queue: Promise<void> = Promise.resolve();
  #poison: { readonly error: unknown } | undefined;
  /** Rises when an edit fails harmlessly, so that those queued behind it know. */
  #failures = 0;
  #lastFailure: unknown;
  /** Of the manifest on disk, as this set left it. */
  #stamp: string | undefined;
  #isApplying = false;

  private constructor(
    fs: FileSystem,
    directory: string,
    control: ControlBlock,
    state: ManifestState,
    host: VersionHost,
    logs: readonly ObsoleteLog[],
    limits: PageLimits,
    history: History,
    retention: RetentionPolicy,
  ) {
    this.#fs = fs;
    this.#directory = directory;
    this.#control = control;
    this.#host = host;
    this.#obsolete = new ObsoleteList(state, logs);
    this.#limits = limits;
    this.#state = state;
    this.#current = Version.fromSound(state.levels);
    control.raiseFileNumber(state.nextFileNumber);
    this.#ownerEpoch = state.ownerEpoch + 1;
    this.history = history;
    this.#retention = retention;
  }

  /** Starts from what the manifest says; writes nothing. `logs` are all there are from its logNumber on. */
  static create(
    fs: FileSystem,
    directory: string,
    control: ControlBlock,
    state: ManifestState,
    host: Partial<VersionHost> = {},
    logs: readonly ObsoleteLog[] = [],
    limits: PageLimits = PAGE_LIMITS,
    history: History = History.atOpening(state, []),
    retention: RetentionPolicy = NO_RETENTION,
  ): VersionSet {
    const all = { ...NO_HOST, ...host };
    const set = new VersionSet(fs, directory, control, state, all, logs, limits, history, retention);
    set.#stamp = manifestStamp(fs, directory);
    return set;
  }

  get current(): Version {
    return this.#current;
  }

  /** Of a store that was restored from a backup: the branch of it that the store goes on as. */
  get branch(): string | undefined {
    return this.#state.branch;
  }

  get storeId(): string {
    return this.#state.storeId;
  }

  /** That of this owner: higher than any in the manifest when the store was opened. The first edit makes it durable. */
  get ownerEpoch(): number {
    return this.#ownerEpoch;
  }

  /** A log of an owner before, whose epoch no manifest has, shows that this one must have a higher one. */
  raiseOwnerEpoch(atLeast: number): void {
    this.#ownerEpoch = Math.max(this.#ownerEpoch, atLeast);
  }

  /** In milliseconds since 1970, as of the last durable edit; 0: none yet. */
  get lastTime(): number {
    return this.#state.lastTime;
  }

  /** Of the manifest in force. */
  get pages(): readonly TablePage[] {
    return this.#state.pages;
  }

  /** As of the last durable edit. */
  get lastSequence(): SequenceNumber {
    return sequenceNumber(this.#state.lastSequence);
  }

  /** Logs below this number may be deleted. */
  get logNumber(): FileNumber {
    return fileNumber(this.#state.logNumber);
  }

  /** What is kept for changes(). */
  get kept(): KeptState {
    return this.#state;
  }

  /** Logs may stay when they are in tables. */
  get retainsLogs(): boolean {
    return this.#retention.bytes > 0 || this.#host.unreadAfter() !== undefined;
  }

  /** More than its retention says. */
  keepsTooMuch(nowMs: number): boolean {
    const { droppedLogs, kept } = retain(
      this.#state,
      { logs: [], load: undefined, removed: [], nowMs },
      this.#policy(),
    );
    return droppedLogs.length > 0 || kept.keptLoads.length < this.#state.keptLoads.length;
  }

  #policy(): RetentionPolicy {
    return { ...this.#retention, unreadAfter: this.#host.unreadAfter() };
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
    return this.#pins.pin(this.#current);
  }

  /** Files that the manifest lists as obsolete. */
  get obsoleteCount(): number {
    const { obsoleteTables, obsoleteLogs, obsoletePages } = this.#state;
    return obsoleteTables.length + obsoleteLogs.length + obsoletePages.length;
  }

  /** Versions before the current one that are pinned. */
  get pinnedCount(): number {
    return this.#pins.pinnedCount;
  }

  /** Carries out `edit`. Resolves when it is durable and current; rejects as the header says. */
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
    const live = new Set(this.#pins.leaving);
    for (const { chunks } of this.#current.lists)
      for (const { numbers } of chunks) for (const number of numbers) live.add(number);
    return live;
  }

  async #applyNow(given: VersionEdit, extra: EditExtra): Promise<void> {
    let step: Step;
    let next: ReturnType<typeof nextState>;
    let mayBePublished = false;
    const newPages: FileNumber[] = [];
    this.#isApplying = true;
    try {
      step = this.#stepOf(shortenEdit(this.#current, given, this.#host.reservedRanges()));
      const pages = await this.#writePages(step, newPages);
      next = nextState(this.#state, this.#obsolete, {
        ...step,
        extra,
        pages,
        nextFileNumber: this.#control.nextFileNumber,
        ownerEpoch: this.#ownerEpoch,
        history: this.history,
        retention: this.#policy(),
      });
      await stageManifest(this.#fs, this.#directory, rootBytes(next.state));
      this.#checkUnchanged(step.added, newPages);
      mayBePublished = true;
      const publication = this.#obsolete.publicationBegins();
      await publishManifest(this.#fs, this.#directory);
      this.#obsolete.published(publication, next.state, next.state.keptLogs);
      this.#stamp = manifestStamp(this.#fs, this.#directory);
      await this.#host.nameForGood(step.added);
      await namePages(
        this.#fs,
        this.#directory,
        newPages.map((number) => ({ number })),
      );
    } catch (error) {
      if (!mayBePublished && (isRoomProblem(error) || isExhaustion(error))) {
        this.#failures++;
        this.#lastFailure = error;
        if (newPages.length > 0) this.#host.obsoletePages(newPages, false);
      } else {
        this.#poison = { error };
        this.#host.poisoned(error);
      }
      throw error;
    } finally {
      this.#isApplying = false;
    }
    this.#install(step, next.state, next.dropped);
  }

  #install(
    { edit, version, removed, added }: Step,
    state: ManifestState<TableSequence>,
    dropped: Dropped,
  ): void {
    const oldPages = replacedPages(this.#state.pages, state.pages);
    this.#state = state;
    this.#current = version;
    this.#control.bumpVersionCounter();
    // First: whoever hears of the new version may pin it, and release older ones.
    this.#pins.advance(removed, added);
    this.#host.installed(edit);
    if (oldPages.length > 0) this.#host.obsoletePages(oldPages, true);
    // What a version before still reads is reported when that is released.
    const leaving = new Set(this.#pins.leaving);
    const tables = dropped.tables.filter((number) => !leaving.has(number));
    if (dropped.logs.length > 0 || tables.length > 0) this.#host.dropped({ logs: dropped.logs, tables });
  }

  #stepOf(edit: VersionEdit): Step {
    const left = this.#current.removedBy(edit);
    const version = this.#current.apply(edit, left);
    const { removed, added } = turnoverOf(edit, left);
    return { edit, version, left, removed: removed.sort(oldestFirst).map(({ table }) => table), added };
  }

  /** The pages of the next manifest: new ones are files when this resolves. `numbers` gets the numbers of those. */
  async #writePages({ edit, version, left }: Step, numbers: FileNumber[]): Promise<readonly TablePage[]> {
    const pages = editPages(this.#state.pages, version.lists, left, edit.added, this.#limits);
    const drafts = pages.filter((page) => !isWritten(page));
    if (drafts.length === 0) return pages as TablePage[];
    const first = this.reserveFileNumbers(drafts.length);
    for (let i = 0; i < drafts.length; i++) numbers.push(fileNumber(first + i));
    const written = await writePages(this.#fs, this.#directory, this.#state.storeId, drafts, numbers);
    let next = 0;
    return pages.map((page) => (isWritten(page) ? page : written[next++]!));
  }

  /** Neither the directory nor the manifest in it may be somebody else's. */
  #checkUnchanged(newTables: readonly TableInfo[], newPages: readonly FileNumber[]): void {
    this.#host.checkOwnership();
    if (manifestStamp(this.#fs, this.#directory) !== this.#stamp)
      throw changedError(join(this.#directory, MANIFEST_NAME));
    // Naming a table or page must not replace one that somebody has put there.
    const paths = [
      ...newTables.map(({ number }) => tablePath(this.#directory, number)),
      ...newPages.map((number) => pagePath(this.#directory, number)),
    ];
    for (const path of paths) {
      if (this.#fs.stat(path) !== undefined) throw changedError(path);
    }
  }

  /** Whether the manifest on disk is the one that this set left there. True while an edit is under way. */
  isManifestOurs(): boolean {
    if (this.#isApplying || this.#poison !== undefined) return true;
    return manifestStamp(this.#fs, this.#directory) === this.#stamp;
  }
}
