/**
 * How bytes are written on a command line, in a listing and in JSON lines.
 *
 *   text     UTF-8 as it is. In listings, line breaks, tabs and other control characters are escaped (\n, \t, \x1b), every byte
 *            that isn't UTF-8 is (\xff), and so is the backslash itself (\\): different bytes are never shown alike. A value
 *            that is printed on its own has bytes escaped that aren't UTF-8, and nothing else.
 *   hex      two digits a byte
 *   base64   the standard alphabet, padded
 *
 *   JSON     {"key": "text", "value": "text"}; a field that isn't UTF-8 is called key_base64 or value_base64 instead.
 *            --hex and --base64 make it key_hex or key_base64 throughout. Lossless in every case.
 */
import { isUtf8 } from 'node:buffer';
import { usageError } from './exit-codes.ts';
import { formatBytes } from './quantities.ts';

export type Notation = 'text' | 'hex' | 'base64';
export type FieldName = 'key' | 'value';

/** An argument of the command line as the store takes it. */
export function parseBytes(argument: string, notation: Notation): string | Buffer {
  if (notation === 'text') return argument;
  const bytes = decodeBytes(argument, notation);
  if (bytes === undefined) throw usageError(`"${argument}" is not ${notation}`);
  return bytes;
}

/** undefined when `text` isn't what `notation` would write. Buffer.from alone stops at the first wrong digit, silently. */
export function decodeBytes(text: string, notation: 'hex' | 'base64'): Buffer | undefined {
  const bytes = Buffer.from(text, notation);
  if (notation === 'hex') return bytes.length * 2 === text.length ? bytes : undefined;
  const canonical = bytes.toString('base64');
  return canonical === text || canonical.replace(/=+$/, '') === text ? bytes : undefined;
}

/** A whole value, printed on its own: UTF-8 is left alone, line breaks included. */
export function showValue(bytes: Buffer, notation: Notation): string {
  if (notation !== 'text') return bytes.toString(notation);
  return isUtf8(bytes) ? bytes.toString('utf8') : escapeInvalid(bytes, (text) => text);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const ESCAPED = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\\]/g;
/** From 0x80 on \x.. is a byte that is not UTF-8, and \u00.. a character. */
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\\': '\\\\',
};

/** Bytes as a part of one line. */
export function showInLine(bytes: Buffer, notation: Notation): string {
  if (notation !== 'text') return bytes.toString(notation);
  return isUtf8(bytes) ? escapeText(bytes.toString('utf8')) : escapeInvalid(bytes, escapeText);
}

/** As {@link showInLine}, at most `length` characters of it, then "…" and how long the whole is. */
export function showStart(bytes: Buffer, notation: Notation, length: number): string {
  // Enough for as many characters, however they are encoded: one that the cut goes through is behind them.
  const shown = showInLine(bytes.length > 4 * length ? bytes.subarray(0, 4 * length) : bytes, notation);
  if (shown.length <= length && bytes.length <= 4 * length) return shown;
  let start = '';
  // Neither half of an escape nor of a pair of surrogates.
  for (const [piece] of shown.matchAll(/\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|.)|[\s\S]/gu)) {
    if (start.length + piece.length > length) break;
    start += piece;
  }
  return `${start}… (${formatBytes(bytes.length)})`;
}

function escapeText(text: string): string {
  return text.replace(ESCAPED, (char) => {
    const code = char.charCodeAt(0);
    const hex =
      code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
    return SHORT_ESCAPES[char] ?? hex;
  });
}

/** `"key":"..."`: one field of a JSON line. */
export function showJsonField(name: FieldName, bytes: Buffer, notation: Notation): string {
  const [field, text] = jsonField(name, bytes, notation);
  return `"${field}":${JSON.stringify(text)}`;
}

/** The name and the text of a field, whose name says how the bytes are written. */
export function jsonField(name: string, bytes: Buffer, notation: Notation): [field: string, text: string] {
  if (notation === 'text' && isUtf8(bytes)) return [name, bytes.toString('utf8')];
  const encoding = notation === 'hex' ? 'hex' : 'base64';
  return [`${name}_${encoding}`, bytes.toString(encoding)];
}

function escapeInvalid(bytes: Buffer, shown: (text: string) => string): string {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes, i);
    if (length === 0) text += `\\x${bytes.toString('hex', i, i + 1)}`;
    else text += shown(bytes.toString('utf8', i, i + length));
    i += Math.max(1, length);
  }
  return text;
}

/** Length of the UTF-8 sequence at `start`; 0 when there is none. */
function sequenceLength(bytes: Buffer, start: number): number {
  const lead = bytes[start] ?? 0;
  const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const sequence = bytes.subarray(start, start + length);
  return sequence.length === length && isUtf8(sequence) ? length : 0;
}
