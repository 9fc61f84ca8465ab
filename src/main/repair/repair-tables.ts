/**
 * Finds, for each table the store should have, a file that holds it, and salvages it where it is damaged.
 *
 *   a table named by a manifest     its file; else the copy that an earlier repair has set aside; else a file under another
 *                                   name that says it is this table (swapped names)
 *   without a manifest              every table there is; of two files that hold the same table, one
 *
 * Invariants: a table comes back as it was, or as a new one of what verifies, with the same sequence numbers.
 * Thread:     main; workers read and write.
 */

import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { newTableName, tableName } from '../../shared/files/file-names.ts';
import type { SalvageResult, SequenceBounds } from '../../shared/threads/jobs.ts';
import type { Survey } from './survey.ts';
import type { Workshop } from './workshop.ts';

/** What was found of one table. */
export interface FoundTable {
  /** The number it should have. */
  readonly number: number;
  /** The file it was found in. */
  readonly file: string;
  readonly isAside: boolean;
  readonly result: SalvageResult;
  /** The file is in order and bears the right name. */
  readonly isInPlace: boolean;
}

interface Place {
  readonly file: string;
  readonly isAside: boolean;
}

export class TableFinder {
  readonly #shop: Workshop;
  readonly #survey: Survey;
  /** One look at each file under the number of its name. */
  readonly #looks = new Map<string, Promise<SalvageResult>>();
  #strangers: Promise<ReadonlyMap<number, readonly Place[]>> | undefined;

  constructor(shop: Workshop, survey: Survey) {
    this.#shop = shop;
    this.#survey = survey;
  }

  /** The best file for table `number`, which `expected` describes where a sound manifest does; undefined: there is none. */
  async find(number: number, expected?: TableInfo): Promise<FoundTable | undefined> {
    const { tables, tablesAside } = this.#survey;
    const places = [
      { file: tables.get(number), isAside: false },
      { file: tablesAside.get(number), isAside: true },
      ...((await this.#misnamed()).get(number) ?? []),
    ];
    const found: FoundTable[] = [];
    for (const { file, isAside } of places) {
      if (file === undefined) continue;
      const result = await this.#lookKnowing(file, number, expected);
      if (result.ownNumber !== undefined && result.ownNumber !== number) continue;
      const isSound =
        result.sound !== undefined && (expected === undefined || isSame(result.sound, expected));
      const isInPlace = isSound && isNameOf(file, fileNumber(number));
      found.push({ number, file, isAside, result, isInPlace });
      if (isSound) return found.at(-1);
    }
    return found[0];
  }

  /** Every table on disk, whatever the names. */
  async findAll(): Promise<FoundTable[]> {
    const numbers = new Set([...this.#survey.tables.keys(), ...(await this.#misnamed()).keys()]);
    const found: FoundTable[] = [];
    for (const number of [...numbers].sort((a, b) => a - b)) {
      const table = await this.find(number);
      // What was set aside has been salvaged before: its data are in other tables, and may be out of date.
      if (table !== undefined && !table.isAside) found.push(table);
    }
    return found;
  }

  /** A new table of what verifies of `found`; undefined when nothing does, and in a dry run. */
  async salvage(found: FoundTable, expected?: TableInfo): Promise<TableInfo | undefined> {
    if (isEmpty(found.result) || this.#shop.isDryRun) return undefined;
    return (await this.#examine(found.file, found.number, expected, true)).output;
  }

  /**
   * Files that say they are another table than their name does, by the number they say. Those that a repair which was killed has
   * set aside come last.
   */
  #misnamed(): Promise<ReadonlyMap<number, readonly Place[]>> {
    this.#strangers ??= this.#findMisnamed();
    return this.#strangers;
  }

  async #findMisnamed(): Promise<ReadonlyMap<number, readonly Place[]>> {
    const { tables, tablesAside } = this.#survey;
    const files = [...tables, ...tablesAside];
    const looks = await Promise.all(files.map(([number, file]) => this.#look(file, number)));
    const misnamed = new Map<number, Place[]>();
    for (const [i, { ownNumber }] of looks.entries()) {
      const [number, file] = files[i]!;
      if (ownNumber === undefined || ownNumber === number) continue;
      const places = misnamed.get(ownNumber) ?? [];
      places.push({ file, isAside: i >= tables.size });
      misnamed.set(ownNumber, places);
    }
    return misnamed;
  }

  #look(file: string, number: number): Promise<SalvageResult> {
    const key = `${file} ${number}`;
    const look = this.#looks.get(key) ?? this.#examine(file, number, undefined, false);
    this.#looks.set(key, look);
    return look;
  }

  /** What a sound manifest knows of a table's age helps where the table itself no longer says it. */
  async #lookKnowing(file: string, number: number, expected: TableInfo | undefined): Promise<SalvageResult> {
    const result = await this.#look(file, number);
    if (expected === undefined || result.ownNumber !== undefined) return result;
    return await this.#examine(file, number, expected, false);
  }

  #examine(
    file: string,
    number: number,
    expected: TableInfo | undefined,
    isCopied: boolean,
  ): Promise<SalvageResult> {
    const { options } = this.#shop;
    return this.#shop.run<'salvage'>((context) => ({
      ...context,
      kind: 'salvage',
      file,
      number: fileNumber(number),
      sequences: expected && boundsOf(expected),
      output: isCopied ? this.#shop.allocateNumber() : undefined,
      table: options.table,
    }));
  }
}

/** Its name for good, or the one before that: the survey has seen that the manifest names it. */
function isNameOf(file: string, number: FileNumber): boolean {
  return file === tableName(number) || file === newTableName(number);
}

function boundsOf(table: TableInfo): SequenceBounds {
  const { smallestSequence, largestSequence, rangeDeletes = 0 } = table;
  return { smallest: smallestSequence, largest: largestSequence, rangeDeletes };
}

/** Whether nothing of the table is left: a table may be nothing but deleted ranges. */
export function isEmpty({ entryCount, rangeDeleteCount }: SalvageResult): boolean {
  return entryCount === 0 && rangeDeleteCount === 0;
}

function isSame(a: TableInfo, b: TableInfo): boolean {
  return a.sizeBytes === b.sizeBytes && a.checksum === b.checksum;
}
