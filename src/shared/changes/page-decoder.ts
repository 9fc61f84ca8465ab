/**
 * Takes pages apart into batches: one for each write, with its position.
 *
 * Keys and values are views of the page's memory, which is nobody else's: a batch costs its objects, and no copy.
 *
 * Invariants: entries have been checked by whoever made the page (main/changes/log-pages.ts).
 * Thread:     the consumer's.     Owns: the page, until the next one.
 */
import { compareBytes, readU64 } from '../base/bytes.ts';
import { Entry, EntryKind } from '../base/entry.ts';
import { EXPIRY_BYTES } from '../base/expiry.ts';
import type { KeyRange } from '../base/iterator.ts';
import { rangeDeleteEnd } from '../base/range-delete.ts';
import { readEntry } from '../log/entry-codec.ts';
import { entryEnd } from '../log/log-format.ts';
import {
  type ChangePage,
  PIECE_END,
  PIECE_FIELDS,
  PIECE_SEQUENCE,
  PIECE_START,
  PieceKind,
} from './change-page.ts';
import type { Change, ChangeBatch } from './changes.ts';
import { GENESIS, type History } from './history.ts';
import { encodePosition } from './position.ts';

const NO_PAGE: ChangePage = { bytes: new Uint8Array(0), pieces: new Float64Array(0) };

export class PageDecoder {
  readonly #history: History;
  /** Of keys that are wanted; undefined: all are. */
  readonly #range: KeyRange | undefined;
  readonly #entry = new Entry();
  #page: ChangePage = NO_PAGE;
  /** Of the page's pieces. */
  #piece = 0;
  /** Where the next entry of a piece of writes is; 0: the piece has not begun. */
  #at = 0;
  #sequence = 0;
  /** A part of the ingestion that is under way has been given out. */
  #hasGivenPart = false;

  constructor(history: History, range: KeyRange | undefined) {
    this.#history = history;
    this.#range = range;
  }

  /** Requires: the page before is used up. */
  take(page: ChangePage): void {
    this.#page = page;
    this.#piece = 0;
    this.#at = 0;
  }

  /** undefined: the page is used up. */
  next(): ChangeBatch | undefined {
    const { pieces } = this.#page;
    while (this.#piece < pieces.length) {
      const kind = pieces[this.#piece]!;
      const batch = kind === PieceKind.Writes ? this.#nextWrite() : this.#nextWhole(kind);
      if (batch !== undefined) return batch;
    }
    this.#page = NO_PAGE;
    this.#piece = 0;
    return undefined;
  }

  /** undefined: it is not wanted, or the piece has no more. */
  #nextWrite(): ChangeBatch | undefined {
    const { bytes, pieces } = this.#page;
    const end = pieces[this.#piece + PIECE_END]!;
    if (this.#at === 0) {
      this.#at = pieces[this.#piece + PIECE_START]!;
      this.#sequence = pieces[this.#piece + PIECE_SEQUENCE]!;
    }
    const sequence = this.#sequence++;
    const entry = this.#entry;
    readEntry(bytes, this.#at, sequence, entry);
    this.#at = entryEnd(this.#at, entry.valueEnd);
    if (this.#at >= end) this.#endPiece();
    if (!this.#isWanted(entry)) return undefined;
    return { position: this.#positionAt(sequence), changes: [changeOf(entry)] };
  }

  #nextWhole(kind: number): ChangeBatch | undefined {
    const { bytes, pieces } = this.#page;
    const end = pieces[this.#piece + PIECE_END]!;
    const sequence = pieces[this.#piece + PIECE_SEQUENCE]!;
    const changes: Change[] = [];
    const entry = this.#entry;
    let count = 0;
    for (let at = pieces[this.#piece + PIECE_START]!; at < end; at = entryEnd(at, entry.valueEnd)) {
      readEntry(bytes, at, sequence, entry);
      count++;
      if (this.#isWanted(entry)) changes.push(changeOf(entry));
    }
    this.#endPiece();
    if (kind === PieceKind.Batch)
      return changes.length === 0 ? undefined : { position: this.#positionAt(sequence + count - 1), changes };
    const isLast = kind === PieceKind.LoadEnd;
    const isGiven = changes.length > 0 || (isLast && this.#hasGivenPart);
    this.#hasGivenPart = !isLast && (this.#hasGivenPart || isGiven);
    if (!isGiven) return undefined;
    if (isLast) return { position: this.#positionAt(sequence), changes };
    // No place to go on from: the ingestion is one write.
    const inside = { ...this.#history.placeAt(sequence), epochId: GENESIS };
    return { position: encodePosition(inside), changes, more: true };
  }

  #endPiece(): void {
    this.#piece += PIECE_FIELDS;
    this.#at = 0;
  }

  #positionAt(sequence: number): string {
    return encodePosition(this.#history.placeAt(sequence));
  }

  #isWanted(entry: Entry): boolean {
    const range = this.#range;
    if (range === undefined) return true;
    const { keyBytes, keyStart, keyEnd } = entry;
    const { start, end } = range;
    if (end !== undefined && compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) >= 0) return false;
    if (entry.kind !== EntryKind.RangeDelete)
      return start === undefined || compareBytes(keyBytes, keyStart, keyEnd, start, 0, start.length) >= 0;
    const deletedEnd = rangeDeleteEnd(keyBytes, entry.valueStart, entry.valueEnd);
    return (
      start === undefined ||
      deletedEnd === undefined ||
      compareBytes(deletedEnd, 0, deletedEnd.length, start, 0, start.length) > 0
    );
  }
}

function changeOf(entry: Entry): Change {
  const { keyBytes, keyStart, keyEnd, valueStart, valueEnd } = entry;
  const key = bufferOf(keyBytes, keyStart, keyEnd);
  switch (entry.kind) {
    case EntryKind.Put:
      return { type: 'put', key, value: bufferOf(keyBytes, valueStart, valueEnd) };
    case EntryKind.ExpiringPut:
      return {
        type: 'put',
        key,
        value: bufferOf(keyBytes, valueStart + EXPIRY_BYTES, valueEnd),
        expiresAt: readU64(keyBytes, valueStart),
      };
    case EntryKind.RangeDelete: {
      const end = rangeDeleteEnd(keyBytes, valueStart, valueEnd);
      return { type: 'deleteRange', start: key, end: end && bufferOf(end, 0, end.length) };
    }
    default:
      return { type: 'delete', key };
  }
}

function bufferOf(bytes: Uint8Array, start: number, end: number): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, end - start);
}
