/**
 * Walks the entries of a log's group record, trusting nothing in them. The file is read as far as each entry needs.
 *
 * Invariants: `sequence`, `ordinal` and all else are checked as recovery checks them (entry-walk.ts). A record whose checksum
 *             matches may still hold what is no entry, if it was made so.
 * Lifetime:   what `key` and `value` return is valid until the next move.
 * Thread:     main.
 */
import { VarintReader } from '../../shared/base/bytes.ts';
import { EntryKind, MAX_KIND } from '../../shared/base/entry.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import { EXPIRY_BYTES } from '../../shared/base/expiry.ts';
import { MAX_VALUE_BYTES } from '../../shared/base/limits.ts';
import { MAX_BOUND_BYTES } from '../../shared/base/range-delete.ts';
import {
  BUCKET_SHIFT,
  ENTRY_PREFIX_BYTES,
  entryEnd,
  KIND_END,
  KIND_SCALE,
} from '../../shared/log/log-format.ts';
import { EntryReader } from '../open/entry-walk.ts';
import type { FileWindow } from './file-window.ts';

/** A tag and two lengths, however they are spelled. */
const MOST_HEADER_BYTES = 20;

/** The bucket and the ordinal of the last entry, from record to record. */
export interface EntryPlace {
  bucket: number;
  ordinal: number;
  /** What came before is not known: the next ordinal is right as it is. */
  isUnknown: boolean;
}

export class LogEntryCursor {
  readonly #window: FileWindow;
  readonly #place: EntryPlace;
  readonly #reader = new EntryReader();
  readonly #varint = new VarintReader();
  readonly #end: number;
  #next: number;
  offset = 0;
  sequence: number;
  kind: number = EntryKind.Delete;
  keyLength = 0;
  valueLength = 0;
  #keyOffset = 0;

  /** Entries of the payload [start, end), the first of which has `firstSequence`. */
  constructor(window: FileWindow, start: number, end: number, firstSequence: number, place: EntryPlace) {
    this.#window = window;
    this.#place = place;
    this.#next = start;
    this.#end = end;
    this.sequence = firstSequence - 1;
  }

  /** false: there are no more. @throws {@link CorruptionError}, or `STRATA_UNSUPPORTED` for a kind of a later release. */
  next(): boolean {
    const at = this.#next;
    if (at >= this.#end) return false;
    const headerEnd = this.#readLengths(at);
    const valueEnd = headerEnd + this.keyLength + this.valueLength;
    const end = entryEnd(at, valueEnd);
    if (headerEnd < 0 || end > this.#end) throw this.#malformed(at);
    const from = this.#window.show(at, end - at);
    const { bytes } = this.#window;
    const isWhole = this.#reader.read(bytes, from, from + end - at) === from + end - at;
    if (!isWhole || !this.#isOrdinalRight(at, bytes[from]! >>> 1)) throw this.#malformed(at);
    this.offset = at;
    this.sequence++;
    this.kind = this.#reader.kind;
    this.#keyOffset = headerEnd - at;
    this.#next = end;
    return true;
  }

  key(): Uint8Array {
    const from = this.#window.show(this.offset, this.#keyOffset + this.keyLength) + this.#keyOffset;
    return this.#window.bytes.subarray(from, from + this.keyLength);
  }

  value(): Uint8Array {
    const start = this.#keyOffset + this.keyLength;
    const from = this.#window.show(this.offset, start + this.valueLength) + start;
    return this.#window.bytes.subarray(from, from + this.valueLength);
  }

  /** Where the key begins; -1: no entry begins at `at`. */
  #readLengths(at: number): number {
    const room = Math.min(MOST_HEADER_BYTES, this.#end - at);
    const from = this.#window.show(at, room);
    const { bytes } = this.#window;
    const varint = this.#varint;
    let position = varint.read(bytes, from + ENTRY_PREFIX_BYTES, from + room);
    const kind = (bytes[from]! & 1) | (Math.floor(varint.value / KIND_SCALE) << 1);
    if (position >= 0 && varint.value < KIND_END && kind > MAX_KIND) throw this.#unsupported();
    this.keyLength = varint.value % KIND_SCALE;
    position = position < 0 ? -1 : varint.read(bytes, position, from + room);
    this.valueLength = varint.value;
    if (position < 0 || this.keyLength > MAX_BOUND_BYTES || this.valueLength > MAX_VALUE_BYTES + EXPIRY_BYTES)
      return -1;
    if (kind === EntryKind.ExpiringPut && this.valueLength < EXPIRY_BYTES) return -1;
    return at + position - from;
  }

  #isOrdinalRight(at: number, ordinal: number): boolean {
    const place = this.#place;
    // By division: a log may have 4 GiB.
    const bucket = Math.floor(at / 2 ** BUCKET_SHIFT);
    const due = bucket === place.bucket ? place.ordinal + 1 : 0;
    const isRight = place.isUnknown || ordinal === due;
    place.isUnknown = false;
    place.bucket = bucket;
    place.ordinal = ordinal;
    return isRight;
  }

  #malformed(offset: number): CorruptionError {
    return new CorruptionError('a log entry is malformed', { file: this.#window.path, offset });
  }

  #unsupported(): StorageError {
    const { path } = this.#window;
    return new StorageError('STRATA_UNSUPPORTED', `${path} has a log with entries of a later release`, {
      file: path,
    });
  }
}
