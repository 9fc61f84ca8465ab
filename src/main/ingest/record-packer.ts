/**
 * Takes records from the source of a bulk load and packs them into chunks (ingest-chunk.ts), which it hands on when full.
 *
 *   take()   asks the source for its next record until there is none
 *            every few milliseconds: a turn for the event loop, and word of the progress
 *            a chunk is full: `ship` it; that promise is how the consumer slows the source down
 *
 * Invariants: a record is copied before the source is asked for the next one. The source is told to end (`return()`) when it
 *             did not end by itself; whether it ever does is its own affair.
 * Thread:     main.
 * Owns:       the chunk being filled, and those that came back.
 */
import { invalidArgument, StorageError } from '../../shared/errors.ts';
import { IngestChunk, MAX_RECORD_HEADER_BYTES } from '../../shared/ingest-chunk.ts';
import { InputBytes } from '../../shared/input-bytes.ts';
import type { IngestSource } from './ingest-options.ts';

/** Records between two looks at the clock. */
const RECORDS_PER_LOOK = 64;
/** How long the source may keep the event loop for itself. */
const SLICE_MS = 4;

export interface PackerOptions {
  readonly chunkBytes: number;
  readonly signal: AbortSignal;
  /** Takes a full chunk; resolves when the next one may be filled. */
  readonly ship: (chunk: IngestChunk) => Promise<void>;
  readonly onProgress: (records: number, bytes: number) => void;
}

export class RecordPacker {
  readonly #options: PackerOptions;
  readonly #key = new InputBytes();
  readonly #value = new InputBytes();
  readonly #idle: IngestChunk[] = [];
  #chunk: IngestChunk | undefined;
  recordCount = 0;
  /** Of keys and values. */
  byteCount = 0;

  constructor(options: PackerOptions) {
    this.#options = options;
  }

  /** Rejects with what the source throws, the signal's reason, or STRATA_INVALID_ARGUMENT for what is no record. */
  async take(source: IngestSource): Promise<void> {
    const { signal } = this.#options;
    const isAsync = Symbol.asyncIterator in source;
    const iterator = isAsync ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    let hasEnded = false;
    const end = (): void => {
      if (hasEnded) return;
      hasEnded = true;
      endQuietly(iterator);
    };
    // A source that is waiting for something is told at once, not when it is next asked.
    signal.addEventListener('abort', end, { once: true });
    try {
      let sliceEnd = performance.now() + SLICE_MS;
      for (;;) {
        signal.throwIfAborted();
        const next = iterator.next();
        const step = isAsync ? await next : (next as IteratorResult<unknown>);
        if (step.done === true) {
          hasEnded = true;
          break;
        }
        signal.throwIfAborted();
        while (!this.#pack(step.value)) await this.#ship();
        if (this.recordCount % RECORDS_PER_LOOK === 0 && performance.now() >= sliceEnd) {
          this.#options.onProgress(this.recordCount, this.byteCount);
          await new Promise<void>((resolve) => setImmediate(resolve));
          sliceEnd = performance.now() + SLICE_MS;
        }
      }
      if (this.#chunk !== undefined && this.#chunk.recordCount > 0) await this.#ship();
    } finally {
      signal.removeEventListener('abort', end);
      end();
    }
  }

  /** A chunk that was shipped may be filled again. */
  giveBack(chunk: IngestChunk): void {
    // One that was made for a huge record is not kept for the others.
    if (chunk.capacityBytes === this.#options.chunkBytes) this.#idle.push(chunk);
  }

  /** false: the chunk is full, and the record is not in it. */
  #pack(record: unknown): boolean {
    if (!Array.isArray(record) || record.length !== 2)
      throw invalidArgument(`record ${this.recordCount + 1} of an ingest is not [key, value]`);
    const key = this.#key;
    const value = this.#value;
    try {
      key.setKey(record[0]);
      value.setValue(record[1]);
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

  #newChunk(firstBytes: number): IngestChunk {
    const needed = firstBytes + MAX_RECORD_HEADER_BYTES;
    if (needed > this.#options.chunkBytes) return new IngestChunk(needed);
    const chunk = this.#idle.pop() ?? new IngestChunk(this.#options.chunkBytes);
    chunk.reset();
    return chunk;
  }

  async #ship(): Promise<void> {
    const chunk = this.#chunk!;
    this.#chunk = undefined;
    await this.#options.ship(chunk);
  }
}

function atRecord(error: unknown, position: number): unknown {
  if (!(error instanceof StorageError)) return error;
  return new StorageError(error.code, `record ${position} of an ingest: ${error.message}`, { cause: error });
}

/** Nobody waits: a generator that is suspended in an await ends when that does. */
function endQuietly(iterator: AsyncIterator<unknown> | Iterator<unknown>): void {
  const tell = async (): Promise<void> => {
    await iterator.return?.();
  };
  tell().catch(() => undefined);
}
