/**
 * Reads what can be read of a manifest's text (or that of a page) that is damaged: line by line, as each is a value of its own.
 *
 *   {"checksum":"crc32:0a1b2c3d",
 *   "manifest": {                                  or "page": {
 *     "lastSequence": 12,                          a field
 *     "tables": [                                  a list
 *       {"level":1,"number":7, ...},               an item
 *     ]
 *   }}
 *
 * Invariants: nothing that is read here is proven: the checksum of the text has failed, or the text does not say what it may. A
 *             line that can't be read is a fault with its offset. At most MAX_FAULTS of them are named, and the others counted.
 * Thread:     main. Pure.
 */
import { CorruptionError, type StorageError } from '../../shared/base/errors.ts';
import { type FileNumber, LEVEL_COUNT, type Level, type SequenceNumber } from '../../shared/base/ids.ts';
import { MAX_KEY_BYTES } from '../../shared/base/limits.ts';
import type { LeveledTable, TableInfo } from '../../shared/base/version-edit.ts';
import { type ClosedEpoch, isEpochId } from '../../shared/changes/history.ts';
import type { KeptLoad } from '../manifest/kept-state.ts';
import { expiryOfList } from '../manifest/manifest-text.ts';

/** Numbers and texts, by name. */
export type Fields = Readonly<Record<string, number | string>>;

export interface ReadLines {
  /** "manifest" or "page"; undefined: neither is said. */
  readonly name: string | undefined;
  readonly fields: Fields;
  /** Items of the lists other than those below: flat objects of numbers. */
  readonly lists: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>>;
  readonly epochs: readonly ClosedEpoch[];
  readonly keptLoads: readonly KeptLoad[];
  readonly tables: readonly LeveledTable[];
  readonly faults: readonly StorageError[];
}

