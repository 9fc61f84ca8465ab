/**
 * What repair says it did: plain data, safe for JSON.
 */
import { checkObject, readOnce } from '../../shared/base/option-checks.ts';

import type { DamagedRange } from '../../shared/threads/jobs.ts';

export type { DamagedRange } from '../../shared/threads/jobs.ts';

export interface RepairOptions {
  /** Look and report, change nothing on disk but LOCK. Default false. */
  readonly dryRun?: boolean | undefined;
}

/** What became of one file. */
export interface RepairedFile {
  readonly name: string;
  readonly kind: 'manifest' | 'table' | 'log';
  /**
   * `kept`: sound, and in use as it is. `merged`: sound; all it holds is in new tables. `salvaged`: damaged; what verifies is
   * in new tables. `dropped`: nothing of it is in the store any more.
   */
  readonly outcome: 'kept' | 'merged' | 'salvaged' | 'dropped';
  /** Entries that verify, older versions and deletions included; 0 for a manifest. */
  readonly entries: number;
  /** Entries the file once held and that are lost; undefined where that is unknown. */
  readonly lostEntries: number | undefined;
  /** How many of them were deletions; undefined where that is unknown. */
  readonly lostTombstones: number | undefined;
  /** Deleted ranges that are lost; undefined where that is unknown. */
  readonly lostRangeDeletes: number | undefined;
  /** What does not verify, by offset. */
  readonly damage: readonly DamagedRange[];
  /** The name under which the file is kept; undefined where it stays, or where all it held is elsewhere. */
  readonly setAside: string | undefined;
}

/** The outcome of {@link StorageEngine.repair}. */
export interface RepairReport {
  /** The absolute path of the store. */
  readonly path: string;
  readonly dryRun: boolean;
  /** Nothing was wrong, nothing was changed. */
  readonly isSound: boolean;
  /** `kept`: as it was. `updated`: sound, but tables or logs were replaced. `rebuilt`: made anew from the tables and logs. */
  readonly manifest: 'kept' | 'updated' | 'rebuilt';
  readonly files: readonly RepairedFile[];
  /** What could not be known or saved, in sentences. */
  readonly warnings: readonly string[];
  readonly elapsedMs: number;
}

/** Gathers the report while repair goes on. */
export class RepairLog {
  /** In the order in which they came; a set, as a hostile manifest can cause a million. */
  readonly #warnings = new Set<string>();
  readonly #files = new Map<string, RepairedFile>();

  note(file: Pick<RepairedFile, 'name' | 'kind' | 'outcome'> & Partial<RepairedFile>): void {
    this.#files.set(file.name, {
      entries: 0,
      lostEntries: 0,
      lostTombstones: 0,
      lostRangeDeletes: 0,
      damage: [],
      setAside: undefined,
      ...file,
    });
  }

  /** A file already noted is kept aside under another name. */
  noteSetAside(name: string, setAside: string): void {
    const file = this.#files.get(name);
    if (file !== undefined) this.#files.set(name, { ...file, setAside });
  }

  warn(text: string): void {
    this.#warnings.add(text);
  }

  get warnings(): readonly string[] {
    return [...this.#warnings];
  }

  get files(): readonly RepairedFile[] {
    return [...this.#files.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Every deletion that may have been lost brings older versions back: say so, file by file. */
  warnOfLosses(): void {
    for (const file of this.files) {
      const { name, kind, lostEntries, lostTombstones, damage } = file;
      if (kind === 'manifest' || damage.length === 0) continue;
      this.#warnOfRanges(file);
      if (lostEntries === 0) continue;
      const lost = lostEntries === undefined ? 'an unknown number of' : String(lostEntries);
      this.warn(
        lostTombstones === 0
          ? `${name}: ${lost} entries are lost; where they were newer versions, older ones may be back`
          : `${name}: ${lost} entries are lost, ${lostTombstones ?? 'an unknown number'} of them deletions: ` +
              'deleted keys and older versions may be back',
      );
    }
  }

  #warnOfRanges({ name, lostTombstones, lostRangeDeletes }: RepairedFile): void {
    if (lostRangeDeletes === undefined) {
      // Where the deletions are not known either, more is said of them.
      if (lostTombstones !== undefined)
        this.warn(`${name}: it is not known whether it deleted ranges: what they deleted may be back`);
    } else if (lostRangeDeletes > 0)
      this.warn(`${name}: ${lostRangeDeletes} deleted ranges are lost: what they deleted may be back`);
  }
}

/** Every option of repair(). */
export const REPAIR_OPTION_NAMES: ReadonlySet<string> = new Set<keyof RepairOptions>(['dryRun']);

/** A copy of the options of repair(), each read once; throws STRATA_INVALID_ARGUMENT for unknown ones. */
export function readRepairOptions(given: RepairOptions = {}): RepairOptions {
  checkObject(given, 'repair options', REPAIR_OPTION_NAMES);
  return readOnce(given, REPAIR_OPTION_NAMES);
}
