/**
 * Finds the intact records of a log that no record before leads to: behind damage.
 *
 * Any position may be the start of one, and what stands there may claim any length. Each candidate costs the same small
 * amount (checksum-range.ts), so the whole search takes time in proportion to the log, whatever its bytes are.
 *
 * Thread: main; pure.
 */
import { readU32 } from '../shared/bytes.ts';
import { ChecksumRange } from '../shared/checksum-range.ts';
import { RECORD_HEADER_BYTES, type RecordHeader, RecordType, readRecord } from '../shared/log-format.ts';

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

  /** The first intact record at or behind `from`, which is at least the `start` given to the constructor. */
  next(from: number): FoundRecord | undefined {
    const bytes = this.#bytes;
    for (let at = from; at + RECORD_HEADER_BYTES <= this.#end; at++) {
      const type = bytes[at + 4]!;
      if (type !== RecordType.Group && type !== RecordType.Start) continue;
      if (readU32(bytes, at + 5) !== this.#logNumber || !this.#matches(at)) continue;
      const header = readRecord(bytes, at, this.#end, this.#logNumber);
      if (header !== undefined) return { at, header };
    }
    return undefined;
  }

  #matches(at: number): boolean {
    const payloadLength = readU32(this.#bytes, at + 21);
    if (payloadLength > this.#end - at - RECORD_HEADER_BYTES) return false;
    this.#checksums ??= new ChecksumRange(this.#bytes, this.#start, this.#end);
    const end = at + RECORD_HEADER_BYTES + payloadLength;
    return this.#checksums.of(at + 4, end) === readU32(this.#bytes, at);
  }
}
