/**
 * Encodes and reads single entries in the form of log-format.ts, which is also their form in the arena.
 */
import { copyInto, readU32, varintLength, writeU32, writeVarint } from '../bytes.ts';
import type { Entry } from '../iterator.ts';
import { ENTRY_PREFIX_BYTES, entryKeyEnd, entryKeyStart, entryValueEnd } from '../log-format.ts';

/** What an entry takes in the arena and in the log. */
export function encodedEntryBytes(keyLength: number, valueLength: number): number {
  return ENTRY_PREFIX_BYTES + varintLength(keyLength) + varintLength(valueLength) + keyLength + valueLength;
}

/** Fills `entry` from the encoded entry at `ref`. */
export function readEntry(bytes: Uint8Array, ref: number, firstSequence: number, entry: Entry): void {
  const keyStart = entryKeyStart(bytes, ref);
  const keyEnd = entryKeyEnd(bytes, ref, keyStart);
  entry.keyBytes = bytes;
  entry.keyStart = keyStart;
  entry.keyEnd = keyEnd;
  entry.valueBytes = bytes;
  entry.valueStart = keyEnd;
  entry.valueEnd = entryValueEnd(bytes, ref, keyEnd);
  entry.sequence = firstSequence + readU32(bytes, ref);
  entry.kind = bytes[ref + 4]!;
}

/** Writes one entry at `position` and returns the position behind it. */
export function encodeEntry(
  to: Uint8Array,
  position: number,
  relativeSequence: number,
  kind: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
): number {
  writeU32(to, position, relativeSequence);
  to[position + 4] = kind;
  let at = writeVarint(to, position + ENTRY_PREFIX_BYTES, keyEnd - keyStart);
  at = writeVarint(to, at, valueEnd - valueStart);
  copyInto(to, at, key, keyStart, keyEnd);
  at += keyEnd - keyStart;
  copyInto(to, at, value, valueStart, valueEnd);
  return at + valueEnd - valueStart;
}
