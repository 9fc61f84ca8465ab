/**
 * Reads: single words, a prefix, whole kinds of records.
 */
import { formatCount, formatDuration, formatRate } from '../../src/main/cli/quantities.ts';
import type { Snapshot, StorageEngine } from '../../src/main/index.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import { type DemoReport, timed } from './demo-report.ts';
import type { SynsetValue, WordValue } from './wordnet-parser.ts';

const LOOKUP_COUNT = 10_000;

/** Every key that begins with `prefix` (ASCII). `;` follows `:`, the last character of our prefixes. */
export function withPrefix(prefix: string): { readonly gte: string; readonly lt: string } {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { gte: prefix, lt: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

export function countKeys(engine: StorageEngine, prefix: string, snapshot?: Snapshot): number {
  const range = { ...withPrefix(prefix), keys: false, values: false };
  let count = 0;
  for (const _ of engine.scan(snapshot === undefined ? range : { ...range, snapshot })) count++;
  return count;
}

/** Follows a word to its meaning. */
export async function explainWord(engine: StorageEngine, pos: string, lemma: string): Promise<string> {
  const word = await readJson<WordValue>(engine, `word:${pos}:${lemma}`);
  const synset = await readJson<SynsetValue>(engine, `synset:${pos}:${word?.synsets[0] ?? ''}`);
  return synset === undefined ? 'unknown' : `${synset.words.join(', ')}: ${synset.gloss}`;
}

async function readJson<T>(engine: StorageEngine, key: string): Promise<T | undefined> {
  const value = await engine.get(key);
  return value === undefined ? undefined : (JSON.parse(value.toString()) as T);
}

export async function lookUpWords(engine: StorageEngine, report: DemoReport): Promise<void> {
  report.say(`lighthouse = ${await explainWord(engine, 'noun', 'lighthouse')}`);
  const keys = sampleKeys(engine, 'word:', LOOKUP_COUNT);
  for (const round of ['first', 'second']) {
    const { result, elapsedMs } = await timed(async () => {
      let found = 0;
      for (const key of keys) if ((await engine.get(key)) !== undefined) found++;
      return found;
    });
    const rate = formatRate(keys.length, elapsedMs);
    report.say(`${round} round: ${formatCount(keys.length)} gets in ${formatDuration(elapsedMs)}, ${rate}/s`);
    report.checkCount(result, keys.length, 'words found');
  }
  const absent = keys.map((key) => `${key}~`);
  const { result, elapsedMs } = await timed(() => engine.getMany(absent));
  report.say(
    `getMany of ${formatCount(absent.length)} absent words in ${formatDuration(elapsedMs)}, ${formatRate(absent.length, elapsedMs)}/s`,
  );
  report.checkCount(result.filter((value) => value !== undefined).length, 0, 'absent words found');
}

export function scanPrefix(engine: StorageEngine, report: DemoReport, prefix: string): void {
  for (const [key, value] of engine.scan({ ...withPrefix(prefix), limit: 5 })) {
    report.say(`${key.toString()} => ${value.toString()}`);
  }
}

/** `count` keys spread over the range in an order without system, the same on every run. */
function sampleKeys(engine: StorageEngine, prefix: string, count: number): string[] {
  const keys: string[] = [];
  for (const [key] of engine.scan({ ...withPrefix(prefix), values: false })) keys.push(key.toString());
  // A stride that shares no divisor with the length visits every key once before it repeats.
  const stride = 7919;
  return Array.from({ length: Math.min(count, keys.length) }, (_, i) => keys[(i * stride) % keys.length]!);
}

export interface Contents {
  readonly records: number;
  /** Keys and values. */
  readonly rawBytes: number;
  readonly checksum: number;
}

/** Reads everything: how many records, and a checksum over all keys and values. */
export async function readAll(engine: StorageEngine, report: DemoReport): Promise<Contents> {
  const { result, elapsedMs } = await timed(() => {
    let records = 0;
    let rawBytes = 0;
    let checksum = 0;
    for (const [key, value] of engine.scan()) {
      records++;
      rawBytes += key.length + value.length;
      checksum = crc32(value, 0, value.length, crc32(key, 0, key.length, checksum));
    }
    return { records, rawBytes, checksum };
  });
  report.say(
    `full scan: ${formatCount(result.records)} records in ${formatDuration(elapsedMs)}, ${formatRate(result.records, elapsedMs)}/s`,
  );
  return result;
}
