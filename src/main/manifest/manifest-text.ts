/**
 * The spelling of the manifest, of its root as of its pages: texts of JSON behind a checksum, exact to the byte.
 *
 *   bytes 0..29   {"checksum":"crc32:0a1b2c3d",\n      CRC32 (8 lower-case hex digits) of all bytes from 30 on
 *   bytes 30..    "manifest": {...}}\n  or  "page": {...}}\n
 *
 *   a table       {"level":1,"number":7,"sizeBytes":n,"checksum":n,"entryCount":n,"tombstoneCount":n,"shadowedCount":n,
 *                 "rawBytes":n,"smallestKey":"...","largestKey":"...","smallestSequence":n,"largestSequence":n}   on one line
 *                 and before the last brace, where there are any: ,"rangeDeletes":n  ,"expiry":[count,moment * 9]
 *
 * Keys are in base64, of bounds as table-bounds.ts has them. Where a key begins with MIN_SHARED_BYTES or more of what was there
 * before it, these are left out: {"level":1,"shared":[a,b],"number":7, ...}: smallestKey is what follows the first `a` bytes of
 * the largestKey of the line before, largestKey what follows the first `b` bytes of its own smallestKey. So keys that differ only
 * after many kilobytes do not fill the manifest.
 *
 * Thread: main. Pure.
 */
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError } from '../../shared/base/errors.ts';
import { type FileNumber, LEVEL_COUNT, type Level, type SequenceNumber } from '../../shared/base/ids.ts';
import { commonPrefixLength } from '../../shared/base/table-bounds.ts';
import {
  EXPIRY_STEPS,
  type LeveledTable,
  type TableExpiry,
  type TableInfo,
} from '../../shared/base/version-edit.ts';

export const HEADER_LENGTH = 30;
export const HEADER_START = '{"checksum":"crc32:';
/** Below this a second number costs as much as it saves, and is less readable. */
export const MIN_SHARED_BYTES = 256;
/** Of a line without its keys. */
const LINE_BYTES = 280;
/** Of all keys of one text, with what they share: a few lines of a hostile one may stand for gigabytes. */
const MAX_KEY_BYTES_OF_TEXT: number = 128 * 1024 * 1024;

/** The bytes of a file whose text goes on with `body`. */
export function sealText(body: string): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from(headerOf(bytes)), bytes]);
}

/** The text behind the header. @throws {@link CorruptionError} */
export function openText(bytes: Uint8Array, file: string): Uint8Array {
  const body = bytes.subarray(HEADER_LENGTH);
  const header = Buffer.from(headerOf(body));
  if (!header.equals(bytes.subarray(0, HEADER_LENGTH)))
    throw new CorruptionError('the checksum does not match', { file });
  return body;
}

/** What is read must be what this store would write, byte for byte. @throws {@link CorruptionError} */
export function checkSpelling(expected: string, body: Uint8Array, file: string): void {
  if (!Buffer.from(expected).equals(body))
    throw new CorruptionError('the text is not spelled as this store writes it', { file });
}

function headerOf(body: Uint8Array): string {
  return `${HEADER_START}${crc32(body).toString(16).padStart(8, '0')}",\n`;
}

export function listOf(lines: readonly string[]): string {
  return lines.length === 0 ? '[]' : `[\n    ${lines.join(',\n    ')}\n  ]`;
}

/**
 * Lines of tables that follow each other in one file. They are spelled each time: an edit needs a few hundred, 2 us each, and
 * lines that are kept are a thousand strings more for each edit that the garbage collector has to carry on.
 */
export function tableLinesOf(tables: readonly LeveledTable[]): string[] {
  return tables.map(({ level, table }, i) => lineOf(level, table, tables[i - 1]?.table));
}

function lineOf(level: Level, table: TableInfo, before: TableInfo | undefined): string {
  const { smallestKey, largestKey } = table;
  const a = before === undefined ? 0 : worthSharing(before.largestKey, smallestKey);
  const b = worthSharing(smallestKey, largestKey);
  const shared = a > 0 || b > 0 ? `"shared":[${a},${b}],` : '';
  // The level is not the table's own: a table may move without being rewritten.
  return `{"level":${level},${shared}${fieldsOf(table, a, b)}`;
}

