/**
 * One line of a load file -> a key and a value.
 *
 *   json   {"key": "k", "value": "v"}     a field that isn't text comes as key_base64, key_hex, value_base64, value_hex
 *          ["k", "v"]
 *   tsv    k <tab> v                      bytes as they are: no escapes, no encoding; further tabs belong to the value
 *
 * A line ends with \n or \r\n. Blank lines are skipped. `dump` writes the first form.
 *
 * Invariants: strict. A field that would be dropped or rewritten on the way in is an error, not a guess.
 * Not chosen: values that are JSON themselves, stored as their text. Parsing and printing again rewrites large numbers.
 */
import { isUtf8 } from 'node:buffer';
import { decodeBytes, type FieldName } from './notation.ts';

export type RecordFormat = 'json' | 'tsv';

export interface DataRecord {
  readonly key: string | Buffer;
  readonly value: string | Buffer;
}

/** What is wrong with a line, without its number. */
export class MalformedLine extends Error {}

/** The first character of a file decides its format. */
export function detectFormat(firstLine: Buffer): RecordFormat {
  const first = firstLine.toString('latin1').trimStart()[0];
  return first === '{' || first === '[' ? 'json' : 'tsv';
}

export function parseRecord(line: Buffer, format: RecordFormat): DataRecord {
  return format === 'json' ? parseJsonRecord(line) : parseTsvRecord(line);
}

const TAB = 9;

function parseTsvRecord(line: Buffer): DataRecord {
  const tab = line.indexOf(TAB);
  if (tab === -1) throw new MalformedLine('no tab between key and value');
  return { key: line.subarray(0, tab), value: line.subarray(tab + 1) };
}

function parseJsonRecord(line: Buffer): DataRecord {
  if (!isUtf8(line)) throw new MalformedLine('not UTF-8');
  const record = parseJson(line.toString('utf8'));
  if (Array.isArray(record)) {
    if (record.length !== 2)
      throw new MalformedLine(`expected [key, value], found ${record.length} elements`);
    return { key: requireString(record[0], 'key'), value: requireString(record[1], 'value') };
  }
  if (typeof record !== 'object' || record === null) {
    throw new MalformedLine('expected {"key": ..., "value": ...} or [key, value]');
  }
  const fields = record as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(fields)) {
    if (!FIELDS.has(name)) throw new MalformedLine(`unknown field ${JSON.stringify(name)}`);
  }
  return { key: readField(fields, 'key'), value: readField(fields, 'value') };
}

const FIELDS: ReadonlySet<string> = new Set([
  'key',
  'key_hex',
  'key_base64',
  'value',
  'value_hex',
  'value_base64',
]);

function readField(fields: Readonly<Record<string, unknown>>, name: FieldName): string | Buffer {
  const { [name]: text, [`${name}_hex`]: hex, [`${name}_base64`]: base64 } = fields;
  const given = [text, hex, base64].filter((field) => field !== undefined).length;
  if (given !== 1) throw new MalformedLine(given === 0 ? `no ${name}` : `more than one ${name}`);
  if (text !== undefined) return requireString(text, name);
  const encoding = hex === undefined ? 'base64' : 'hex';
  const bytes = decodeBytes(requireString(hex ?? base64, name), encoding);
  if (bytes === undefined) throw new MalformedLine(`the ${name} is not ${encoding}`);
  return bytes;
}

function requireString(field: unknown, name: FieldName): string {
  if (typeof field === 'string') return field;
  const kind = field === null ? 'null' : Array.isArray(field) ? 'an array' : `a ${typeof field}`;
  throw new MalformedLine(`the ${name} must be a string, not ${kind}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MalformedLine(`not JSON: ${(error as Error).message}`);
  }
}
