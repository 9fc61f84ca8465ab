/**
 * load FILE|-: stores the records of a file, or of standard input.
 *
 *   lines -> records (record-format.ts) -> batches of a thousand, eight under way (batch-writer.ts) -> flush
 *
 * Invariants: a malformed line stops the load with its number, and nothing of its batch is stored; what was stored
 *             before it stays, and is told. After success everything is in tables and survives power loss.
 */
import { type Command, Option } from 'commander';
import { StorageError } from '../../shared/errors.ts';
import { BatchWriter } from './batch-writer.ts';
import { type CommandContext, noProgressOption } from './context.ts';
import { CommandError, ExitCode } from './exit-codes.ts';
import { splitLines } from './line-splitter.ts';
import { Progress } from './progress.ts';
import { formatByteRate, formatBytes, formatCount, formatDuration, formatRate } from './quantities.ts';
import { detectFormat, MalformedLine, parseRecord, type RecordFormat } from './record-format.ts';
import { type Input, openInput } from './user-files.ts';

interface LoadOptions {
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

export function addLoadCommand(program: Command, context: CommandContext): void {
  program
    .command('load')
    .description('store the records of a file (- for standard input): JSON lines or tab-separated')
    .argument('<file>')
    .addOption(
      new Option('--format <format>', 'what the lines are (default: by the first one)').choices([
        'json',
        'tsv',
      ]),
    )
    .option('--skip-bad', 'go on after malformed lines')
    .addOption(noProgressOption())
    .action((path: string, options: LoadOptions) => load(context, path, options));
}

async function load(context: CommandContext, path: string, options: LoadOptions): Promise<void> {
  const { session, out } = context;
  if (path === '-' && context.isReadingStdin) {
    throw new CommandError(ExitCode.Usage, 'standard input is where the commands come from; name a file');
  }
  const input = openInput(path);
  const engine = await session.engine('create');
  const startedAt = performance.now();
  const progress = new Progress({
    label: 'loading',
    totalBytes: input.sizeBytes,
    unit: 'rows',
    isShown: options.progress && out.isWatched,
  });
  const writer = new BatchWriter(engine);
  const counts: LoadCounts = { lines: 0, bytes: 0, skipped: 0 };
  try {
    await copyRecords(context, input, writer, options, counts, progress);
    await engine.flush();
  } finally {
    progress.stop();
    input.stream.destroy();
  }
  const elapsedMs = performance.now() - startedAt;
  const rates = `${formatRate(writer.rowCount, elapsedMs)} rows/s, ${formatByteRate(counts.bytes, elapsedMs)}`;
  const skipped = counts.skipped === 0 ? '' : `; malformed lines skipped: ${formatCount(counts.skipped)}`;
  out.note(
    `loaded ${formatCount(writer.rowCount)} rows (${formatBytes(counts.bytes)}) in ${formatDuration(elapsedMs)}: ${rates}${skipped}`,
  );
}

async function copyRecords(
  { out, signal }: CommandContext,
  input: Input,
  writer: BatchWriter,
  options: LoadOptions,
  counts: LoadCounts,
  progress: Progress,
): Promise<void> {
  let format = options.format;
  for await (const lines of splitLines(readChunks(input))) {
    for (const line of lines) {
      counts.lines++;
      counts.bytes += line.length + 1;
      if (line.length === 0) continue;
      format ??= detectFormat(line);
      const complaint = addLine(writer, line, format);
      if (complaint !== undefined) {
        const where = `line ${counts.lines} of ${input.name}: ${complaint}`;
        if (options.skipBad !== true) throw await stop(writer, where);
        if (counts.skipped++ < SHOWN_BAD_LINES) out.note(`skipped ${where}`);
      }
      if (writer.isFull) await writer.makeRoom();
    }
    progress.update(counts.bytes, writer.rowCount);
    signal.throwIfAborted();
  }
  await writer.finish();
}

async function* readChunks({ name, stream }: Input): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw new CommandError(ExitCode.Error, `cannot read ${name}: ${(error as Error).message}`, error);
  }
}

/** What is wrong with the line; undefined when it was added. */
function addLine(writer: BatchWriter, line: Buffer, format: RecordFormat): string | undefined {
  try {
    const { key, value } = parseRecord(line, format);
    writer.put(key, value);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedLine) return error.message;
    // The store refuses some keys and values: too long, or not Unicode.
    if (error instanceof StorageError && error.code === 'STRATA_INVALID_ARGUMENT') return error.message;
    throw error;
  }
}

async function stop(writer: BatchWriter, where: string): Promise<CommandError> {
  writer.discard();
  await writer.finish();
  const stored = `${formatCount(writer.rowCount)} rows before it are stored`;
  return new CommandError(ExitCode.Error, `${where}; ${stored}, nothing after them`);
}
