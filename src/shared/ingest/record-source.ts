/**
 * Takes the records of an ingestion from their source.
 *
 *   asks the source for its next record until there is none, and packs it (record-packer.ts)
 *   every few milliseconds: a turn for the event loop, and word of the progress
 *   a chunk is full: `ship` it; that promise is how the consumer slows the source down
 *
 * Invariants: a record is copied before the source is asked for the next one. The source is ended by `return()` when it
 *             did not end by itself; whether it ever does is its own affair. Nothing of it runs within the call that began the
 *             ingestion, nor while one is being ended.
 * Thread:     the one that has the source.
 */
import { invalidArgument } from '../base/errors.ts';
import { describe } from '../base/input-bytes.ts';
import { throwIfAborted, whenAborted } from '../base/signals.ts';
import { now, setImmediate } from '../base/timers.ts';
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

/** A source's iterator, whichever kind it is. */
interface RecordIterator {
  next(): unknown;
  return?(): unknown;
}

/** Rejects with what the source throws, the signal's reason, or STRATA_INVALID_ARGUMENT for what is no record. */
export async function takeRecords(
  source: IngestSource,
  packer: RecordPacker,
  { signal, ship, onProgress }: TakeOptions,
): Promise<void> {
  // Opening a source runs code of the application: not within the call, which has yet to make the ingestion known.
  await undefined;
  throwIfAborted(signal);
  const { iterator, isAsync } = openSource(source);
  let hasEnded = false;
  const end = (): void => {
    if (hasEnded) return;
    hasEnded = true;
    endQuietly(iterator);
  };
  // A source that is waiting for something is ended at once, not when it is next asked.
  const forget = whenAborted(signal, end);
  try {
    let sliceEnd = now() + SLICE_MS;
    for (;;) {
      throwIfAborted(signal);
      const next = iterator.next();
      const step = stepOf(isAsync ? await next : next);
      if (step.done) {
        hasEnded = true;
        break;
      }
      throwIfAborted(signal);
      while (!packer.addRecord(step.value)) await ship(packer.takeChunk()!);
      if (packer.recordCount % RECORDS_PER_LOOK === 0 && now() >= sliceEnd) {
        onProgress();
        await new Promise<void>((resolve) => setImmediate(resolve));
        sliceEnd = now() + SLICE_MS;
      }
    }
    const last = packer.takeChunk();
    if (last !== undefined) await ship(last);
  } finally {
    forget();
    end();
  }
}

/** As `for await` does, but that what is no iterator gets our own error. */
function openSource(source: IngestSource): { readonly iterator: RecordIterator; readonly isAsync: boolean } {
  const asyncMethod: unknown = (source as AsyncIterable<unknown>)[Symbol.asyncIterator];
  const isAsync = asyncMethod !== undefined && asyncMethod !== null;
  const method: unknown = isAsync ? asyncMethod : (source as Iterable<unknown>)[Symbol.iterator];
  const iterator: unknown = typeof method === 'function' ? Reflect.apply(method, source, []) : undefined;
  if (
    typeof iterator !== 'object' ||
    iterator === null ||
    typeof Reflect.get(iterator, 'next') !== 'function'
  )
    throw invalidArgument('the source of an ingest gave no iterator');
  return { iterator: iterator as RecordIterator, isAsync };
}

/** What an iterator answered, each property read once. */
function stepOf(answer: unknown): { readonly done: boolean; readonly value: unknown } {
  if (typeof answer !== 'object' || answer === null)
    throw invalidArgument(`the iterator of an ingest's source gave ${describe(answer)}`);
  const step = answer as IteratorResult<unknown>;
  if (step.done) return { done: true, value: undefined };
  return { done: false, value: step.value };
}

/**
 * In a microtask of its own, as it is the application's code and whoever ends the ingestion is in the middle of that. Nobody
 * waits: a generator that is suspended in an await ends when that does, and what it throws then is of no interest to an ingestion
 * that has failed.
 */
function endQuietly(iterator: RecordIterator): void {
  const tell = async (): Promise<void> => {
    await undefined;
    await iterator.return?.();
  };
  tell().catch(() => undefined);
}
