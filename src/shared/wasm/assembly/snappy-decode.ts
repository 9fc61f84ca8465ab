/**
 * Decodes Snappy (google/snappy, format_description.txt), as decodeElements in snappy-decoder.ts does in TypeScript. The grammar
 * of a stream is there.
 *
 * Copies are made in steps of 16 or 64 bytes, however few are wanted: a loop that ends after one round or three is one that
 * processors guess wrong. They read and write up to 64 bytes past an end.
 *
 * Invariants: nothing in a stream is trusted; each element is checked against both ends before it is carried out.
 */

const MAX_SHORT_LITERAL: u32 = 60;

/** What the elements in [input, inputEnd) give goes to `output`. Returns where it ends; 0: this is not a stream, or too long. */
export function decode(input: u32, inputEnd: u32, output: u32, outputEnd: u32): u32 {
  const start = output;
  while (input < inputEnd) {
    const tag: u32 = load<u8>(input);
    input += 1;
    const type = tag & 3;
    let length = (tag >> 2) + 1;
    if (type === 0) {
      if (length > MAX_SHORT_LITERAL) {
        // The length stands in 1 to 4 bytes behind the tag.
        const lengthBytes = length - MAX_SHORT_LITERAL;
        if (lengthBytes > inputEnd - input) return 0;
        length = load<u32>(input);
        if (lengthBytes < 4) length &= (1 << (lengthBytes << 3)) - 1;
        // One more would be 0.
        if (length === u32.MAX_VALUE) return 0;
        length++;
        input += lengthBytes;
      }
      if (length > inputEnd - input) return 0;
      if (length > outputEnd - output) return 0;
      copyLiteral(input, output, length);
      input += length;
      output += length;
      continue;
    }
    let offset: u32;
    if (type === 1) {
      if (input >= inputEnd) return 0;
      length = ((tag >> 2) & 7) + 4;
      offset = ((tag >> 5) << 8) | load<u8>(input);
      input += 1;
    } else if (type === 2) {
      if (inputEnd - input < 2) return 0;
      offset = load<u16>(input);
      input += 2;
    } else {
      if (inputEnd - input < 4) return 0;
      offset = load<u32>(input);
      input += 4;
    }
    // Offset 0 becomes the largest number, and fails too.
    if (offset - 1 >= output - start) return 0;
    if (length > outputEnd - output) return 0;
    const end = output + length;
    if (offset >= 16) copyFar(output - offset, output, length);
    else repeat(offset, output, end);
    output = end;
  }
  return output;
}

function copyLiteral(from: u32, to: u32, length: u32): void {
  v128.store(to, v128.load(from));
  if (length <= 16) return;
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  v128.store(to, v128.load(from, 48), 48);
  if (length <= 64) return;
  copyWide(from + 64, to + 64, to + length);
}

/** At most 64 bytes from 16 or more before: no step reads what it writes. */
function copyFar(from: u32, to: u32, length: u32): void {
  v128.store(to, v128.load(from));
  if (length <= 16) return;
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  v128.store(to, v128.load(from, 48), 48);
}

/** The `offset` bytes before `to`, fewer than 16, again and again up to `end`. */
function repeat(offset: u32, to: u32, end: u32): void {
  const from = to - offset;
  if (offset === 1) {
    const run = v128.load_splat<u8>(from);
    do {
      v128.store(to, run);
      to += 16;
    } while (to < end);
    return;
  }
  // Of 16 bytes read at `from` the first `offset` are right, and make twice as many for the next time.
  do {
    v128.store(to, v128.load(from));
    to += offset;
    if (to >= end) return;
    offset <<= 1;
  } while (offset < 16);
  copyWide(from, to, end);
}

/** Up to `end` in steps of 16 bytes; at least one. */
function copyWide(from: u32, to: u32, end: u32): void {
  do {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  } while (to < end);
}
