/**
 * load FILE|-: stores the records of a file, or of standard input.
 *
 *   lines -> records (record-format.ts) -> one ingestion (StorageEngine.ingest)
 *
 * Invariants: all or nothing: a malformed line stops the load with its number, and nothing is stored. After success everything
 *             is in tables and survives power loss.
 */
import { StorageError } from '../../shared/base/errors.ts';
import { InputBytes } from '../../shared/base/input-bytes.ts';
import { now } from '../../shared/base/timers.ts';
import type { IngestProgress } from '../index.ts';
import type { CommandContext } from './context.ts';
import { CommandError, ExitCode } from './exit-codes.ts';
import { splitLines } from './line-splitter.ts';
import { Progress } from './progress.ts';
import { formatByteRate, formatBytes, formatCount, formatDuration, formatRate } from './quantities.ts';
import {
  type DataRecord,
  detectFormat,
  MalformedLine,
  parseRecord,
  type RecordFormat,
} from './record-format.ts';
import { type Input, openInput } from './user-files.ts';

export interface LoadOptions {
  readonly format?: RecordFormat;
  readonly skipBad?: boolean;
  readonly progress: boolean;
}

interface LoadCounts {
  lines: number;
  bytes: number;
  skipped: number;
}

/** With --skip-bad, this many bad lines are shown; the rest is only counted. */
const SHOWN_BAD_LINES = 10;

export async function load(context: CommandContext, path: string, options: LoadOptions): Promise<void> {
  const { session, out, signal } = context;
  if (path === '-' && context.isReadingStdin) {
    throw new CommandError(ExitCode.Usage, 'standard input is where the commands come from; name a file');
  }
  const input = openInput(path);
  const engine = await session.engine('create');
  const startedAt = now();
  const progress = new LoadProgress(input.sizeBytes, options.progress && out.isWatched);
  const counts: LoadCounts = { lines: 0, bytes: 0, skipped: 0 };
  let rows: number;
  try {
    const report = await engine.ingest(readRecords(context, input, options, counts, progress), {
      signal,
      onProgress: (now) => progress.onPhase(now),
    });
    rows = report.records;
  } finally {
    progress.stop();
    input.stream.destroy();
  }
  const elapsedMs = now() - startedAt;
  const rates = `${formatRate(rows, elapsedMs)} rows/s, ${formatByteRate(counts.bytes, elapsedMs)}`;
  const skipped = counts.skipped === 0 ? '' : `; malformed lines skipped: ${formatCount(counts.skipped)}`;
  out.note(
    `loaded ${formatCount(rows)} rows (${formatBytes(counts.bytes)}) in ${formatDuration(elapsedMs)}: ${rates}${skipped}`,
  );
}

async function* readRecords(
  { out }: CommandContext,
  input: Input,
  options: LoadOptions,
  counts: LoadCounts,
  progress: LoadProgress,
): AsyncGenerator<[key: string | Buffer, value: string | Buffer], void, void> {
  let format = options.format;
  let rows = 0;
  for await (const lines of splitLines(readChunks(input))) {
    for (const line of lines) {
      counts.lines++;
      counts.bytes += line.length + 1;
      if (line.length === 0) continue;
      format ??= detectFormat(line);
      const record = readRecord(line, format);
      if (typeof record !== 'string') {
        rows++;
        yield [record.key, record.value];
        continue;
      }
      const where = `line ${counts.lines} of ${input.name}: ${record}`;
      if (options.skipBad !== true) throw new CommandError(ExitCode.Error, `${where}; nothing was stored`);
      if (counts.skipped++ < SHOWN_BAD_LINES) progress.above(() => out.note(`skipped ${where}`));
    }
    progress.onRead(counts.bytes, rows);
  }
}

/** One bar for the input as it is read, another for the tables made of it. */
class LoadProgress {
  readonly #isShown: boolean;
  #bar: Progress;
  #isReading = true;
  #loadedBytes = 0;

  constructor(inputBytes: number | undefined, isShown: boolean) {
    this.#isShown = isShown;
    this.#bar = new Progress({ label: 'loading', totalBytes: inputBytes, unit: 'rows', isShown });
  }

  onRead(bytes: number, rows: number): void {
    if (this.#isReading) this.#bar.update(bytes, rows);
  }

  onPhase({ phase, records, bytes }: IngestProgress): void {
    if (phase === 'sorting') {
      this.#loadedBytes = bytes;
      return;
    }
    if (this.#isReading) {
      this.#isReading = false;
      this.#bar.stop();
      const totalBytes = this.#loadedBytes;
      this.#bar = new Progress({
        label: 'building tables',
        totalBytes,
        unit: 'rows',
        isShown: this.#isShown,
      });
    }
    this.#bar.update(bytes, records);
  }

  /** As {@link Progress.above}. */
  above(write: () => void): void {
    this.#bar.above(write);
  }

  stop(): void {
    this.#bar.stop();
  }
}

async function* readChunks({ name, stream }: Input): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw new CommandError(ExitCode.Error, `cannot read ${name}: ${(error as Error).message}`, error);
  }
}

const checkedKey = new InputBytes();
const checkedValue = new InputBytes();

/** The record, or what is wrong with the line. */
function readRecord(line: Buffer, format: RecordFormat): DataRecord | string {
  try {
    const record = parseRecord(line, format);
    // The store refuses some keys and values, too long or not Unicode, but knows no line numbers.
    checkedKey.setKey(record.key);
    checkedValue.setValue(record.value);
    return record;
  } catch (error) {
    if (error instanceof MalformedLine) return error.message;
    if (error instanceof StorageError && error.code === 'STRATA_INVALID_ARGUMENT') return error.message;
    throw error;
  }
}
