/**
 * The entries of a block's content (grammar: table/format.ts), decoded in place: as EntryHeader.read in block.ts.
 *
 * Invariants: one entry at a time, the one decoded last; the globals below tell about it. Nothing in a block is trusted.
 */

/** Leading bytes that its key shares with the key before. */
export let overlap: u32 = 0;
/** The rest of its key lies in [diff, value), its value in [value, valueEnd). */
export let diff: u32 = 0;
export let value: u32 = 0;
/** Also where the next entry starts. */
export let valueEnd: u32 = 0;
export let kind: u32 = 0;
/** Its sequence, above the block's base. */
export let delta: i64 = 0;

const MAX_KEY_BYTES: u32 = 65536;
const MAX_KIND: u32 = 3;
/** Its value begins with so many bytes that say when. */
const EXPIRING_PUT: u32 = 3;
const EXPIRY_BYTES: u32 = 8;
/** Not among a block's entries. */
const RANGE_DELETE: u32 = 2;
const MAX_LENGTH: u64 = 0x7fffffff;
const MAX_SAFE_INTEGER: u64 = 0x1fffffffffffff;

let largestDelta: i64 = 0;
/** Where the next varint is. */
let cursor: u32 = 0;

/** No entry may be further above the base sequence: sequences end at 2^53 - 1. */
export function limitDeltas(largest: f64): void {
  largestDelta = i64(largest);
}

/** Decodes the entry at `from`, whose predecessor's key has `lengthBefore` bytes. false: there is none, in front of `end`. */
export function readEntry(from: u32, end: u32, lengthBefore: u32): bool {
  let shared: u32 = load<u8>(from);
  let diffLength: u32 = load<u8>(from, 1);
  let valueLength: u32 = load<u8>(from, 2);
  // Restarts follow the entries, so these bytes are there; bounds are checked below.
  if ((shared | diffLength | valueLength) < 128) {
    from += 3;
  } else {
    cursor = from;
    let wide = readVarint(end);
    if ((wide as u64) > MAX_LENGTH) return false;
    shared = wide as u32;
    wide = readVarint(end);
    if ((wide as u64) > MAX_LENGTH) return false;
    diffLength = wide as u32;
    wide = readVarint(end);
    if ((wide as u64) > MAX_LENGTH) return false;
    valueLength = wide as u32;
    from = cursor;
  }
  kind = load<u8>(from);
  let above: i64 = load<u8>(from, 1);
  from += 2;
  if (above >= 128) {
    cursor = from - 1;
    above = readVarint(end);
    if (above === -1) return false;
    from = cursor;
  }
  if (above > largestDelta) return false;
  if (from > end || diffLength > end - from) return false;
  diff = from;
  from += diffLength;
  if (valueLength > end - from) return false;
  value = from;
  valueEnd = from + valueLength;
  overlap = shared;
  delta = above;
  return (
    kind <= MAX_KIND &&
    kind !== RANGE_DELETE &&
    (kind !== EXPIRING_PUT || valueLength >= EXPIRY_BYTES) &&
    shared <= lengthBefore &&
    shared + diffLength <= MAX_KEY_BYTES
  );
}

/** Starts reading varints at `position`. */
export function moveTo(position: u32): void {
  cursor = position;
}

/** Where readVarint stands. */
export function position(): u32 {
  return cursor;
}

/** The next varint, in front of `end`. -1: it is cut off, or above 2^53 - 1. */
export function readVarint(end: u32): i64 {
  let number: u64 = 0;
  for (let shift: u64 = 0; shift < 56; shift += 7) {
    if (cursor >= end) return -1;
    const byte: u64 = load<u8>(cursor++);
    number |= (byte & 127) << shift;
    if (byte < 128) return number <= MAX_SAFE_INTEGER ? (number as i64) : -1;
  }
  return -1;
}
