/**
 * The deleted ranges that a scan meets, place by place, and its children without what those hide (merge/hidden-ranges.ts).
 *
 *   memtable   the map of its moment
 *   run        those of the table that the key lies in; between tables there are none
 *
 * A table is opened for its ranges when a key in its bounds is asked for, which may have to wait for the disk (would-wait.ts).
 *
 * Thread: any.
 */
import { compareBytes, keySuccessor } from '../base/bytes.ts';
import { ROW_FIELDS } from '../base/entry-batch.ts';
import type { RangeSource, RowsToCover, Stretch } from '../ranges/stretch.ts';
import type { TableCache } from './table-cache.ts';
import type { TableList } from './table-list.ts';

/** Of a level, or of a run of L0, which is one table nearly always. */
export class TableRanges implements RangeSource {
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
    into.clear();
    into.start = place > 0 ? keySuccessor(list.at(place - 1)!.largestKey) : undefined;
    into.end = list.at(this.#nextWithRanges(isHere ? place + 1 : place))?.smallestKey;
  }

  coverRows(all: RowsToCover, from: number, to: number, into: Float64Array): void {
    const { keyBytes, rows } = all.batch;
    const compare = (row: number, key: Uint8Array): number =>
      compareBytes(keyBytes, rows[row * ROW_FIELDS]!, rows[row * ROW_FIELDS + 1]!, key, 0, key.length);
    for (let row = from; row < to; ) {
      const at = row * ROW_FIELDS;
      const table = this.#list.at(this.#list.firstReaching(keyBytes.subarray(rows[at], rows[at + 1])));
      const first = row;
      while (row < to && (table === undefined || compare(row, table.smallestKey) < 0)) row++;
      into.fill(0, first, row);
      if (row === to || table === undefined) return;
      const inTable = row;
      if (compare(to - 1, table.largestKey) <= 0) row = to;
      else while (compare(row, table.largestKey) <= 0) row++;
      if (table.rangeDeletes === undefined) into.fill(0, inTable, row);
      else this.#tables.reader(table).ranges!.coverRows(all, inTable, row, into);
    }
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
