/**
 * Compresses with Snappy (google/snappy: format_description.txt, and CompressFragment in snappy.cc). Where WebAssembly is
 * missing, snappyjs does.
 *
 *   1. the hash of four bytes leads to where bytes with that hash were last, and this place takes its place there
 *   2. are they other bytes, go on, in steps that grow: this part may not compress at all
 *   3. else write what was passed over as a literal, make the match as long as it gets, and write it as a copy
 *   4. the rest is a literal
 *
 * Invariants: only the input is read, up to 16 bytes past its end; offsets have 16 bits.
 */

/** Shorter inputs are one literal, and no match begins where fewer bytes are left. */
const MARGIN_BYTES: u32 = 16;
/** Steps are a 32nd of it: they grow by one when 32 places had no match. */
const FIRST_SKIP: u32 = 32;
const HASH_FACTOR: u32 = 0x1e35a7bd;

/**
 * The elements for [input, inputEnd), at most 64 KiB, go to `output`. `table`: 2^(32 - shift) u16 of 0. Returns where the
 * elements end.
 */
export function compress(input: u32, inputEnd: u32, output: u32, table: u32, shift: u32): u32 {
  /** Up to here elements are written. */
  let done = input;
  if (inputEnd - input >= MARGIN_BYTES) {
    const limit = inputEnd - MARGIN_BYTES + 1;
    let skip = FIRST_SKIP;
    let at = input + 1;
    while (at < limit) {
      const word = load<u32>(at);
      const slot = slotOf(word, table, shift);
      const candidate = input + load<u16>(slot);
      store<u16>(slot, at - input);
      if (load<u32>(candidate) !== word) {
        at += skip >> 5;
        skip++;
        continue;
      }
      if (done < at) output = writeLiteral(done, at - done, output);
      const length = matchLength(candidate, at, inputEnd);
      output = writeCopy(at - candidate, length, output);
      at += length;
      done = at;
      skip = FIRST_SKIP;
      if (at >= limit) break;
      store<u16>(slotOf(load<u32>(at - 1), table, shift), at - 1 - input);
    }
  }
  return done < inputEnd ? writeLiteral(done, inputEnd - done, output) : output;
}

function slotOf(word: u32, table: u32, shift: u32): u32 {
  return table + (((word * HASH_FACTOR) >> shift) << 1);
}

/** How many bytes at `candidate` and `at`, of which the first four are equal, are, 8 at a time up to `end`. */
function matchLength(candidate: u32, at: u32, end: u32): u32 {
  let length: u32 = 4;
  while (at + length + 8 <= end) {
    const difference = load<u64>(candidate + length) ^ load<u64>(at + length);
    if (difference !== 0) return length + ((ctz(difference) >> 3) as u32);
    length += 8;
  }
  return length;
}

/** Returns where the element ends. */
function writeLiteral(from: u32, length: u32, output: u32): u32 {
  const n = length - 1;
  if (n < 60) {
    store<u8>(output, n << 2);
    output += 1;
  } else if (n < 256) {
    store<u8>(output, 60 << 2);
    store<u8>(output, n, 1);
    output += 2;
  } else {
    store<u8>(output, 61 << 2);
    store<u16>(output, n, 1);
    output += 3;
  }
  const end = output + length;
  do {
    v128.store(output, v128.load(from));
    output += 16;
    from += 16;
  } while (output < end);
  return end;
}

/** As many elements as the length needs, each of at most 64 bytes. Returns where they end. */
function writeCopy(offset: u32, length: u32, output: u32): u32 {
  while (length > 64) {
    // What is left must be a copy, and those have at least 4 bytes.
    const part: u32 = select<u32>(64, 60, length >= 68);
    store<u8>(output, ((part - 1) << 2) | 2);
    store<u16>(output, offset, 1);
    output += 3;
    length -= part;
  }
  if (length >= 12 || offset >= 2048) {
    store<u8>(output, ((length - 1) << 2) | 2);
    store<u16>(output, offset, 1);
    return output + 3;
  }
  store<u8>(output, ((offset >> 8) << 5) | ((length - 4) << 2) | 1);
  store<u8>(output, offset, 1);
  return output + 2;
}
