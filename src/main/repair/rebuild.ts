/**
 * Decides what the repaired store consists of, and has the tables made that it needs: steps 2 and 3 of repair-store.ts.
 *
 * Which tables were live, when the manifest is not sound:
 *
 *   its text lists them all         those (and no other: the rest had been replaced by compactions)
 *   otherwise                       all there are. Tables that a compaction had replaced, if a crash kept them from being
 *                                   deleted, may then bring back what that compaction dropped; the report says so
 *
 * Thread: main.
 */

import { join } from 'node:path';
import { CorruptionError } from '../../shared/base/errors.ts';
import { type FileNumber, fileNumber, LEVEL_COUNT, MAX_LEVEL } from '../../shared/base/ids.ts';
import { randomId } from '../../shared/base/random.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { drawEpochId } from '../../shared/changes/history.ts';
import { logName, MANIFEST_NAME, parseFileName, tableName } from '../../shared/files/file-names.ts';
import { compareAge } from '../../shared/read/version.ts';
import { findUnknownFiles } from '../files/deletion-queue.ts';
import { firstGroupOf, identityOfFile } from '../files/file-identity.ts';
import { type KeptState, NOTHING_KEPT } from '../manifest/kept-state.ts';
import { emptyState, type ManifestState } from '../manifest/manifest.ts';
import { type ObsoleteTable, stateProblem } from '../manifest/manifest-state.ts';
import { ascending } from '../manifest/obsolete-list.ts';
import { shortenTables } from '../manifest/short-edit.ts';
import { StaleManifestError } from '../open/recovery.ts';
import { type KeptLogs, keepLogs } from './keep-logs.ts';
import { mergeTables } from './merge-tables.ts';
import { salvageLogs } from './repair-logs.ts';
import { type FoundTable, isEmpty, TableFinder } from './repair-tables.ts';
import type { Survey } from './survey.ts';
import type { Workshop } from './workshop.ts';

export interface RepairPlan {
  readonly isChanged: boolean;
  readonly isRebuilt: boolean;
  /** Names of files to be set aside. */
  readonly setAside: readonly string[];
  /** The new manifest; `nextFileNumber` lies above every file's. */
  state(nextFileNumber: number): ManifestState;
}

interface Logs {
  readonly kept: KeptLogs | undefined;
  readonly tables: readonly TableInfo[];
  readonly setAside: readonly string[];
}

export class Rebuild {
  readonly #shop: Workshop;
  readonly #survey: Survey;
  readonly #finder: TableFinder;
  readonly #setAside = new Set<string>();

  constructor(shop: Workshop, survey: Survey) {
    this.#shop = shop;
    this.#survey = survey;
    this.#finder = new TableFinder(shop, survey);
  }

