/**
 * What a history is made of: operations as plain data, one per line of a file.
 *
 *   ["put", key, value, ttl?]    ["delete", key]    ["deleteRange", bounds]    ["batch", changes]    ["burst", changes]
 *   ["update", key, value, ttl?]    ["transaction", keys, bounds, changes, change?]    ["expiresAt", key]    ["pass", ms]
 *   ["get", key, snapshot?]    ["has", key, snapshot?]    ["getMany", keys, snapshot?]    ["scan", range, snapshot?]
 *   ["snapshot", id]    ["closeSnapshot", id]    ["openScan", id, range, snapshot?]    ["step", id, count]    ["closeScan", id]
 *   ["flush", awaited]    ["compact", awaited, start?, end?]    ["verify"]    ["reopen"]    ["crash"]
 *
 * A burst is the changes of a batch as single writes in flight together. A transaction reads keys, makes changes, reads a range
 * among them; somebody else writes the last change before its first commit. Time stands still but for "pass". Bounds {}: all.
 * Keys are latin1 strings, one character per byte.
 * A value is [tag, length, kind]: histories stay small, and each value is unlike all others.
 *
 * Invariants: every subsequence of a history is a history: what names a snapshot or scan that is not there, as the operation
 *             that made it was left out or the store was reopened since, does nothing and answers ABSENT.
 */
import { seededRandom } from '../helpers/rng.ts';
import type { ModelBounds, ModelRange } from '../helpers/sorted-model.ts';

/** Text compresses, random bytes do not. */
export type ValueSpec = readonly [tag: number, length: number, kind: 'text' | 'random'];
/** null deletes: a key or a range. */
export type Change = readonly [key: string | ModelBounds, value: ValueSpec | null, ttl?: number | undefined];

export type Operation =
  | readonly ['put', string, ValueSpec, number?]
  | readonly ['delete', string]
  | readonly ['deleteRange', ModelBounds]
  | readonly ['update', string, ValueSpec | null, number?]
  | readonly ['transaction', readonly string[], ModelBounds, readonly Change[], Change?]
  | readonly ['expiresAt', string]
  | readonly ['pass', number]
  | readonly ['batch' | 'burst', readonly Change[]]
  | readonly ['get' | 'has', string, number?]
  | readonly ['getMany', readonly string[], number?]
  | readonly ['scan', ModelRange, number?]
  | readonly ['snapshot' | 'closeSnapshot' | 'closeScan', number]
  | readonly ['openScan', number, ModelRange, number?]
  | readonly ['step', number, number]
  | readonly ['flush', boolean]
  | readonly ['compact', boolean, string?, string?]
  | readonly ['verify' | 'reopen' | 'crash'];

export interface History {
  /** Who made it, for people. */
  readonly origin: string;
  readonly operations: readonly Operation[];
}

/** The bytes of a value as a latin1 string. */
export function valueText([tag, length, kind]: ValueSpec): string {
  if (kind === 'text') return `${tag}:`.repeat(Math.ceil(length / 2)).slice(0, length);
  return Buffer.from(seededRandom(tag).bytes(length)).toString('latin1');
}

export function writeHistory({ origin, operations }: History): string {
  return [JSON.stringify({ origin }), ...operations.map((operation) => JSON.stringify(operation)), ''].join(
    '\n',
  );
}

export function readHistory(text: string): History {
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const { origin } = JSON.parse(head) as { origin: string };
  return { origin, operations: lines.map((line) => JSON.parse(line) as Operation) };
}
