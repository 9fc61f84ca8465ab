/**
 * Reads a page of the manifest (page-files.ts) straight from its bytes, if it is spelled as this store spells it: then there is
 * nothing to compare afterwards, and all that is made of it are the tables. A store of 20,000 tables is opened with 157 of them;
 * JSON.parse(), typed fields and a second spelling took three times as long and left ten times the garbage.
 *
 *   page = prefix  line (",\n    " line)*  "\n  ]\n}}\n"
 *   line = {"level":1,"number":7, ...}     each name in its place, numbers and base64 in the one form that is written
 *
 * What it does not take (or does not know: numbers of sixteen digits, shared beginnings of long keys) is none of its business:
 * undefined, and FieldReader says what is wrong, if anything is.
 *
 * Invariants: a text that it takes is, byte for byte, the one that page-files.ts would write for the tables that it returns.
 * Thread:     main. Pure.
 */
import type { FileNumber, Level, SequenceNumber } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { MIN_SHARED_BYTES } from './manifest-text.ts';

const NAMES = [
  'number',
  'sizeBytes',
  'checksum',
  'entryCount',
  'tombstoneCount',
  'shadowedCount',
  'rawBytes',
] as const;
const [NUMBER, SIZE, CHECKSUM, ENTRIES, TOMBSTONES, SHADOWED, RAW] = NAMES.map((name) =>
  latin(`,"${name}":`),
);
const SMALLEST_KEY = latin(',"smallestKey":"');
const LARGEST_KEY = latin('","largestKey":"');
const SMALLEST_SEQUENCE = latin('","smallestSequence":');
const LARGEST_SEQUENCE = latin(',"largestSequence":');
const LINE_END = latin('}');
const BETWEEN = latin(',\n    ');
const END = latin('\n  ]\n}}\n');

/** Digits up to which every whole number is a safe integer. */
const MAX_DIGITS = 15;
const ZERO = 0x30;
const PAD = 0x3d;

/** The value of each base64 digit; 64: it is none. */
const DIGIT_OF: Uint8Array = new Uint8Array(256).fill(64);
for (const [value, digit] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries())
  DIGIT_OF[digit.charCodeAt(0)] = value;

function latin(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** The tables of a page whose text begins with `prefix`; undefined: it is not one that this takes. */
export function scanPage(
  body: Uint8Array,
  prefix: string,
  level: Level,
  tableCount: number,
): TableInfo[] | undefined {
  const scanner = new PageScanner(body);
  const start = latin(`{"level":${level}`);
  scanner.expect(latin(prefix));
  const tables: TableInfo[] = [];
  while (tables.length < tableCount) {
    if (tables.length > 0) scanner.expect(BETWEEN);
    scanner.expect(start);
    const table = scanner.table();
    if (scanner.hasFailed) return undefined;
    tables.push(table);
  }
  scanner.expect(END);
  return scanner.isDone ? tables : undefined;
}

class PageScanner {
  readonly #bytes: Uint8Array;
  #at = 0;
  hasFailed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return !this.hasFailed && this.#at === this.#bytes.length;
  }

  expect(text: Uint8Array): void {
    const bytes = this.#bytes;
    const at = this.#at;
    // Behind the end there is undefined, which no byte equals.
    for (let i = 0; i < text.length; i++)
      if (bytes[at + i] !== text[i]) {
        this.hasFailed = true;
        return;
      }
    this.#at = at + text.length;
  }

  /** What follows the level in a line. */
  table(): TableInfo {
    return {
      number: this.#field(NUMBER!) as FileNumber,
      sizeBytes: this.#field(SIZE!),
      checksum: this.#field(CHECKSUM!),
      entryCount: this.#field(ENTRIES!),
      tombstoneCount: this.#field(TOMBSTONES!),
      shadowedCount: this.#field(SHADOWED!),
      rawBytes: this.#field(RAW!),
      smallestKey: this.#key(SMALLEST_KEY),
      largestKey: this.#key(LARGEST_KEY),
      smallestSequence: this.#field(SMALLEST_SEQUENCE) as SequenceNumber,
      largestSequence: this.#lastField(),
    };
  }

  /** What few tables have behind it, FieldReader reads. */
  #lastField(): SequenceNumber {
    const value = this.#field(LARGEST_SEQUENCE);
    this.expect(LINE_END);
    return value as SequenceNumber;
  }

  #field(name: Uint8Array): number {
    this.expect(name);
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    let value = 0;
    for (; ; at++) {
      const digit = bytes[at]! - ZERO;
      // Of undefined it is NaN.
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    const length = at - start;
    if (length === 0 || length > MAX_DIGITS || (length > 1 && bytes[start] === ZERO)) this.hasFailed = true;
    this.#at = at;
    return value;
  }

  /** In its own memory, as everywhere (version-edit.ts). */
  #key(name: Uint8Array): Uint8Array {
    this.expect(name);
    const bytes = this.#bytes;
    const start = this.#at;
    let end = start;
    while (DIGIT_OF[bytes[end]!]! < 64) end++;
    const digits = end - start;
    const rest = digits & 3;
    const length = (digits >>> 2) * 3 + (rest === 0 ? 0 : rest - 1);
    // Padded to groups of four, and no beginning to be shared.
    const padding = rest === 0 ? 0 : 4 - rest;
    if (rest === 1 || length >= MIN_SHARED_BYTES) this.hasFailed = true;
    for (let i = 0; i < padding; i++) if (bytes[end + i] !== PAD) this.hasFailed = true;
    this.#at = end + padding;
    if (this.hasFailed) return NO_KEY;
    const key = new Uint8Array(length);
    let at = start;
    let to = 0;
    for (; to + 3 <= length; to += 3, at += 4) {
      const bits =
        (DIGIT_OF[bytes[at]!]! << 18) |
        (DIGIT_OF[bytes[at + 1]!]! << 12) |
        (DIGIT_OF[bytes[at + 2]!]! << 6) |
        DIGIT_OF[bytes[at + 3]!]!;
      key[to] = bits >>> 16;
      key[to + 1] = bits >>> 8;
      key[to + 2] = bits;
    }
    if (rest > 0) this.#decodeRest(key, to, at, rest);
    return key;
  }

  /** One byte of two digits, or two of three; bits that mean nothing are 0. */
  #decodeRest(key: Uint8Array, to: number, at: number, rest: number): void {
    const bytes = this.#bytes;
    const bits =
      (DIGIT_OF[bytes[at]!]! << 18) |
      (DIGIT_OF[bytes[at + 1]!]! << 12) |
      (rest === 3 ? DIGIT_OF[bytes[at + 2]!]! << 6 : 0);
    key[to] = bits >>> 16;
    if (rest === 3) key[to + 1] = bits >>> 8;
    if ((rest === 3 ? bits & 0xff : bits & 0xffff) !== 0) this.hasFailed = true;
  }
}

const NO_KEY: Uint8Array = new Uint8Array(0);
