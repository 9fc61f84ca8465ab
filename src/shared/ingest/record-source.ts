/**
 * Takes the records of a bulk load from their source.
 *
 *   asks the source for its next record until there is none, and packs it (record-packer.ts)
 *   every few milliseconds: a turn for the event loop, and word of the progress
 *   a chunk is full: `ship` it; that promise is how the consumer slows the source down
 *
 * Invariants: a record is copied before the source is asked for the next one. The source is told to end (`return()`) when it
 *             did not end by itself; whether it ever does is its own affair.
 * Thread:     the one that has the source.
 */
import type { IngestChunk } from './chunk.ts';
import type { IngestSource } from './ingest-options.ts';
import type { RecordPacker } from './record-packer.ts';

/** Records between two looks at the clock. */
const RECORDS_PER_LOOK = 64;
/** How long the source may keep the event loop for itself. */
const SLICE_MS = 4;

export interface TakeOptions {
  readonly signal: AbortSignal;
  /** Takes a full chunk; resolves when the next one may be filled. */
  readonly ship: (chunk: IngestChunk) => Promise<void>;
  /** Now and then: more records are packed. */
  readonly onProgress: () => void;
}

/** Rejects with what the source throws, the signal's reason, or STRATA_INVALID_ARGUMENT for what is no record. */
export async function takeRecords(
  source: IngestSource,
  packer: RecordPacker,
  { signal, ship, onProgress }: TakeOptions,
): Promise<void> {
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
      while (!packer.addRecord(step.value)) await ship(packer.takeChunk()!);
      if (packer.recordCount % RECORDS_PER_LOOK === 0 && performance.now() >= sliceEnd) {
        onProgress();
        await new Promise<void>((resolve) => setImmediate(resolve));
        sliceEnd = performance.now() + SLICE_MS;
      }
    }
    const last = packer.takeChunk();
    if (last !== undefined) await ship(last);
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

/** Nobody waits: a generator that is suspended in an await ends when that does. */
function endQuietly(iterator: AsyncIterator<unknown> | Iterator<unknown>): void {
  const tell = async (): Promise<void> => {
    await iterator.return?.();
  };
  tell().catch(() => undefined);
}
