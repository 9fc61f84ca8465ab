/**
 * A key looked up in a block as it is on disk (dataBlock in table/format.ts), in one call: checksum, Snappy, search.
 * sealed-lookup.ts tells why.
 *
 * Invariants: what is not as it should be, or of another codec, is OTHER_WAY: the caller then takes these steps in TypeScript,
 *             which tells what is wrong.
 */
import { delta, kind, limitDeltas, moveTo, position, readVarint, value, valueEnd } from './entry';
import { find, OTHER_WAY } from './find';
import { decode } from './snappy-decode';
import { hashBegin, hashEnd, hashStripes } from './xxh64';

const TRAILER_BYTES: u32 = 9;
/** Of the trailer: length of the content and codec, which the checksum covers. */
const HASHED_TRAILER_BYTES: u32 = 5;
const CODEC_AT: u32 = 4;
const SNAPPY: u32 = 1;

/**
 * As find, in the block of `length` bytes that is sealed at `input`, whose checksum begins with `seed` and whose deltas are none
 * above `largestDelta`. The content goes to `output`. result: u32 where the content ends, where the value starts, where it ends,
 * kind; f64 delta.
 */
export function lookup(
  input: u32,
  length: u32,
  seed: u32,
  output: u32,
  outputEnd: u32,
  key: u32,
  keyLength: u32,
  maxDelta: f64,
  largestDelta: f64,
  result: u32,
): u32 {
  if (length <= TRAILER_BYTES) return OTHER_WAY;
  const trailer = input + length - TRAILER_BYTES;
  const hashedLength = length - TRAILER_BYTES + HASHED_TRAILER_BYTES;
  const hashedEnd = input + hashedLength;
  const stripesEnd = input + (hashedLength & -32);
  hashBegin(seed);
  hashStripes(input, stripesEnd);
  if (hashEnd(stripesEnd, hashedEnd, hashedLength) !== load<u32>(hashedEnd)) return OTHER_WAY;
  if (load<u8>(trailer, CODEC_AT) !== SNAPPY) return OTHER_WAY;
  const contentLength = load<u32>(trailer);
  if (contentLength > outputEnd - output) return OTHER_WAY;
  // A stream begins with its length, too.
  moveTo(input);
  if (readVarint(trailer) !== (contentLength as i64)) return OTHER_WAY;
  const contentEnd = output + contentLength;
  if (decode(position(), trailer, output, contentEnd) !== contentEnd) return OTHER_WAY;
  limitDeltas(largestDelta);
  const found = find(output, contentEnd, key, keyLength, i64(maxDelta));
  store<u32>(result, contentEnd);
  store<u32>(result, value, 4);
  store<u32>(result, valueEnd, 8);
  store<u32>(result, kind, 12);
  store<f64>(result, f64(delta as u64), 16);
  return found;
}
