/**
 * Decodes a snappy stream into a buffer of exactly the expected length, trusting nothing in it.
 *
 *   stream  = varint uncompressedLength, element*
 *   element = tag & 3 == 0   literal: length - 1 in the tag's upper 6 bits, or 60..63 = in the next 1..4 bytes; bytes
 *             tag & 3 == 1   copy: length 4..11, offset 11 bits (3 in the tag, 8 in the next byte)
 *             tag & 3 == 2   copy: length 1..64, offset u16
 *             tag & 3 == 3   copy: length 1..64, offset u32
 *
 * (Snappy's format_description.txt.) A copy may overlap what it writes: offset 1 repeats one byte.
 *
 * Thread: any. Pure.
 * Not chosen: snappyjs's decoder. Bytes here may be hostile, and it walks backwards for ever on a literal length with its
 *             top bit set, reads ahead of itself on such an offset, and leaves a stream that is too short unfinished
 *             without an error; checking the stream before it cost a second walk, and a block took 1.7 times as long.
 */

import { type BlockModule, blockModule, MAX_WASM_BLOCK_BYTES } from '../wasm/block-module.ts';

/** Literals longer than this are copied by a native call, shorter ones by a loop. */
const LOOP_COPY_BYTES = 24;

/** Fills `output` from the stream in `input`. Returns what is wrong, or undefined. */
export function decodeSnappy(input: Uint8Array, output: Uint8Array): string | undefined {
  const bodyStart = checkLength(input, output.length);
  if (bodyStart < 0) return 'snappy block declares another length than its trailer';
  const module = output.length <= MAX_WASM_BLOCK_BYTES ? blockModule() : undefined;
  module?.load(input);
  const decoded = module?.viewLoaded(bodyStart, input.length, output.length);
  if (decoded !== undefined) {
    output.set(decoded);
    return undefined;
  }
  // In WebAssembly a bad stream is only found to be bad; this also says why.
  return decodeElements(input, bodyStart, output);
}

/**
 * As decodeSnappy, for an `input` whose bytes `module` has loaded (and perhaps more behind them): what they give, in the
 * module's memory; undefined: decode it the other way to see why not.
 */
export function viewLoadedSnappy(
  module: BlockModule,
  input: Uint8Array,
  length: number,
): Uint8Array | undefined {
  const bodyStart = checkLength(input, length);
  return bodyStart < 0 ? undefined : module.viewLoaded(bodyStart, input.length, length);
}

/** Where the elements start; -1 when the declared length is not `expected`. */
function checkLength(input: Uint8Array, expected: number): number {
  let declared = 0;
  let position = 0;
  for (let scale = 1; position < input.length && position < 5; scale *= 128) {
    const byte = input[position++]!;
    declared += (byte & 0x7f) * scale;
    if (byte < 128) return declared === expected ? position : -1;
  }
  return -1;
}

function decodeElements(input: Uint8Array, start: number, output: Uint8Array): string | undefined {
  const end = input.length;
  const outEnd = output.length;
  let at = start;
  let out = 0;
  while (at < end) {
    const tag = input[at++]!;
    const type = tag & 3;
    if (type === 0) {
      let length = (tag >>> 2) + 1;
      if (length > 60) {
        const lengthBytes = length - 60;
        if (at + lengthBytes > end) return 'snappy literal runs past the end of its block';
        length = 1;
        for (let i = 0, scale = 1; i < lengthBytes; i++, scale *= 256) length += input[at++]! * scale;
      }
      if (length > end - at) return 'snappy literal runs past the end of its block';
      if (length > outEnd - out) return 'snappy block yields more than it declares';
      if (length <= LOOP_COPY_BYTES) for (let i = 0; i < length; i++) output[out + i] = input[at + i]!;
      else output.set(input.subarray(at, at + length), out);
      at += length;
      out += length;
      continue;
    }
    let length = (tag >>> 2) + 1;
    let offset: number;
    const operands = type === 3 ? 4 : type;
    if (at + operands > end) return 'snappy copy runs past the end of its block';
    if (type === 1) {
      length = ((tag >>> 2) & 7) + 4;
      offset = ((tag >>> 5) << 8) | input[at]!;
    } else {
      offset = input[at]! | (input[at + 1]! << 8);
      if (type === 3) offset += (input[at + 2]! + input[at + 3]! * 256) * 65536;
    }
    at += operands;
    if (offset === 0 || offset > out) return 'snappy copy reaches before the start of its block';
    if (length > outEnd - out) return 'snappy block yields more than it declares';
    const from = out - offset;
    // A copy that overlaps itself repeats what it writes: byte by byte, in order.
    if (length > LOOP_COPY_BYTES && offset >= length) output.copyWithin(out, from, from + length);
    else for (let i = 0; i < length; i++) output[out + i] = output[from + i]!;
    out += length;
  }
  return out === outEnd ? undefined : 'snappy block yields less than it declares';
}
