/**
 * XXH64 (Yann Collet, "xxHash fast digest algorithm", version 0.1.1), in parts: begin, stripes, end. The same in TypeScript:
 * slowBlockChecksum in block-checksum.ts.
 *
 *   stripe    32 bytes, 8 for each of four lanes
 *   end       the lanes become one hash, which takes in what is left by 8, 4 and 1 bytes, and is mixed
 *
 * Invariants: one hash at a time; its state is in the globals below.
 */

const PRIME1: u64 = 0x9e3779b185ebca87;
const PRIME2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME3: u64 = 0x165667b19e3779f9;
const PRIME4: u64 = 0x85ebca77c2b2ae63;
const PRIME5: u64 = 0x27d4eb2f165667c5;
const STRIPE_BYTES: u32 = 32;

let seed: u64 = 0;
let lane1: u64 = 0;
let lane2: u64 = 0;
let lane3: u64 = 0;
let lane4: u64 = 0;

export function hashBegin(from: u32): void {
  seed = from;
  lane1 = seed + PRIME1 + PRIME2;
  lane2 = seed + PRIME2;
  lane3 = seed;
  lane4 = seed - PRIME1;
}

/** Takes in [input, end), a multiple of 32 bytes. */
export function hashStripes(input: u32, end: u32): void {
  let a = lane1;
  let b = lane2;
  let c = lane3;
  let d = lane4;
  while (input < end) {
    a = round(a, load<u64>(input));
    b = round(b, load<u64>(input, 8));
    c = round(c, load<u64>(input, 16));
    d = round(d, load<u64>(input, 24));
    input += STRIPE_BYTES;
  }
  lane1 = a;
  lane2 = b;
  lane3 = c;
  lane4 = d;
}

/** Takes in [input, end), less than 32 bytes, the last of `total` in all. Returns the low half of the hash. */
export function hashEnd(input: u32, end: u32, total: u32): u32 {
  let hash = seed + PRIME5;
  if (total >= STRIPE_BYTES) {
    hash = rotl(lane1, 1) + rotl(lane2, 7) + rotl(lane3, 12) + rotl(lane4, 18);
    hash = merge(hash, lane1);
    hash = merge(hash, lane2);
    hash = merge(hash, lane3);
    hash = merge(hash, lane4);
  }
  hash += total;
  while (end - input >= 8) {
    hash = rotl(hash ^ round(0, load<u64>(input)), 27) * PRIME1 + PRIME4;
    input += 8;
  }
  if (end - input >= 4) {
    hash = rotl(hash ^ ((load<u32>(input) as u64) * PRIME1), 23) * PRIME2 + PRIME3;
    input += 4;
  }
  while (input < end) {
    hash = rotl(hash ^ ((load<u8>(input) as u64) * PRIME5), 11) * PRIME1;
    input++;
  }
  hash = (hash ^ (hash >> 33)) * PRIME2;
  hash = (hash ^ (hash >> 29)) * PRIME3;
  return (hash ^ (hash >> 32)) as u32;
}

function round(lane: u64, word: u64): u64 {
  return rotl(lane + word * PRIME2, 31) * PRIME1;
}

function merge(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME1 + PRIME4;
}
