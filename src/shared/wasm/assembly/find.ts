/**
 * The search for a key in a block's content: as findInBlock in block.ts, which tells how it works. What is not as it should be is
 * not explained here: OtherWay sends the caller there, which does.
 */
import { endOfEntries, restartAt, restartCount, sharedLength } from './content';
import { delta, diff, overlap, readEntry, value, valueEnd } from './entry';

/** What `find` says; the first three as Found in block.ts. */
export const ABSENT: u32 = 0;
export const HERE: u32 = 1;
export const BEYOND: u32 = 2;
export const OTHER_WAY: u32 = 3;

const NONE: u32 = u32.MAX_VALUE;

/**
 * The newest entry of `key` at most `maxDelta` above the base sequence in the content [start, stop): that decoded last, if HERE.
 */
export function find(start: u32, stop: u32, key: u32, keyLength: u32, maxDelta: i64): u32 {
  const end = endOfEntries(start, stop);
  if (end === 0) return OTHER_WAY;
  const count = restartCount(stop);
  // The first restart must be the first entry.
  if (load<u32>(end) !== 0) return OTHER_WAY;
  let restart = findRestart(start, end, count, key, keyLength, maxDelta);
  if (restart === NONE) return OTHER_WAY;
  let at = restartAt(start, end, restart);
  if (at === end) return OTHER_WAY;
  let next = at;
  let length: u32 = 0;
  /** Leading bytes that the key shares with the entry before. */
  let matched: u32 = 0;
  let isEqual = false;
  do {
    if (at >= next) {
      // A restart, which says nothing about the entry before it.
      if (at !== next) return OTHER_WAY;
      matched = 0;
      length = 0;
      restart++;
      next = end;
      if (restart < count) {
        next = restartAt(start, end, restart);
        if (next === end) return OTHER_WAY;
      }
    }
    if (!readEntry(at, end, length)) return OTHER_WAY;
    const diffLength: u32 = value - diff;
    length = overlap + diffLength;
    if (overlap < matched) return ABSENT;
    if (overlap === matched) {
      matched += sharedLength(diff, key + matched, min<u32>(diffLength, keyLength - matched));
      isEqual = matched === keyLength && matched === length;
      if (isEqual) {
        if (delta <= maxDelta) return HERE;
      } else {
        if (matched === keyLength) return ABSENT;
        if (matched !== length && load<u8>(diff + matched - overlap) > load<u8>(key + matched)) return ABSENT;
      }
    }
    at = valueEnd;
  } while (at < end);
  return isEqual ? BEYOND : ABSENT;
}

/** The last restart before (key, maxDelta) in entry order, or at it; 0 when there is none before. NONE: one doesn't decode. */
function findRestart(start: u32, end: u32, count: u32, key: u32, keyLength: u32, maxDelta: i64): u32 {
  let low: u32 = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const at = restartAt(start, end, middle);
    if (at === end || !readEntry(at, end, 0)) return NONE;
    const order = compare(diff, value - diff, key, keyLength);
    if (order < 0 || (order === 0 && delta >= maxDelta)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Below 0: a comes first; 0: they are equal. */
function compare(a: u32, aLength: u32, b: u32, bLength: u32): i32 {
  const limit = min<u32>(aLength, bLength);
  const shared = sharedLength(a, b, limit);
  if (shared === limit) return aLength - bLength;
  return (load<u8>(a + shared) as i32) - (load<u8>(b + shared) as i32);
}
