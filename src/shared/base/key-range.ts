/**
 * Ranges of keys as callers give them, checked at the call and turned into one form:
 *
 *   gt k    -> start = next(k)     gte k -> start = k      (both: the higher)
 *   lte k   -> end   = next(k)     lt k  -> end   = k      (both: the lower)
 *   prefix  -> start = p           end   = p without its trailing 0xff bytes, the last byte one higher; none left: no end
 *
 * next(k) is `k` and a zero byte, the smallest key after `k`; of a key that has the greatest length there is, the first key that
 * does not begin with it.
 *
 * Invariants: a bound that is undefined counts as absent. Bounds the wrong way round are an empty range, not an error.
 *             What comes out are copies, no longer than a key may be (a `start` that no key reaches excepted).
 * Thread:     any. Pure.
 */
import { compareKeys, keySuccessor } from './bytes.ts';
import { invalidArgument } from './errors.ts';
import { type Bytes, describe, ownedKeyBytes } from './input-bytes.ts';
import type { KeyRange as HalfOpenRange } from './iterator.ts';
import { MAX_KEY_BYTES } from './limits.ts';
import { checkObject, readOnce } from './option-checks.ts';

/** A range of keys, by unsigned bytes: bounds, or a prefix. A bound that is undefined counts as absent; {} is everything. */
export interface KeyRange {
  /** Keys above this one. Of two bounds on one side the narrower counts. */
  readonly gt?: Bytes | undefined;
  /** Keys from this one on. */
  readonly gte?: Bytes | undefined;
  /** Keys below this one. */
  readonly lt?: Bytes | undefined;
  /** Keys up to this one. */
  readonly lte?: Bytes | undefined;
  /** Keys that begin with this, and nothing else: not to be given together with a bound. */
  readonly prefix?: Bytes | undefined;
}

/** Every key there is. It has to be said: a bound that happens to be undefined must not empty a store. */
export interface AllKeys {
  readonly all: true;
}

/** The fields of a {@link KeyRange}. */
export const RANGE_NAMES: readonly (keyof KeyRange)[] = ['gt', 'gte', 'lt', 'lte', 'prefix'];
const KEY_RANGE: ReadonlySet<string> = new Set(RANGE_NAMES);
const DELETE_RANGE: ReadonlySet<string> = new Set([...RANGE_NAMES, 'all']);

/** Of a range alone; `what` names it in messages. */
export function resolveKeyRange(range: KeyRange, what = 'a range'): HalfOpenRange {
  checkObject(range, what, KEY_RANGE);
  return boundsOf(range);
}

/** What deleteRange() is given; undefined: no key can lie in it. Without any bound it has to be `{ all: true }`. */
export function resolveDeleteRange(
  range: KeyRange | AllKeys,
): { readonly start: Uint8Array; readonly end: Uint8Array | undefined } | undefined {
  checkObject(range, 'the range of deleteRange', DELETE_RANGE);
  const { all, ...bounds } = readOnce(range as KeyRange & { readonly all?: unknown }, DELETE_RANGE);
  if (all !== undefined && all !== true)
    throw invalidArgument(`'all' of a range must be true, not ${describe(all)}`);
  const isBounded = RANGE_NAMES.some((name) => bounds[name] !== undefined);
  if (isBounded && all) throw invalidArgument("a range has either bounds or 'all', not both");
  if (!isBounded && !all)
    throw invalidArgument('a range without any bound that is defined deletes everything: say { all: true }');
  const { start = new Uint8Array(0), end } = boundsOf(bounds);
  return start.length > MAX_KEY_BYTES || isEmptyRange({ start, end }) ? undefined : { start, end };
}

/** The bounds among the fields of options that have others as well, which have been checked. */
export function boundsOf({ gt, gte, lt, lte, prefix }: KeyRange): HalfOpenRange {
  if (prefix === undefined) return { start: startOf(gt, gte), end: endOf(lt, lte) };
  if (gt !== undefined || gte !== undefined || lt !== undefined || lte !== undefined)
    throw invalidArgument('a range has either a prefix or bounds, not both');
  const start = ownedKeyBytes(prefix);
  return { start, end: afterPrefix(start) };
}

/** Whether no key can lie in the range. */
export function isEmptyRange({ start, end }: HalfOpenRange): boolean {
  return start !== undefined && end !== undefined && compareKeys(start, end) >= 0;
}

function startOf(gt: Bytes | undefined, gte: Bytes | undefined): Uint8Array | undefined {
  const inclusive = gte === undefined ? undefined : ownedKeyBytes(gte);
  const exclusive = gt === undefined ? undefined : startAfter(ownedKeyBytes(gt));
  if (inclusive === undefined || exclusive === undefined) return inclusive ?? exclusive;
  return compareKeys(inclusive, exclusive) > 0 ? inclusive : exclusive;
}

function endOf(lt: Bytes | undefined, lte: Bytes | undefined): Uint8Array | undefined {
  const exclusive = lt === undefined ? undefined : ownedKeyBytes(lt);
  const inclusive = lte === undefined ? undefined : afterKey(ownedKeyBytes(lte));
  if (inclusive === undefined || exclusive === undefined) return inclusive ?? exclusive;
  return compareKeys(inclusive, exclusive) < 0 ? inclusive : exclusive;
}

/** The smallest key after `key`; undefined: there is none. */
export function afterKey(key: Uint8Array): Uint8Array | undefined {
  return key.length < MAX_KEY_BYTES ? keySuccessor(key) : afterPrefix(key);
}

/** Where there is no key after it, what no key reaches. */
function startAfter(key: Uint8Array): Uint8Array {
  return afterKey(key) ?? keySuccessor(key);
}

/** The first key above all that begin with `prefix`; undefined: they are the last ones. */
function afterPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const after = prefix.slice(0, length);
  after[length - 1]!++;
  return after;
}