const MAX_FAULTS = 20;
const NEWLINE = 0x0a;
const HEADER = /^\{"checksum":"crc32:[0-9a-f]{8}",$/;
const OPENING = /^"(manifest|page)": \{$/;
const FIELD = /^ {2}"(\w+)": (?:(0|[1-9]\d{0,15})|"([-.:\w]{0,128})"),?$/;
const LIST = /^ {2}"(\w+)": \[(\],?)?$/;
const ITEM = /^ {4}(\{.*\}),?$/;
const ENDINGS: ReadonlySet<string> = new Set(['  ]', '  ],', '}}']);
const TABLE_NUMBERS = [
  'number',
  'sizeBytes',
  'checksum',
  'entryCount',
  'tombstoneCount',
  'shadowedCount',
  'rawBytes',
  'smallestSequence',
  'largestSequence',
] as const;

export function readLines(bytes: Uint8Array, file: string): ReadLines {
  const reader = new LineReader(file);
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(NEWLINE, start);
    const end = found < 0 ? bytes.length : found;
    const line = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    if (!reader.take(line)) reader.complain('a line can not be read', start);
    start = end + 1;
  }
  if (!reader.isComplete) reader.complain('the text ends too early', bytes.length);
  return reader.finish();
}

class LineReader {
  readonly #file: string;
  readonly #fields: Record<string, number | string> = Object.create(null) as Record<string, number | string>;
  readonly #lists = new Map<string, Readonly<Record<string, number>>[]>();
  readonly #epochs: ClosedEpoch[] = [];
  readonly #keptLoads: KeptLoad[] = [];
  readonly #tables: LeveledTable[] = [];
  readonly #faults: StorageError[] = [];
  #faultCount = 0;
  #name: string | undefined;
  #list: string | undefined;
  /** The table of the line before; undefined: it is lost, and with it what the next one shares with it. */
  #before: TableInfo | undefined;
  isComplete = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** false: the line is none that a manifest has. */
  take(line: string): boolean {
    if (line === '}}') this.isComplete = true;
    if (HEADER.test(line) || ENDINGS.has(line)) return true;
    const opening = OPENING.exec(line);
    if (opening !== null) {
      this.#name ??= opening[1];
      return true;
    }
    const field = FIELD.exec(line);
    if (field !== null) {
      this.#fields[field[1]!] = field[2] === undefined ? field[3]! : Number(field[2]);
      return true;
    }
    const list = LIST.exec(line);
    if (list !== null) {
      this.#list = list[1]!;
      if (!this.#lists.has(this.#list)) this.#lists.set(this.#list, []);
      return true;
    }
    const item = ITEM.exec(line);
    const isRead = item !== null && this.#takeItem(item[1]!);
    if (!isRead) this.#before = undefined;
    return isRead;
  }

  complain(message: string, offset: number): void {
    this.#faultCount++;
    if (this.#faultCount <= MAX_FAULTS)
      this.#faults.push(new CorruptionError(message, { file: this.#file, offset }));
  }

  finish(): ReadLines {
    const more = this.#faultCount - this.#faults.length;
    if (more > 0)
      this.#faults.push(new CorruptionError(`${more} more lines can not be read`, { file: this.#file }));
    return {
      name: this.#name,
      fields: this.#fields,
      lists: Object.fromEntries(this.#lists),
      epochs: this.#epochs,
      keptLoads: this.#keptLoads,
      tables: this.#tables,
      faults: this.#faults,
    };
  }

  #takeItem(text: string): boolean {
    const item = parseObject(text);
    if (item === undefined) return false;
    // The name of the list may be what is damaged: only tables have keys.
    if ('smallestKey' in item) return this.#takeTable(item);
    if ('end' in item) return this.#takeEpoch(item);
    if ('sequence' in item) return this.#takeLoad(item);
    if (!Object.values(item).every(isCount) || this.#list === undefined) return false;
    this.#lists.get(this.#list)!.push(item as Record<string, number>);
    return true;
  }

  #takeEpoch({ id, end }: Readonly<Record<string, unknown>>): boolean {
    if (typeof id !== 'string' || !isEpochId(id) || !isCount(end)) return false;
    this.#epochs.push({ id, end });
    return true;
  }

  #takeLoad({ sequence, after, time, sizeBytes, tables }: Readonly<Record<string, unknown>>): boolean {
    if (!isCount(sequence) || !isCount(after) || !isCount(time) || !isCount(sizeBytes)) return false;
    if (!Array.isArray(tables) || !tables.every(isCount)) return false;
    this.#keptLoads.push({ sequence, after, time, sizeBytes, tables });
    return true;
  }

  #takeTable(item: Readonly<Record<string, unknown>>): boolean {
    const { level } = item;
    if (!isCount(level) || level >= LEVEL_COUNT || !TABLE_NUMBERS.every((name) => isCount(item[name])))
      return false;
    const shared = item['shared'] === undefined ? [0, 0] : item['shared'];
    if (!Array.isArray(shared) || shared.length !== 2 || !shared.every(isCount)) return false;
    const [a, b] = shared as [number, number];
    const smallestKey = joinKey(this.#before?.largestKey, a, item['smallestKey']);
    const largestKey = smallestKey && joinKey(smallestKey, b, item['largestKey']);
    if (smallestKey === undefined || largestKey === undefined) return false;
    const number = (name: (typeof TABLE_NUMBERS)[number]): number => item[name] as number;
    this.#before = {
      number: number('number') as FileNumber,
      sizeBytes: number('sizeBytes'),
      checksum: number('checksum'),
      entryCount: number('entryCount'),
      tombstoneCount: number('tombstoneCount'),
      shadowedCount: number('shadowedCount'),
      rawBytes: number('rawBytes'),
      smallestKey,
      largestKey,
      smallestSequence: number('smallestSequence') as SequenceNumber,
      largestSequence: number('largestSequence') as SequenceNumber,
      ...extrasOf(item),
    };
    this.#tables.push({ level: level as Level, table: this.#before });
    return true;
  }
}

function extrasOf(item: Readonly<Record<string, unknown>>): Pick<TableInfo, 'rangeDeletes' | 'expiry'> {
  const { rangeDeletes, expiry } = item;
  const ranges = isCount(rangeDeletes) ? { rangeDeletes } : {};
  const moments = Array.isArray(expiry) && expiry.every(isCount) ? expiryOfList(expiry) : undefined;
  return moments === undefined ? ranges : { ...ranges, expiry: moments };
}

/** What of `before` is shared, and the rest; undefined: it is no key. */
function joinKey(before: Uint8Array | undefined, shared: number, rest: unknown): Uint8Array | undefined {
  if (typeof rest !== 'string' || shared > (before?.length ?? 0)) return undefined;
  const key = Buffer.concat([before?.subarray(0, shared) ?? Buffer.alloc(0), Buffer.from(rest, 'base64')]);
  return key.length > MAX_KEY_BYTES ? undefined : key;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // It is damaged, which the caller says with its offset; the message of JSON.parse would quote key bytes.
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
