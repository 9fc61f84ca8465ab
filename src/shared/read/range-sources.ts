/**
 * The deleted ranges that a scan meets, place by place, and its children without what those hide (merge/hidden-ranges.ts).
 *
 *   memtable   the map of its moment               L0 table   its own ranges
 *   level      those of the table that the key lies in; between tables there are none
 *
 * A table is opened for its ranges when a key in its bounds is asked for, which may have to wait for the disk (would-wait.ts).
 *
 * Thread: any.
 */
import { compareBytes, keySuccessor } from '../base/bytes.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { RangeSource, Stretch } from '../ranges/stretch.ts';
import type { TableCache } from './table-cache.ts';
import type { TableList } from './table-list.ts';

/** Of a table in L0. */
export class TableRanges implements RangeSource {
  readonly #table: TableInfo;
  readonly #tables: TableCache;

  constructor(table: TableInfo, tables: TableCache) {
    this.#table = table;
    this.#tables = tables;
  }

  stretchAt(bytes: Uint8Array, start: number, end: number, maxSequence: number, into: Stretch): void {
    const { smallestKey, largestKey } = this.#table;
    into.clear();
    if (compareBytes(bytes, start, end, smallestKey, 0, smallestKey.length) < 0) into.end = smallestKey;
    else if (compareBytes(bytes, start, end, largestKey, 0, largestKey.length) > 0)
      into.start = keySuccessor(largestKey);
    else this.#tables.reader(this.#table).ranges!.stretchAt(bytes, start, end, maxSequence, into);
  }
}

/** Of a level from 1 on. */
export class LevelRanges implements RangeSource {
  readonly #list: TableList;
  readonly #tables: TableCache;

  constructor(list: TableList, tables: TableCache) {
    this.#list = list;
    this.#tables = tables;
  }

  stretchAt(bytes: Uint8Array, start: number, end: number, maxSequence: number, into: Stretch): void {
    const list = this.#list;
    const place = list.firstReaching(bytes.subarray(start, end));
    const table = list.at(place);
    into.clear();
    const isHere =
      table !== undefined &&
      compareBytes(bytes, start, end, table.smallestKey, 0, table.smallestKey.length) >= 0;
    if (isHere && table.rangeDeletes !== undefined) {
      this.#tables.reader(table).ranges!.stretchAt(bytes, start, end, maxSequence, into);
      // Of other tables it knows nothing.
      into.start ??= table.smallestKey;
      into.end ??= keySuccessor(table.largestKey);
      return;
    }
    into.start = place > 0 ? keySuccessor(list.at(place - 1)!.largestKey) : undefined;
    into.end = list.at(this.#nextWithRanges(isHere ? place + 1 : place))?.smallestKey;
  }

  /** The place of the first table with ranges from `place` on; the length of the list: there is none. */
  #nextWithRanges(place: number): number {
    let first = 0;
    for (const { tables, rangeTables } of this.#list.chunks) {
      const behind = first + tables.length;
      if (rangeTables > 0 && behind > place)
        for (let i = Math.max(place, first); i < behind; i++)
          if (tables[i - first]!.rangeDeletes !== undefined) return i;
      first = behind;
    }
    return first;
  }
}
