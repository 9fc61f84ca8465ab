/**
 * Random bytes and names.
 *
 * Taken from Node without an import: one of `node:crypto` reads every property of that module, and with that loads WebCrypto,
 * which takes as long as opening a store does.
 *
 * Thread: any.
 */
import type * as Crypto from 'node:crypto';

const crypto: typeof Crypto = process.getBuiltinModule('node:crypto');

/** `byteLength` random bytes as lower-case hexadecimal digits. */
export function randomHex(byteLength: number): string {
  return crypto.randomBytes(byteLength).toString('hex');
}

/** A UUID of version 4. */
export function randomId(): string {
  return crypto.randomUUID();
}