/** About how long the line of `table` is after that of `before`. */
export function lineLength({ smallestKey, largestKey }: TableInfo, before: TableInfo | undefined): number {
  const a = before === undefined ? 0 : worthSharing(before.largestKey, smallestKey);
  const keyBytes = smallestKey.length - a + largestKey.length - worthSharing(smallestKey, largestKey);
  return LINE_BYTES + Math.ceil((keyBytes * 4) / 3);
}

function worthSharing(before: Uint8Array, key: Uint8Array): number {
  const length = commonPrefixLength(before, key);
  return length < MIN_SHARED_BYTES ? 0 : length;
}

function fieldsOf(table: TableInfo, a: number, b: number): string {
  return spell(table, toBase64(table.smallestKey.subarray(a)), toBase64(table.largestKey.subarray(b)));
}

/** Whole numbers and base64 need no escapes: this is what JSON.stringify() makes, in a quarter of the time. */
function spell(table: TableInfo, smallest: string, largest: string): string {
  return (
    `"number":${table.number},"sizeBytes":${table.sizeBytes},"checksum":${table.checksum},` +
    `"entryCount":${table.entryCount},"tombstoneCount":${table.tombstoneCount},` +
    `"shadowedCount":${table.shadowedCount},"rawBytes":${table.rawBytes},` +
    `"smallestKey":"${smallest}","largestKey":"${largest}",` +
    `"smallestSequence":${table.smallestSequence},"largestSequence":${table.largestSequence}${spellExtras(table)}}`
  );
}

function spellExtras({ rangeDeletes, expiry }: TableInfo): string {
  const ranges = rangeDeletes === undefined ? '' : `,"rangeDeletes":${rangeDeletes}`;
  return expiry === undefined ? ranges : `${ranges},"expiry":[${[expiry.count, ...expiry.moments]}]`;
}

/** What encoding its bytes gives back: padded, and without bits that mean nothing. */
const CANONICAL_BASE64 =
  /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/;

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

export interface SpelledTable extends LeveledTable {
  readonly line: string;
}

/** A JSON object: only its own fields count, as `__proto__` and `constructor` are names like any other there. */
export type Fields = Readonly<Record<string, unknown>>;

