/**
 * The tables of one level, in its order, as an immutable list of chunks: the next version's list shares all chunks but those that
 * an edit changes.
 *
 *   chunks   [a .. f]  [g .. m]  [n .. z]         up to MAX_CHUNK_TABLES tables each
 *   starts   0         128       203              the place of the first table of each
 *   an edit               ^                       copies this one, and the two short lists above
 *
 * So an edit of a level of 20,000 tables makes a few kilobytes, where a copy of the list is 160 KB: such a copy is not only made,
 * the garbage collector looks through all of it as long as it is young, while readers wait.
 *
 * Searching costs what it costs in one array: first the chunk is found by bisection, then the table in it.
 *
 * Invariants: no chunk is empty. The order of the tables is the caller's, and so is whether they overlap.
 * Thread:     any. Pure.
 * Not chosen: a balanced tree. Two steps do for a million tables, and a chunk is walked as an array. The manifest's pages
 *             (manifest-pages.ts) as chunks: they are cut by bytes, and of small levels and in other threads there are none.
 */
import { compareKeys } from '../base/bytes.ts';
import type { FileNumber } from '../base/ids.ts';
import type { TableInfo } from '../base/version-edit.ts';
import { firstTableReaching, lastTableStartingBefore, type SortedTables } from '../merge/concat-iterator.ts';

type Tables = readonly TableInfo[];
type Order = (a: TableInfo, b: TableInfo) => number;

/** What a {@link TableList} and an array have in common. */
export interface TableSequence extends Iterable<TableInfo> {
  readonly length: number;
}

/** A chunk that grows beyond is split. */
const MAX_CHUNK_TABLES = 128;
/** One that shrinks below is joined with a neighbour. */
const MIN_CHUNK_TABLES = 32;

export interface TableChunk {
  readonly tables: Tables;
  /** Of its tables, one after the other in memory: a search by number does not touch the tables. */
  readonly numbers: readonly FileNumber[];
  readonly first: TableInfo;
  readonly last: TableInfo;
  /** How many of its tables delete ranges of keys. */
  readonly rangeTables: number;
  /** Whether one of them has entries that expire. */
  readonly mayExpire: boolean;
}

export class TableList implements TableSequence, SortedTables {
  static readonly empty: TableList = new TableList([]);

  readonly chunks: readonly TableChunk[];
  readonly length: number;
  /** How many tables delete ranges of keys. */
  readonly rangeTables: number;
  readonly #starts: readonly number[];
  #array: Tables | undefined;

  private constructor(chunks: readonly TableChunk[]) {
    this.chunks = chunks;
    const starts: number[] = [];
    let length = 0;
    let ranges = 0;
    for (const { tables, rangeTables } of chunks) {
      starts.push(length);
      length += tables.length;
      ranges += rangeTables;
    }
    this.#starts = starts;
    this.length = length;
    this.rangeTables = ranges;
  }

  /** Of tables that are in order. */
  static from(tables: Tables): TableList {
    return tables.length === 0 ? TableList.empty : new TableList(cut(tables));
  }

  /** All of them. Of a large level it is a copy, made when it is first asked for: nothing that every edit does may ask. */
  toArray(): Tables {
    this.#array ??=
      this.chunks.length === 1
        ? this.chunks[0]!.tables
        : Object.freeze(this.chunks.flatMap(({ tables }) => tables));
    return this.#array;
  }

  *[Symbol.iterator](): IterableIterator<TableInfo> {
    for (const { tables } of this.chunks) yield* tables;
  }

  /** undefined: there is no such place. Unlike an array's, places don't count from the end. */
  at(place: number): TableInfo | undefined {
    const chunk = this.#chunkAt(place);
    return chunk < 0 ? undefined : this.chunks[chunk]!.tables[place - this.#starts[chunk]!];
  }

  /** The last table; undefined: there is none. */
  get last(): TableInfo | undefined {
    return this.chunks.at(-1)?.last;
  }

  /** Of sorted and disjoint tables the first whose largest key is >= `key`. Allocates nothing. */
  tableReaching(key: Uint8Array): TableInfo | undefined {
    const chunk = this.#chunkReaching(key);
    if (chunk === this.chunks.length) return undefined;
    const { tables } = this.chunks[chunk]!;
    return tables[firstTableReaching(tables, key)];
  }

  /** Likewise its place; the length when there is none. */
  firstReaching(key: Uint8Array): number {
    const chunk = this.#chunkReaching(key);
    if (chunk === this.chunks.length) return this.length;
    return this.#starts[chunk]! + firstTableReaching(this.chunks[chunk]!.tables, key);
  }

  /** The place of the last whose smallest key is < `key`; -1 when there is none. */
  lastStartingBefore(key: Uint8Array): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.chunks[middle]!.first.smallestKey, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low === 0
      ? -1
      : this.#starts[low - 1]! + lastTableStartingBefore(this.chunks[low - 1]!.tables, key);
  }

