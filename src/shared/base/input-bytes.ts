/**
 * Keys and values as callers hand them in: validated, and as bytes, without allocating for the usual short string.
 *
 * Invariants: a string means its UTF-8 bytes; lone surrogates are refused, as different strings would become equal bytes.
 * Lifetime:   an InputBytes is valid until its next `set`. It points into the caller's array or into its own scratch, so
 *             its content is copied on before the call that brought it returns.
 */
import { TextEncoder, types } from 'node:util';
import { copyBytes, lengthOf, viewOf } from './bytes.ts';
import { invalidArgument, StorageError } from './errors.ts';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from './limits.ts';

/** A key or value: bytes, or a string that stands for its UTF-8 bytes. */
export type Bytes = string | Uint8Array;

/** Up to here a character loop beats the call into native code. */
const SHORT_STRING = 96;
const INITIAL_SCRATCH_BYTES = 4096;
/** A scratch grown for one huge value is not kept for the small ones after it. */
const KEPT_SCRATCH_BYTES = 1048576;

const encoder = new TextEncoder();
const firstByte = Uint8Array.prototype.at;

export class InputBytes {
  bytes: Uint8Array = new Uint8Array(INITIAL_SCRATCH_BYTES);
  end = 0;
  #scratch: Uint8Array = this.bytes;

  /** Throws STRATA_INVALID_ARGUMENT for anything but a key of at most 64 KiB. */
  setKey(key: Bytes): void {
    this.#set(key, 'key');
    if (this.end > MAX_KEY_BYTES)
      throw invalidArgument(`a key has at most ${MAX_KEY_BYTES} bytes, not ${this.end}`);
  }

  /** Throws STRATA_INVALID_ARGUMENT for anything but a value of at most 256 MiB. */
  setValue(value: Bytes): void {
    this.#set(value, 'value');
    if (this.end > MAX_VALUE_BYTES)
      throw invalidArgument(`a value has at most ${MAX_VALUE_BYTES} bytes, not ${this.end}`);
  }

  #set(input: Bytes, what: string): void {
    if (typeof input === 'string') this.#setString(input, what);
    // Not `instanceof`, which an object with that prototype, or a proxy, passes as well.
    else if (types.isUint8Array(input)) {
      this.bytes = input;
      this.end = lengthOf(input);
      if (this.end === 0) refuseLost(input, what);
    } else throw invalidArgument(`a ${what} must be a string or a Uint8Array, not ${describe(input)}`);
  }

  #setString(input: string, what: string): void {
    const length = input.length;
    if (length <= SHORT_STRING) {
      const scratch = this.#scratch;
      let i = 0;
      for (; i < length; i++) {
        const unit = input.charCodeAt(i);
        if (unit >= 128) break;
        scratch[i] = unit;
      }
      if (i === length) {
        this.bytes = scratch;
        this.end = length;
        return;
      }
    }
    if (!input.isWellFormed())
      throw invalidArgument(
        `a ${what} string must be well-formed: it has a lone surrogate and no UTF-8 form`,
      );
    if (length > MAX_VALUE_BYTES)
      throw invalidArgument(`a value has at most ${MAX_VALUE_BYTES} bytes, not ${length} or more`);
    const byteLength = Buffer.byteLength(input, 'utf8');
    if (this.#scratch.length < byteLength || this.#scratch.length > KEPT_SCRATCH_BYTES)
      this.#scratch = new Uint8Array(Math.max(byteLength, INITIAL_SCRATCH_BYTES));
    encoder.encodeInto(input, this.#scratch);
    this.bytes = this.#scratch;
    this.end = byteLength;
  }
}

/**
 * An array whose buffer was transferred away, or shrunk until the array lies outside of it, has no bytes any more, and looks as
 * if it had been empty. Methods of arrays refuse such ones, whatever context they are from.
 */
function refuseLost(input: Uint8Array, what: string): void {
  try {
    firstByte.call(input, 0);
  } catch (cause) {
    const message = `a ${what} must not be a Uint8Array whose buffer was transferred or resized away`;
    throw new StorageError('STRATA_INVALID_ARGUMENT', message, { cause });
  }
}

const lookupKey = new InputBytes();

/** A key for a lookup, as one whole array; valid until the next call, or as long as the caller's array. */
export function lookupKeyBytes(key: Bytes): Uint8Array {
  lookupKey.setKey(key);
  return lookupKey.end === lookupKey.bytes.length
    ? lookupKey.bytes
    : viewOf(lookupKey.bytes, 0, lookupKey.end);
}

/** A private copy of a key, for what outlives the call: scan bounds, ranges. */
export function ownedKeyBytes(key: Bytes): Uint8Array<ArrayBuffer> {
  lookupKey.setKey(key);
  return copyBytes(lookupKey.bytes, 0, lookupKey.end);
}

/** A proxy that was revoked throws when it is asked. */
function isArray(value: object): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

/** What a wrong argument is, without showing it. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'object') return isArray(value) ? 'an array' : 'an object';
  return typeof value === 'number' ? `the number ${value}` : `${typeof value}`;
}
