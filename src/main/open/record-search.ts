/**
 * Finds the intact records of a log that no record before leads to: behind damage.
 *
 * Any position may be the start of one, and what stands there may claim any length. Each candidate costs the same small
 * amount (checksum-range.ts), so the whole search takes time in proportion to the log, whatever its bytes are.
 *
 * Thread: main; pure.
 */
import { readU32 } from '../../shared/base/bytes.ts';
import { ChecksumRange } from '../../shared/files/checksum-range.ts';
import {
  claimedEnd,
  claimedType,
  LAST_TYPE,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  readHeader,
} from '../../shared/log/log-format.ts';

export interface FoundRecord {
  readonly at: number;
  readonly header: RecordHeader;
}

export class RecordSearch {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  readonly #logNumber: number;
  /** Made for the first candidate: most logs have none. */
  #checksums: ChecksumRange | undefined;

  /** Looks for records of log `logNumber` that lie in bytes[start, end). */
  constructor(bytes: Uint8Array, start: number, end: number, logNumber: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#logNumber = logNumber;
  }

  /** The first intact record that begins in [from, until); `from` is at least the `start` given to the constructor. */
  next(from: number, until: number = this.#end): FoundRecord | undefined {
    const bytes = this.#bytes;
    const last = Math.min(until - 1, this.#end - RECORD_HEADER_BYTES);
    for (let at = from; at <= last; at++) {
      const type = claimedType(bytes, at);
      if (type === 0 || type > LAST_TYPE || !this.#matches(at)) continue;
      return { at, header: readHeader(bytes, at, this.#logNumber) };
    }
    return undefined;
  }

  #matches(at: number): boolean {
    const end = claimedEnd(this.#bytes, at, this.#end);
    if (end < 0) return false;
    this.#checksums ??= new ChecksumRange(this.#bytes, this.#start, this.#end);
    return this.#checksums.of(at + 4, end, this.#logNumber) === readU32(this.#bytes, at);
  }
}
