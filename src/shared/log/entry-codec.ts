/**
 * Encodes and reads single entries in the form of log-format.ts, which is also their form in the arena.
 */
import { copyInto, varintLength, writeVarint } from '../base/bytes.ts';
import { type Entry, EntryKind } from '../base/entry.ts';
import type { EntryBatch } from '../base/entry-batch.ts';
import {
  ENTRY_PREFIX_BYTES,
  entryKeyEnd,
  entryKeyStart,
  entryKind,
  entryValueEnd,
  KIND_SCALE,
  MIN_ENTRY_BYTES,
} from './log-format.ts';

/** The tag and two lengths below 128: how nearly every entry begins. */
export const SHORT_HEADER_BYTES: number = ENTRY_PREFIX_BYTES + 2;

/** Entries of neighbouring keys lie anywhere in the arena: so much of each is fetched ahead of a walk. */
const FETCHED_BYTES = 192;
const CACHE_LINE_BYTES = 64;

/** The upper bits of a kind lie here in what {@link tagOf} returns, above a tag's byte. */
const KIND_SHIFT = 8;
/** What a key length with a kind in it takes. */
const LONG_KEY_LENGTH_BYTES = 3;

/** What an entry takes in the arena and in the log. */
export function encodedEntryBytes(
  keyLength: number,
  valueLength: number,
  kind: number = EntryKind.Put,
): number {
  const keyLengthBytes = kind > EntryKind.Put ? LONG_KEY_LENGTH_BYTES : varintLength(keyLength);
  const lengths = keyLengthBytes + varintLength(valueLength);
  return Math.max(MIN_ENTRY_BYTES, ENTRY_PREFIX_BYTES + lengths + keyLength + valueLength);
}

/** Fills `entry` from the encoded entry at `ref`, which does not say its `sequence` (arena.ts). */
export function readEntry(bytes: Uint8Array, ref: number, sequence: number, entry: Entry): void {
  const keyStart = entryKeyStart(bytes, ref);
  const keyEnd = entryKeyEnd(bytes, ref, keyStart);
  entry.keyBytes = bytes;
  entry.keyStart = keyStart;
  entry.keyEnd = keyEnd;
  entry.valueBytes = bytes;
  entry.valueStart = keyEnd;
  entry.valueEnd = entryValueEnd(bytes, ref, keyEnd);
  entry.sequence = sequence;
  entry.kind = entryKind(bytes, ref);
}

/**
 * Touches the entries at refs[from, to) one right after the other, so that their cache misses overlap. What it returns has no
 * meaning, but has to be kept: bytes that nobody uses would not be fetched.
 */
export function fetchEntries(bytes: Uint8Array, refs: Uint32Array, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at++) {
    const ref = refs[at]!;
    for (let line = 0; line < FETCHED_BYTES; line += CACHE_LINE_BYTES) sum += bytes[ref + line] ?? 0;
  }
  return sum;
}

/** Appends the encoded entry at `ref` to a scattered batch. */
export function addToBatch(bytes: Uint8Array, ref: number, sequence: number, batch: EntryBatch): void {
  const keyLength = bytes[ref + ENTRY_PREFIX_BYTES]!;
  const valueLength = bytes[ref + ENTRY_PREFIX_BYTES + 1]!;
  let keyStart = ref + SHORT_HEADER_BYTES;
  let keyEnd = keyStart + keyLength;
  let valueEnd = keyEnd + valueLength;
  let kind = bytes[ref]! & 1;
  if ((keyLength | valueLength) >= 128) {
    kind = entryKind(bytes, ref);
    keyStart = entryKeyStart(bytes, ref);
    keyEnd = entryKeyEnd(bytes, ref, keyStart);
    valueEnd = entryValueEnd(bytes, ref, keyEnd);
  }
  batch.refs[batch.count] = ref;
  batch.add(keyStart, keyEnd, keyEnd, valueEnd, sequence, kind);
}

/** What {@link encodeEntry} takes for an entry of `kind` that has no place in a log yet; its ordinal comes on top, times 2. */
export function tagOf(kind: number): number {
  return (kind & 1) | ((kind >>> 1) << KIND_SHIFT);
}

/** Writes one entry at `position` and returns the position behind it. `tag`: see {@link tagOf}. */
export function encodeEntry(
  to: Uint8Array,
  position: number,
  tag: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
): number {
  to[position] = tag;
  const kindBits = (tag >>> KIND_SHIFT) * KIND_SCALE;
  let at = writeVarint(to, position + ENTRY_PREFIX_BYTES, keyEnd - keyStart + kindBits);
  at = writeVarint(to, at, valueEnd - valueStart);
  copyInto(to, at, key, keyStart, keyEnd);
  at += keyEnd - keyStart;
  copyInto(to, at, value, valueStart, valueEnd);
  at += valueEnd - valueStart;
  while (at < position + MIN_ENTRY_BYTES) to[at++] = 0;
  return at;
}