/** Builds fresh, typed values out of parsed JSON, field by field; nothing parsed is passed on. */
export class FieldReader {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** The object `name` of a text. */
  parse(body: Uint8Array, name: string): Fields {
    let value: unknown;
    try {
      value = JSON.parse(`{${Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8')}`);
    } catch {
      // JSON.parse quotes the text around the error, which may be key bytes; the message stays our own.
      throw new CorruptionError('the text is not json', { file: this.#file });
    }
    return this.object(this.#get(this.object(value), name));
  }

  object(value: unknown): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('object');
    return value as Fields;
  }

  /** Its range is checked with all others, by stateProblem(). */
  number(fields: Fields, name: string): number {
    const value = this.#get(fields, name);
    if (typeof value !== 'number') this.fail(name);
    return value;
  }

  text(fields: Fields, name: string): string {
    const value = this.#get(fields, name);
    if (typeof value !== 'string') this.fail(name);
    return value;
  }

  list(fields: Fields, name: string): readonly unknown[] {
    const value = this.#get(fields, name);
    if (!Array.isArray(value)) this.fail(name);
    return value;
  }

  numbers(fields: Fields, name: string): readonly number[] {
    return this.list(fields, name).map((item) => {
      if (typeof item !== 'number') this.fail(name);
      return item;
    });
  }

  has(fields: Fields, name: string): boolean {
    return Object.hasOwn(fields, name);
  }

  /** A list of lines as {@link tableLinesOf} makes them, and how that would spell each. */
  tables(fields: Fields): SpelledTable[] {
    let before: TableInfo | undefined;
    let keyBytes = 0;
    return this.list(fields, 'tables').map((item) => {
      const line = this.object(item);
      const level = this.number(line, 'level');
      if (!Number.isInteger(level) || level < 0 || level >= LEVEL_COUNT) this.fail('level');
      const table = this.#table(line, before);
      keyBytes += table.smallestKey.length + table.largestKey.length;
      if (keyBytes > MAX_KEY_BYTES_OF_TEXT) this.fail('shared');
      const spelled = this.#spell(line, level as Level, table, before);
      before = table;
      return { level: level as Level, table, line: spelled };
    });
  }

  fail(name: string): never {
    throw new CorruptionError(`field ${name} is missing or of the wrong type`, { file: this.#file });
  }

  #table(fields: Fields, before: TableInfo | undefined): TableInfo {
    const [a, b] = this.has(fields, 'shared') ? this.#shared(fields) : [0, 0];
    const smallestKey = this.#key(fields, 'smallestKey', before?.largestKey, a);
    return {
      number: this.number(fields, 'number') as FileNumber,
      sizeBytes: this.number(fields, 'sizeBytes'),
      checksum: this.number(fields, 'checksum'),
      entryCount: this.number(fields, 'entryCount'),
      tombstoneCount: this.number(fields, 'tombstoneCount'),
      shadowedCount: this.number(fields, 'shadowedCount'),
      rawBytes: this.number(fields, 'rawBytes'),
      smallestKey,
      largestKey: this.#key(fields, 'largestKey', smallestKey, b),
      smallestSequence: this.number(fields, 'smallestSequence') as SequenceNumber,
      largestSequence: this.number(fields, 'largestSequence') as SequenceNumber,
      ...this.#extras(fields),
    };
  }

  /** Without them a table is as it always was. */
  #extras(fields: Fields): Pick<TableInfo, 'rangeDeletes' | 'expiry'> {
    const ranges = this.has(fields, 'rangeDeletes')
      ? { rangeDeletes: this.number(fields, 'rangeDeletes') }
      : {};
    if (!this.has(fields, 'expiry')) return ranges;
    const expiry = expiryOfList(this.list(fields, 'expiry'));
    if (expiry === undefined) this.fail('expiry');
    return { ...ranges, expiry };
  }

  /** Spares what is read in canonical base64 the encoding of its keys. Nothing is kept: that would be for every table. */
  #spell(line: Fields, level: Level, table: TableInfo, before: TableInfo | undefined): string {
    const [smallest, largest] = [this.text(line, 'smallestKey'), this.text(line, 'largestKey')];
    const isPlain = table.smallestKey.length < MIN_SHARED_BYTES && table.largestKey.length < MIN_SHARED_BYTES;
    return isPlain && CANONICAL_BASE64.test(smallest) && CANONICAL_BASE64.test(largest)
      ? `{"level":${level},${spell(table, smallest, largest)}`
      : lineOf(level, table, before);
  }

  #shared(fields: Fields): readonly [number, number] {
    const [a, b] = this.list(fields, 'shared');
    if (typeof a !== 'number' || typeof b !== 'number') this.fail('shared');
    return [a, b];
  }

  /** Loose base64 is taken here and refused by the comparison of the whole text. */
  #key(fields: Fields, name: string, before: Uint8Array | undefined, shared: number): Uint8Array {
    const rest = Buffer.from(this.text(fields, name), 'base64');
    // Copied out of Buffer's shared pool: a TableInfo is posted to workers, which clones whole backing buffers.
    if (shared === 0) return new Uint8Array(rest);
    if (before === undefined || !Number.isInteger(shared) || shared < 0 || shared > before.length)
      this.fail('shared');
    const key = new Uint8Array(shared + rest.length);
    key.set(before.subarray(0, shared));
    key.set(rest, shared);
    return key;
  }

  #get(fields: Fields, name: string): unknown {
    return Object.hasOwn(fields, name) ? fields[name] : undefined;
  }
}

/** undefined: the list does not say when a table's entries expire. */
export function expiryOfList(list: readonly unknown[]): TableExpiry | undefined {
  const numbers = list.filter((item): item is number => typeof item === 'number');
  const [count, ...moments] = numbers;
  const isWhole = numbers.length === list.length && moments.length === EXPIRY_STEPS + 1;
  return isWhole && count !== undefined ? { count, moments } : undefined;
}
