/**
 * The index of a block's entries that the cache keeps with it (layout: block-index.ts): what all keys begin with, the four bytes
 * of each behind that, and where the entries are. As SlowBlockIndex does, in two walks: one that checks, one that writes.
 */
import { endOfEntries, sharedLength } from './content';
import { diff, limitDeltas, overlap, readEntry, value, valueEnd } from './entry';

/** Length of the prefix in the index made last. */
export let prefix: u32 = 0;

const HEAD_BYTES: u32 = 4;

/** The first key, and how many of its bytes all others share. */
let first: u32 = 0;
let common: u32 = 0;

/**
 * Writes the index of the content [start, stop), of which no entry may be more than `largestDelta` above the base sequence, to
 * `output`. Of a longer common prefix than `maxPrefix` the rest belongs to the keys. `key` is where keys are put together.
 * Returns how many entries there are; 0: the content does not decode, or there is no room.
 */
export function index(
  start: u32,
  stop: u32,
  largestDelta: f64,
  key: u32,
  maxPrefix: u32,
  output: u32,
  outputEnd: u32,
): u32 {
  const end = endOfEntries(start, stop);
  if (end === 0) return 0;
  limitDeltas(largestDelta);
  const count = countEntries(start, end);
  if (count === 0) return 0;
  prefix = min<u32>(common, maxPrefix);
  const words = (prefix + 3) >> 2;
  if ((words + (count << 1)) << 2 > outputEnd - output) return 0;
  for (let copied: u32 = 0; copied < prefix; copied += HEAD_BYTES) {
    store<u32>(output, headOf(first + copied, prefix - copied));
    output += HEAD_BYTES;
  }
  writeEntries(start, end, key, output, output + (count << 2));
  return count;
}

/** Also finds `first` and `common`. 0: they don't all decode. */
function countEntries(start: u32, end: u32): u32 {
  let count: u32 = 0;
  let length: u32 = 0;
  let firstLength: u32 = 0;
  let shared: u32 = 0;
  let at = start;
  do {
    if (!readEntry(at, end, length)) return 0;
    const diffLength: u32 = value - diff;
    if (count === 0) {
      first = diff;
      firstLength = diffLength;
      shared = diffLength;
    } else if (overlap <= shared) {
      // With more in common with the key before, this one differs from the first where that does.
      const limit = min<u32>(diffLength, firstLength - overlap);
      shared = overlap + sharedLength(diff, first + overlap, limit);
    }
    length = overlap + diffLength;
    count++;
    at = valueEnd;
  } while (at < end);
  common = shared;
  return count;
}

function writeEntries(start: u32, end: u32, key: u32, heads: u32, offsets: u32): void {
  let at = start;
  do {
    readEntry(at, end, u32.MAX_VALUE);
    const diffLength: u32 = value - diff;
    // Of the key only the prefix and the head behind it are needed.
    let from = diff;
    let to = key + overlap;
    const needed = min<u32>(to + diffLength, key + prefix + HEAD_BYTES);
    while (to < needed) {
      v128.store(to, v128.load(from));
      to += 16;
      from += 16;
    }
    store<u32>(heads, headOf(key + prefix, overlap + diffLength - prefix));
    store<u32>(offsets, at - start);
    heads += HEAD_BYTES;
    offsets += 4;
    at = valueEnd;
  } while (at < end);
}

/** The 4 bytes at `from` as one number that is ordered as they are; of those only `length` count, the others are 0. */
function headOf(from: u32, length: i32): u32 {
  if (length <= 0) return 0;
  const word = bswap(load<u32>(from));
  return length < 4 ? word & (-1 << (32 - (length << 3))) : word;
}