  /** The tables at the places from `start` up to `end`. */
  slice(start: number, end: number): TableInfo[] {
    const tables: TableInfo[] = [];
    for (let chunk = Math.max(0, this.#chunkAt(start)); chunk < this.chunks.length; chunk++) {
      const first = this.#starts[chunk]!;
      if (first >= end) break;
      const own = this.chunks[chunk]!.tables;
      for (let i = Math.max(0, start - first); i < own.length && first + i < end; i++) tables.push(own[i]!);
    }
    return tables;
  }

  /** Calls `found` for each table that has one of these numbers, in order. */
  find(numbers: ReadonlySet<FileNumber>, found: (table: TableInfo, place: number) => void): void {
    for (let chunk = 0; chunk < this.chunks.length; chunk++) {
      const { tables, numbers: own } = this.chunks[chunk]!;
      for (let i = 0; i < own.length; i++)
        if (numbers.has(own[i]!)) found(tables[i]!, this.#starts[chunk]! + i);
    }
  }

  has(number: FileNumber): boolean {
    return this.chunks.some(({ numbers }) => numbers.includes(number));
  }

  /**
   * Without the tables at the places `removed`, and with `added`. `check` is called for every table that may have another one
   * before it than it had, and of that; throws when they can't be.
   */
  edit(
    removed: readonly number[],
    added: Tables,
    inOrder: Order,
    check: (before: TableInfo | undefined, table: TableInfo | undefined) => void,
  ): TableList {
    const groups = this.chunks.map((chunk): Group => ({ chunk, tables: chunk.tables }));
    if (groups.length === 0) groups.push({ chunk: undefined, tables: [] });
    const gone = new Set<TableInfo>();
    for (const place of removed) {
      const group = this.#chunkAt(place);
      gone.add(this.at(place)!);
      groups[group]!.chunk = undefined;
    }
    const come = new Map<Group, TableInfo[]>();
    for (const table of added) {
      const group = groups[this.#chunkFor(table, inOrder)]!;
      group.chunk = undefined;
      const list = come.get(group);
      if (list === undefined) come.set(group, [table]);
      else list.push(table);
    }
    for (const group of groups) {
      if (group.chunk !== undefined) continue;
      const more = come.get(group);
      const kept = group.tables.filter((table) => !gone.has(table));
      group.tables = more === undefined ? kept : kept.concat(more).sort(inOrder);
    }
    checkOrder(groups, check);
    return new TableList(join(groups).flatMap(({ chunk, tables }) => chunk ?? cut(tables)));
  }

  /** The chunk with the first table whose largest key is >= `key`. */
  #chunkReaching(key: Uint8Array): number {
    let low = 0;
    // The last one, or none: that is told in the chunk, if there is but one.
    let high = this.chunks.length;
    if (high === 1) return 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.chunks[middle]!.last.largestKey, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** -1: there is no such place. */
  #chunkAt(place: number): number {
    if (place < 0 || place >= this.length) return -1;
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= place) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The chunk that `table` belongs into. */
  #chunkFor(table: TableInfo, inOrder: Order): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (inOrder(this.chunks[middle]!.first, table) <= 0) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** The tables of a chunk, or of what is to become one. */
interface Group {
  chunk: TableChunk | undefined;
  tables: Tables;
}

function checkOrder(
  groups: readonly Group[],
  check: (before: TableInfo | undefined, table: TableInfo | undefined) => void,
): void {
  let before: TableInfo | undefined;
  let isChanged = false;
  for (const { chunk, tables } of groups) {
    if (chunk !== undefined) {
      if (isChanged) check(before, chunk.first);
      before = chunk.last;
      isChanged = false;
      continue;
    }
    for (const table of tables) {
      check(before, table);
      before = table;
    }
    isChanged = true;
  }
}

/** Without empty groups; small ones that are new are joined with a neighbour. */
function join(groups: readonly Group[]): Group[] {
  const joined: Group[] = [];
  for (const group of groups) {
    if (group.tables.length === 0) continue;
    const last = joined.at(-1);
    if (last !== undefined && (isSmall(last) || isSmall(group))) {
      joined.pop();
      joined.push({ chunk: undefined, tables: last.tables.concat(group.tables) });
    } else joined.push(group);
  }
  return joined;
}

function isSmall({ chunk, tables }: Group): boolean {
  return chunk === undefined && tables.length < MIN_CHUNK_TABLES;
}

/** Even chunks. */
function cut(tables: Tables): TableChunk[] {
  const count = Math.ceil(tables.length / MAX_CHUNK_TABLES);
  const chunks: TableChunk[] = [];
  for (let i = 0; i < count; i++) {
    const start = Math.floor((i * tables.length) / count);
    const end = Math.floor(((i + 1) * tables.length) / count);
    chunks.push(chunkOf(tables.slice(start, end)));
  }
  return chunks;
}

function chunkOf(tables: Tables): TableChunk {
  return {
    tables: Object.freeze(tables),
    numbers: tables.map(({ number }) => number),
    mayExpire: tables.some(({ expiry }) => expiry !== undefined),
    first: tables[0]!,
    last: tables.at(-1)!,
    rangeTables: tables.reduce((sum, { rangeDeletes }) => (rangeDeletes === undefined ? sum : sum + 1), 0),
  };
}
