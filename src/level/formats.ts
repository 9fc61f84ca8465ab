/**
 * Keys and values between abstract-level, which has encoded them already, and the engine: strings and bytes go in as they are,
 * bytes come out as they are or become a string.
 *
 * Invariants: a lone surrogate becomes U+FFFD, as it does wherever a string becomes UTF-8 in LevelDB's interfaces; the engine
 *             itself would refuse it.
 * Thread:     any. Pure.
 */
import type { Bytes } from '../shared/base/input-bytes.ts';
import type { StoreReadOptions, StoreSnapshot } from './level-store.ts';

/** What abstract-level hands to a database as its format. */
export type Format = 'utf8' | 'buffer' | 'view';

/** A range as abstract-level hands it on: in one of the formats, all bounds optional. */
export interface LevelRange {
  readonly gt?: Bytes | undefined;
  readonly gte?: Bytes | undefined;
  readonly lt?: Bytes | undefined;
  readonly lte?: Bytes | undefined;
}

/** A key or value for the engine. */
export function inputOf(data: Bytes): Bytes {
  return typeof data === 'string' && !data.isWellFormed() ? data.toWellFormed() : data;
}

/** Bytes of the engine, which belong to the caller, in the format asked for. */
export function outputOf(bytes: Buffer, format: Format | undefined): Bytes {
  return format === 'utf8' ? bytes.toString() : bytes;
}

/** The bounds that count: of two on one side the inclusive one does, as in classic-level. */
export function rangeOf({ gt, gte, lt, lte }: LevelRange): LevelRange | undefined {
  const lower = gte ?? gt;
  const upper = lte ?? lt;
  if (lower === undefined && upper === undefined) return undefined;
  const range: { gt?: Bytes; gte?: Bytes; lt?: Bytes; lte?: Bytes } = {};
  if (lower !== undefined) range[gte === undefined ? 'gt' : 'gte'] = inputOf(lower);
  if (upper !== undefined) range[lte === undefined ? 'lt' : 'lte'] = inputOf(upper);
  return range;
}

/** Options of a read; undefined where they are the defaults. */
export function readOptionsOf(
  snapshot: StoreSnapshot | undefined,
  fillCache: boolean | undefined,
): StoreReadOptions | undefined {
  if (snapshot === undefined) return fillCache === false ? { fillCache } : undefined;
  return fillCache === false ? { snapshot, fillCache } : { snapshot };
}
