/**
 * Walks the entries of a log's records, trusting nothing in them, and counts them. What clients send in the form of the log is
 * read by the same reader before it is written there.
 *
 * Every entry has to have the ordinal that its place gives it (log-format.ts), so the walk goes on from record to record.
 * Whoever comes to a record without having walked those before it begins anew there.
 *
 * Invariants: positions are those in the log, or those in a part of it that begins at `base`.
 * Thread:     any; pure.
 */
import { readU64, VarintReader, varintLength } from '../../shared/base/bytes.ts';
import { EntryKind, MAX_KIND } from '../../shared/base/entry.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import { EXPIRY_BYTES } from '../../shared/base/expiry.ts';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../../shared/base/limits.ts';
import { isRangeDelete } from '../../shared/base/range-delete.ts';
import {
  BUCKET_SHIFT,
  ENTRY_PREFIX_BYTES,
  entryEnd,
  KIND_END,
  KIND_SCALE,
  MIN_ENTRY_BYTES,
} from '../../shared/log/log-format.ts';

const varint = new VarintReader();

/** Reads single entries, trusting nothing in them. */
export class EntryReader {
  kind = 0;
  keyLength = 0;
  valueLength = 0;

  /** Where the entry at `position` ends; -1 when no whole entry stands there before `end`. */
  read(bytes: Uint8Array, position: number, end: number): number {
    const lengths = position + ENTRY_PREFIX_BYTES;
    const valueAt = varint.read(bytes, lengths, end);
    const kindAndLength = varint.value;
    const keyLength = kindAndLength % KIND_SCALE;
    const keyAt = valueAt < 0 ? -1 : varint.read(bytes, valueAt, end);
    if (keyAt < 0) return -1;
    const kind = (bytes[position]! & 1) | (Math.floor(kindAndLength / KIND_SCALE) << 1);
    const keyEnd = keyAt + keyLength;
    const valueEnd = keyEnd + varint.value;
    const next = entryEnd(position, valueEnd);
    // A length that takes more bytes than it needs would be read differently by a memtable, which knows how many there can be.
    const isShort = keyAt - lengths === varintLength(kindAndLength) + varintLength(varint.value);
    if (!isShort || next > end || !isZero(bytes, valueEnd, next)) return -1;
    if (!isOfKind(kind, bytes, keyAt, keyEnd, valueEnd)) return -1;
    this.kind = kind;
    this.keyLength = keyLength;
    this.valueLength = varint.value;
    return next;
  }
}

/** Whether an entry of this kind can have the key bytes[keyAt, keyEnd), with the value behind it. */
function isOfKind(kind: number, bytes: Uint8Array, keyAt: number, keyEnd: number, valueEnd: number): boolean {
  if (kind === EntryKind.RangeDelete) return isRangeDelete(bytes, keyAt, keyEnd, keyEnd, valueEnd);
  const expires = kind === EntryKind.ExpiringPut;
  const valueLength = valueEnd - keyEnd - (expires ? EXPIRY_BYTES : 0);
  return (
    kind <= MAX_KIND &&
    keyEnd - keyAt <= MAX_KEY_BYTES &&
    valueLength >= 0 &&
    valueLength <= MAX_VALUE_BYTES &&
    // A table with a moment that is no whole number could be named by no manifest.
    (!expires || readU64(bytes, keyEnd) >= 0)
  );
}

const reader = new EntryReader();

export class EntryWalk {
  /** Of the last entry. */
  #bucket = -1;
  #ordinal = 0;
  /** Where the last count() ended. */
  position = 0;

  /** What came before `position` is not known: the ordinal of the entry there is right as it is. */
  beginAt(bytes: Uint8Array, position: number, base = 0): void {
    this.#bucket = (base + position) >>> BUCKET_SHIFT;
    this.#ordinal = (bytes[position]! >>> 1) - 1;
  }

  /**
   * How many entries the payload bytes[start, end) has; CorruptionError when it is anything but whole entries. `base`: where
   * bytes[0] is in the log. Of a payload that is not all there, those that begin before `stop`; `position` is where the next one
   * does.
   */
  count(bytes: Uint8Array, start: number, end: number, path: string, base = 0, stop: number = end): number {
    let position = start;
    let count = 0;
    while (position < stop) {
      const keyLength = bytes[position + ENTRY_PREFIX_BYTES]!;
      const valueLength = bytes[position + ENTRY_PREFIX_BYTES + 1]!;
      let next = position + ENTRY_PREFIX_BYTES + 2 + keyLength + valueLength;
      // Nearly every entry has two short lengths, and its size.
      const isPlain = (keyLength | valueLength) < 128 && next >= position + MIN_ENTRY_BYTES && next <= end;
      if (!isPlain) next = reader.read(bytes, position, end);
      if (next < 0 || bytes[position]! >>> 1 !== this.#ordinalAt(base + position))
        throw malformed(bytes, position, end, path, base);
      count++;
      position = next;
    }
    this.position = position;
    return count;
  }

  #ordinalAt(position: number): number {
    const bucket = position >>> BUCKET_SHIFT;
    this.#ordinal = bucket === this.#bucket ? this.#ordinal + 1 : 0;
    this.#bucket = bucket;
    return this.#ordinal;
  }
}

/** What stands there is no entry: damage, unless it is one of a kind that this release does not know. */
function malformed(
  bytes: Uint8Array,
  position: number,
  end: number,
  path: string,
  base: number,
): StorageError {
  const isWhole = varint.read(bytes, position + ENTRY_PREFIX_BYTES, end) >= 0;
  const kind = (bytes[position]! & 1) | (Math.floor(varint.value / KIND_SCALE) << 1);
  return isWhole && varint.value < KIND_END && kind > MAX_KIND
    ? new StorageError('STRATA_UNSUPPORTED', `${path} has a log with entries of a later release`, {
        file: path,
      })
    : new CorruptionError('a log entry is malformed', { file: path, offset: base + position });
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}
