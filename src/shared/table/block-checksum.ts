/**
 * The checksum of blocks: the low 32 bits of XXH64 (Yann Collet, "xxHash fast digest algorithm", version 0.1.1), as RocksDB's
 * kxxHash64 takes them.
 *
 * Every block that is read is checked, so this is in the way of every lookup that the cache does not answer. CRC-32 finds all
 * bursts up to 32 bits, this all but one in 2^32 of anything; CRC-32 took three times as long, a fifth of such a lookup. What is
 * read rarely (logs, manifest, meta blocks, whole files) stays with CRC-32.
 *
 * Invariants: a number in [0, 2^32). Both ways below give the same.
 * Thread:     any.
 */
import { blockModule } from '../wasm/block-module.ts';

const PRIME1 = 0x9e3779b185ebca87n;
const PRIME2 = 0xc2b2ae3d27d4eb4fn;
const PRIME3 = 0x165667b19e3779f9n;
const PRIME4 = 0x85ebca77c2b2ae63n;
const PRIME5 = 0x27d4eb2f165667c5n;
const STRIPE_BYTES = 32;
const WORD_BYTES = 8;
const MASK = (1n << 64n) - 1n;

/** The checksum of bytes[start, end). */
export function blockChecksum(bytes: Uint8Array, start: number, end: number, seed: number): number {
  return blockModule()?.hash(bytes, start, end, seed) ?? slowBlockChecksum(bytes, start, end, seed);
}

/** Without WebAssembly: some hundred times slower, and there only so that a store opens everywhere. */
export function slowBlockChecksum(bytes: Uint8Array, start: number, end: number, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const total = end - start;
  const from = BigInt(seed);
  let at = start;
  let hash = (from + PRIME5) & MASK;
  if (total >= STRIPE_BYTES) {
    const lanes = [(from + PRIME1 + PRIME2) & MASK, (from + PRIME2) & MASK, from, (from - PRIME1) & MASK];
    for (; end - at >= STRIPE_BYTES; at += STRIPE_BYTES)
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i]!, view.getBigUint64(at + i * WORD_BYTES, true));
    hash =
      (rotate(lanes[0]!, 1n) + rotate(lanes[1]!, 7n) + rotate(lanes[2]!, 12n) + rotate(lanes[3]!, 18n)) &
      MASK;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * PRIME1 + PRIME4) & MASK;
  }
  hash = (hash + BigInt(total)) & MASK;
  for (; end - at >= WORD_BYTES; at += WORD_BYTES)
    hash = (rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * PRIME1 + PRIME4) & MASK;
  if (end - at >= WORD_BYTES / 2) {
    const word = BigInt(view.getUint32(at, true));
    hash = (rotate(hash ^ ((word * PRIME1) & MASK), 23n) * PRIME2 + PRIME3) & MASK;
    at += WORD_BYTES / 2;
  }
  for (; at < end; at++) hash = (rotate(hash ^ ((BigInt(bytes[at]!) * PRIME5) & MASK), 11n) * PRIME1) & MASK;
  hash = ((hash ^ (hash >> 33n)) * PRIME2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * PRIME3) & MASK;
  return Number((hash ^ (hash >> 32n)) & 0xffffffffn);
}

function round(lane: bigint, word: bigint): bigint {
  return (rotate((lane + word * PRIME2) & MASK, 31n) * PRIME1) & MASK;
}

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}