  async plan(): Promise<RepairPlan> {
    const { state, problem } = this.#survey.manifest;
    if (state !== undefined) {
      const plan = await this.#keepLevels(state);
      if (plan !== undefined) {
        if (problem === undefined)
          this.#shop.log.note({ name: MANIFEST_NAME, kind: 'manifest', outcome: 'kept' });
        else this.#noteManifest(problem.message, 'salvaged');
        return plan;
      }
    }
    this.#noteManifest(
      problem?.message ?? 'it is out of date, or tables that it names do not exist',
      'dropped',
    );
    return await this.#rebuild();
  }

  #noteManifest(reason: string, outcome: 'salvaged' | 'dropped'): void {
    if (!this.#survey.manifest.isPresent) this.#shop.log.warn('the manifest is missing');
    else
      this.#shop.log.note({
        name: MANIFEST_NAME,
        kind: 'manifest',
        outcome,
        damage: [{ offset: 0, bytes: 0, reason }],
      });
  }

  /** With a sound manifest. undefined: a table is missing altogether, so that the manifest may be out of date. */
  async #keepLevels(manifest: ManifestState): Promise<RepairPlan | undefined> {
    const named = manifest.levels.flat();
    const found = await Promise.all(named.map((table) => this.#finder.find(table.number, table)));
    for (const [i, table] of found.entries())
      if (table === undefined)
        this.#shop.log.warn(`${tableName(named[i]!.number)} is missing: what it alone held is lost`);
    if (found.includes(undefined) || this.#hasUnknownFiles(manifest, found)) return undefined;
    const byNumber = new Map(found.map((table) => [table!.number, table!]));
    let isChanged = this.#survey.manifest.problem !== undefined;
    const levels: TableInfo[][] = [];
    for (const tables of manifest.levels) {
      const kept: TableInfo[] = [];
      for (const table of tables) {
        const at = byNumber.get(table.number)!;
        const now = at.isInPlace ? table : await this.#salvage(at, table);
        if (at.isInPlace) this.#noteKept(at);
        else isChanged = true;
        if (now !== undefined) kept.push(now);
      }
      levels.push(kept);
    }
    const logs = await this.#logs(manifest, levels.flat());
    if (logs === undefined) return undefined;
    levels[0]!.push(...logs.tables);
    // A part of a table may be older than the whole was: level 0 is sorted by age anew.
    levels[0]!.sort(compareAge);
    const lastSequence = highestSequence(levels, manifest.lastSequence);
    const state = (nextFileNumber: number): ManifestState => ({
      ...manifest,
      ...newHistory(lastSequence),
      obsoleteTables: ascending([...manifest.obsoleteTables, ...manifest.keptTables]),
      ...this.#logState(logs, manifest, nextFileNumber),
      levels: levels.map((tables, i) => shortenTables(i, tables)),
      lastSequence,
      nextFileNumber,
    });
    isChanged ||= logs.kept === undefined;
    if (isChanged && manifest.keptLogs.length + manifest.keptLoads.length > 0)
      this.#shop.log.warn(
        'what was kept for changes() is given up: those who follow them have to begin anew',
      );
    const outcome = this.#finish(isChanged, false, logs, state);
    if (this.#shop.isDryRun || stateProblem(state(this.#shop.nextFileNumber)) === undefined) return outcome;
    return undefined;
  }

  /** Without a manifest that can be relied on. */
  async #rebuild(): Promise<RepairPlan> {
    const { log } = this.#shop;
    const listed = await this.#listedTables();
    const found = listed ?? (await this.#finder.findAll());
    if (listed === undefined && found.length > 0)
      log.warn(
        'nothing says which tables and logs were in use: if a table that had been replaced was not yet deleted, ' +
          'deleted keys and older versions may be back',
      );
    this.#noteUnused(found, listed !== undefined);
    const usable: TableInfo[] = [];
    for (const table of found) {
      if (table.isInPlace) this.#noteKept(table);
      const meta = table.isInPlace ? table.result.sound : await this.#salvage(table, undefined);
      if (meta !== undefined) usable.push(meta);
    }
    const logs = (await this.#logs(undefined, usable))!;
    usable.push(...logs.tables);
    const lastSequence = highestSequence([usable], logs.kept?.sequenceBefore ?? 0);
    this.#setAsideNewTables();
    const { tables, merged } = await mergeTables(this.#shop, usable);
    for (const { number, entryCount } of merged) this.#noteMerged(tableName(number), entryCount);
    const levels: (readonly TableInfo[])[] = Array.from({ length: LEVEL_COUNT }, () => []);
    levels[MAX_LEVEL] = tables;
    const live = new Set(tables.map(({ number }) => number as number));
    // What is not sound has been set aside.
    const obsoleteTables = usable.filter(
      ({ number }) => !live.has(number) && this.#survey.tables.has(number),
    );
    const before = emptyState(this.#survey.manifest.state?.storeId ?? randomId());
    return this.#finish(true, true, logs, (nextFileNumber) => ({
      ...before,
      ...newHistory(lastSequence),
      ...this.#logState(logs, before, nextFileNumber),
      obsoleteTables: ascending(
        obsoleteTables.map(({ number, sizeBytes, checksum }) => ({ number, sizeBytes, checksum })),
      ),
      obsoletePages: this.#oldPages(),
      levels: levels.map((one, i) => shortenTables(i, one)),
      lastSequence,
      nextFileNumber,
    }));
  }

  /** The new manifest has pages of its own. */
  #oldPages(): ObsoleteTable[] {
    const { fs, directory } = this.#shop;
    return ascending(
      this.#survey.pages.map((name) => {
        const { number } = parseFileName(name) as { readonly number: FileNumber };
        return { number, ...identityOfFile(fs, join(directory, name)) };
      }),
    );
  }

  #finish(
    isChanged: boolean,
    isRebuilt: boolean,
    logs: Logs,
    state: (nextFileNumber: number) => ManifestState,
  ): RepairPlan {
    return { isChanged, isRebuilt, setAside: [...this.#setAside, ...logs.setAside], state };
  }

  /** The tables of a damaged manifest's list; undefined unless the files bear out every line of it. */
  async #listedTables(): Promise<FoundTable[] | undefined> {
    const { listed } = this.#survey.manifest;
    if (listed === undefined) return undefined;
    const found: FoundTable[] = [];
    for (const { number, sizeBytes, checksum } of listed) {
      const table = await this.#finder.find(number);
      const sound = table?.result.sound;
      if (table === undefined || sound?.sizeBytes !== sizeBytes || sound.checksum !== checksum)
        return undefined;
      found.push(table);
    }
    return found;
  }

  /**
   * Whether there are tables or logs that a sound manifest should know, if it were this directory's and up to date. What they
   * hold counts: everything is put together anew.
   */
  #hasUnknownFiles(manifest: ManifestState, found: readonly (FoundTable | undefined)[]): boolean {
    const used = new Set(found.map((table) => table?.file));
    const { fs, directory } = this.#shop;
    const unknown = findUnknownFiles(fs, directory, manifest).filter((name) => !used.has(name));
    for (const name of unknown)
      this.#shop.log.warn(
        `${name}: the manifest does not know it: it is out of date, or belongs to another store`,
      );
    return unknown.length > 0;
  }

  /** Without a manifest: tables that no manifest has named, as far as is known. The next open would delete them. */
  #setAsideNewTables(): void {
    for (const name of this.#survey.newTables) {
      this.#setAside.add(name);
      this.#shop.log.note({ name, kind: 'table', outcome: 'dropped' });
      this.#shop.log.warn(
        `${name}: it was being written; what it holds is in logs or other tables, if it counts`,
      );
    }
  }

  #logState(
    logs: Logs,
    before: ManifestState,
    nextFileNumber: number,
  ): Pick<ManifestState, 'logNumber' | 'sealedLogs' | 'obsoleteLogs'> {
    const isKept = logs.kept !== undefined;
    // Salvaged logs are in tables now: everything below the next number is done with.
    const logNumber = isKept ? Math.max(before.logNumber, logs.kept.logNumber) : fileNumber(nextFileNumber);
    const { fs, directory } = this.#shop;
    const doneWith = this.#survey.logs
      .filter((number) => number < logNumber)
      .map((number) => ({ number, firstGroup: firstGroupOf(fs, directory, fileNumber(number)) }));
    return {
      logNumber,
      sealedLogs: isKept ? before.sealedLogs : [],
      obsoleteLogs: ascending([...before.obsoleteLogs, ...doneWith]),
    };
  }

  /** Files with the names of tables that hold none of those in use. */
  #noteUnused(found: readonly FoundTable[], isListed: boolean): void {
    const used = new Set(found.map((table) => table.file));
    for (const name of this.#survey.tables.values()) {
      if (used.has(name)) continue;
      this.#setAside.add(name);
      this.#shop.log.note({ name, kind: 'table', outcome: 'dropped' });
      this.#shop.log.warn(
        isListed
          ? `${name}: not in use any more, by what is left of the manifest`
          : `${name}: a copy of another table`,
      );
    }
  }

  async #salvage(found: FoundTable, expected: TableInfo | undefined): Promise<TableInfo | undefined> {
    const { result, file, isAside } = found;
    const table = await this.#finder.salvage(found, expected);
    const isWhole = result.damage.length === 0;
    this.#shop.log.note({
      name: file,
      kind: 'table',
      outcome: isEmpty(result) ? 'dropped' : isWhole ? 'merged' : 'salvaged',
      entries: result.entryCount,
      lostEntries: isWhole ? 0 : result.lostEntryCount,
      lostTombstones: isWhole ? 0 : result.lostTombstoneCount,
      lostRangeDeletes: isWhole ? 0 : result.lostRangeDeleteCount,
      damage: result.damage,
    });
    if (!isAside) this.#setAside.add(file);
    return table;
  }

  #noteKept({ file, result }: FoundTable): void {
    this.#shop.log.note({ name: file, kind: 'table', outcome: 'kept', entries: result.entryCount });
  }

  /** Tables that this repair has made on the way are not worth a line. */
  #noteMerged(name: string, entries: number): void {
    if ([...this.#survey.tables.values()].includes(name))
      this.#shop.log.note({ name, kind: 'table', outcome: 'merged', entries });
  }

  /** Without a manifest: logs that the newest does not lead back to. */
  #unusedLogs(kept: KeptLogs): string[] {
    const used = new Set(kept.logs.map((log) => log.name));
    const unused = this.#survey.logs
      .map((number) => logName(fileNumber(number)))
      .filter((name) => !used.has(name));
    for (const name of unused) {
      this.#shop.log.note({ name, kind: 'log', outcome: 'dropped' });
      this.#shop.log.warn(`${name}: the newest log does not lead back to it; it is not used`);
    }
    return unused;
  }

  /** undefined: the logs show that the manifest is out of date. */
  async #logs(manifest: ManifestState | undefined, older: readonly TableInfo[]): Promise<Logs | undefined> {
    const { fs, directory, log, options } = this.#shop;
    try {
      const kept = keepLogs(
        fs,
        directory,
        this.#survey.logs,
        manifest,
        highestSequence([older], 0),
        options.writeBufferBytes,
      );
      for (const { name, entries } of kept.logs) log.note({ name, kind: 'log', outcome: 'kept', entries });
      return { kept, tables: [], setAside: manifest === undefined ? this.#unusedLogs(kept) : [] };
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      if (manifest !== undefined && error instanceof StaleManifestError) {
        log.warn('the manifest is out of date');
        return undefined;
      }
      const numbers = this.#survey.logs.filter((number) => number >= (manifest?.logNumber ?? 0));
      const lengths = new Map(
        manifest?.sealedLogs.map((sealed) => [sealed.number as number, sealed.sizeBytes]),
      );
      for (const number of lengths.keys())
        if (!numbers.includes(number)) log.warn(`${error.message}: what it held and no table does is lost`);
      const { tables, damaged } = await salvageLogs(this.#shop, numbers, lengths, older);
      return { kept: undefined, tables, setAside: damaged };
    }
  }
}

/**
 * What was lost may have been given out by changes(): positions up to here are refused from now on, and nothing is kept that
 * leads up to them.
 */
function newHistory(lastSequence: number): KeptState {
  const epochs = lastSequence === 0 ? [] : [{ id: drawEpochId(), end: lastSequence }];
  return { ...NOTHING_KEPT, epochs };
}

function highestSequence(levels: readonly (readonly TableInfo[])[], atLeast: number): number {
  return levels.flat().reduce((highest, table) => Math.max(highest, table.largestSequence), atLeast);
}
