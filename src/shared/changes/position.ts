/**
 * The text of a position: a place between two writes of one store, in one history.
 *
 *   position = "p1" base64url(36 bytes)            50 characters
 *
 *   0   check u32           CRC-32 of the 32 bytes that follow, as they are below
 *   4   32 bytes            of the store's id 16, of the epoch's id 8, the sequence u64: each xored with a stream that begins at
 *                           the check, so that nobody reads an order from the text
 *
 * Invariants: the same place gives the same text. Any other text, be it one character off, is refused as malformed.
 * Thread:     any. Pure.
 * Not chosen: the sequence as a number that can be seen. It would be compared, across stores and histories, by those who find it.
 */
import { readU32, readU64, writeU32, writeU64 } from '../base/bytes.ts';
import { crc32 } from '../base/checksum.ts';
import { invalidArgument } from '../base/errors.ts';
import { describe } from '../base/input-bytes.ts';

/** A place of a store's history: behind the write that ends with this sequence. */
export interface Place {
  /** A UUID. */
  readonly storeId: string;
  /** The id of the epoch that the sequence belongs to: EPOCH_ID_DIGITS hexadecimal digits. */
  readonly epochId: string;
  readonly sequence: number;
}

export const EPOCH_ID_DIGITS = 16;

const PREFIX = 'p1';
const CHECK_BYTES = 4;
const STORE_BYTES = 16;
const EPOCH_BYTES = 8;
const SEQUENCE_AT: number = CHECK_BYTES + STORE_BYTES + EPOCH_BYTES;
const BYTES: number = SEQUENCE_AT + 8;
const TEXT = /^p1[-\w]{48}$/;

export function encodePosition({ storeId, epochId, sequence }: Place): string {
  if (storeId !== latest.storeId || epochId !== latest.epochId) latest = new EpochEncoder(storeId, epochId);
  return latest.encode(sequence);
}

/** Whoever follows the changes needs a text for each batch, nearly all of one epoch: what they share is worked out once. */
class EpochEncoder {
  readonly storeId: string;
  readonly epochId: string;
  readonly #plain: Buffer = Buffer.alloc(BYTES);
  readonly #text: Buffer = Buffer.alloc(BYTES);
  /** Of all but the sequence. */
  readonly #check: number;

  constructor(storeId: string, epochId: string) {
    this.storeId = storeId;
    this.epochId = epochId;
    this.#plain.write(storeId.replaceAll('-', ''), CHECK_BYTES, 'hex');
    this.#plain.write(epochId, CHECK_BYTES + STORE_BYTES, 'hex');
    this.#check = crc32(this.#plain, CHECK_BYTES, SEQUENCE_AT);
  }

  encode(sequence: number): string {
    const plain = this.#plain;
    const text = this.#text;
    writeU64(plain, SEQUENCE_AT, sequence);
    const check = crc32(plain, SEQUENCE_AT, BYTES, this.#check);
    for (let at = CHECK_BYTES; at < BYTES; at++) text[at] = plain[at]!;
    writeU32(text, 0, check);
    scramble(text, check);
    return PREFIX + text.toString('base64url');
  }
}

/** @throws {@link StorageError} STRATA_INVALID_ARGUMENT for anything but the text of a position. */
export function decodePosition(text: unknown): Place {
  if (typeof text !== 'string') throw invalidArgument(`a position is a string, not ${describe(text)}`);
  const bytes = TEXT.test(text) ? Buffer.from(text.slice(PREFIX.length), 'base64url') : Buffer.alloc(0);
  if (bytes.length !== BYTES) throw malformed();
  const check = readU32(bytes, 0);
  scramble(bytes, check);
  const sequence = readU64(bytes, SEQUENCE_AT);
  if (crc32(bytes, CHECK_BYTES, BYTES) !== check || sequence < 0) throw malformed();
  const store = bytes.toString('hex', CHECK_BYTES, CHECK_BYTES + STORE_BYTES);
  return {
    storeId: store.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    epochId: bytes.toString('hex', CHECK_BYTES + STORE_BYTES, SEQUENCE_AT),
    sequence,
  };
}

function malformed(): Error {
  return invalidArgument('this is not a position that stratakv has given out');
}

/** Its own inverse. */
function scramble(bytes: Uint8Array, seed: number): void {
  // xorshift32, which stays at 0 when it begins there.
  let state = seed === 0 ? 1 : seed;
  for (let at = CHECK_BYTES; at < BYTES; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at]! ^= state >>> 24;
  }
}

let latest = new EpochEncoder('', '');
