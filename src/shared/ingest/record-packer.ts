/**
 * Packs the records of an ingestion into chunks (chunk.ts), one after the other.
 *
 *   add()         copies a record into the chunk; false when that is full: takeChunk(), and add it again
 *   giveBack()    a chunk that was taken may be filled again
 *   giveUp()      a chunk that was taken may still be read by somebody, who is of no interest any more
 *   end()         no record follows: the memory of all chunks is given up (reclaim.ts), now or as they come back
 *
 * Invariants: what is refused leaves no trace.
 * Thread:     the one that has the records.
 * Owns:       the chunk being filled, and those that came back.
 */
import { invalidArgument, StorageError } from '../base/errors.ts';
import { type Bytes, InputBytes } from '../base/input-bytes.ts';
import { noteGivenUp } from '../base/reclaim.ts';
import { IngestChunk, MAX_RECORD_HEADER_BYTES } from './chunk.ts';

export class RecordPacker {
  readonly #chunkBytes: number;
  readonly #key = new InputBytes();
  readonly #value = new InputBytes();
  #idle: IngestChunk[] = [];
  #chunk: IngestChunk | undefined;
  #hasEnded = false;
  recordCount = 0;
  /** Of keys and values. */
  byteCount = 0;

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
  }

  /** A record as a source yields it. Throws STRATA_INVALID_ARGUMENT for what is none. */
  addRecord(record: unknown): boolean {
    if (!Array.isArray(record) || record.length !== 2)
      throw invalidArgument(`record ${this.recordCount + 1} of an ingest is not [key, value]`);
    return this.add(record[0], record[1]);
  }

  /** false: the chunk is full, and the record is not in it. Throws STRATA_INVALID_ARGUMENT for what is no key or value. */
  add(keyBytes: Bytes, valueBytes: Bytes): boolean {
    const key = this.#key;
    const value = this.#value;
    try {
      key.setKey(keyBytes);
      value.setValue(valueBytes);
    } catch (error) {
      throw atRecord(error, this.recordCount + 1);
    }
    this.#chunk ??= this.#newChunk(key.end + value.end);
    if (!this.#chunk.hasRoom(key.end, value.end)) return false;
    this.#chunk.add(key.bytes, key.end, value.bytes, value.end);
    this.recordCount++;
    this.byteCount += key.end + value.end;
    return true;
  }

  /** What was packed since the last one was taken, if anything. */
  takeChunk(): IngestChunk | undefined {
    const chunk = this.#chunk;
    this.#chunk = undefined;
    return chunk;
  }

  giveBack(chunk: IngestChunk): void {
    // One that was made for a huge record is not kept for the others.
    if (this.#hasEnded || chunk.capacityBytes !== this.#chunkBytes) this.giveUp(chunk);
    else this.#idle.push(chunk);
  }

  giveUp(chunk: IngestChunk): void {
    noteGivenUp(chunk.buffer);
  }

  /** Idempotent. What was packed and not taken is dropped. */
  end(): void {
    this.#hasEnded = true;
    const chunk = this.takeChunk();
    if (chunk !== undefined) this.giveUp(chunk);
    for (const idle of this.#idle) this.giveUp(idle);
    this.#idle = [];
  }

  #newChunk(firstBytes: number): IngestChunk {
    const needed = firstBytes + MAX_RECORD_HEADER_BYTES;
    if (needed > this.#chunkBytes) return new IngestChunk(needed);
    const chunk = this.#idle.pop() ?? new IngestChunk(this.#chunkBytes);
    chunk.reset();
    return chunk;
  }
}

function atRecord(error: unknown, position: number): unknown {
  if (!(error instanceof StorageError)) return error;
  return new StorageError(error.code, `record ${position} of an ingest: ${error.message}`, { cause: error });
}
