/**
 * import-level DIR: copies a LevelDB database into the store, key by key, through the package classic-level, where the project in
 * the working directory has it.
 *
 *   classic-level's iterator, one moment, in pages -> one ingestion (StorageEngine.ingest)
 *
 * Invariants: all or nothing. A store that holds a key is refused. The database is read, and not written; LevelDB itself takes
 *             its lock, and may tidy up its logs, whenever it is opened.
 * Not chosen: reading LevelDB's files ourselves: who comes from there has what reads them.
 */
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { isError } from '../../shared/base/errors.ts';
import { now } from '../../shared/base/timers.ts';
import type { CommandContext } from './context.ts';
import { CommandError, ExitCode } from './exit-codes.ts';
import { Progress } from './progress.ts';
import { formatByteRate, formatBytes, formatCount, formatDuration, formatRate } from './quantities.ts';

const PACKAGE = 'classic-level';
const PAGE_ENTRIES = 1000;
const PAGE_BYTES = 1048576;

/** What is used of classic-level. */
interface LevelSource {
  open(): Promise<void>;
  close(): Promise<void>;
  iterator(options: object): {
    nextv(size: number): Promise<[Buffer, Buffer][]>;
    close(): Promise<void>;
  };
}

type LevelClass = new (location: string, options: object) => LevelSource;

export async function importLevel(
  context: CommandContext,
  directory: string,
  options: { readonly progress: boolean },
): Promise<void> {
  const { session, out, signal } = context;
  const Level = loadLevel();
  const source = new Level(directory, {
    createIfMissing: false,
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  try {
    await source.open();
  } catch (error) {
    const reason = isError(error) && isError(error.cause) ? error.cause.message : String(error);
    throw new CommandError(
      ExitCode.Error,
      `cannot open the database in ${resolve(directory)}: ${reason}`,
      error,
    );
  }
  const progress = new Progress({
    label: 'importing',
    totalBytes: undefined,
    unit: 'rows',
    isShown: options.progress && out.isWatched,
  });
  const startedAt = now();
  const done = { bytes: 0, rows: 0 };
  try {
    const engine = await session.engine('create');
    if (engine.scan({ limit: 1, values: false }).nextMany(1).length > 0)
      throw new CommandError(
        ExitCode.Error,
        `the store in ${engine.path} is not empty: import into a new one`,
      );
    await engine.ingest(readEntries(source, done, progress), { signal });
  } finally {
    progress.stop();
    await source.close();
  }
  const elapsedMs = now() - startedAt;
  const rates = `${formatRate(done.rows, elapsedMs)} rows/s, ${formatByteRate(done.bytes, elapsedMs)}`;
  out.note(
    `imported ${formatCount(done.rows)} rows (${formatBytes(done.bytes)}) in ${formatDuration(elapsedMs)}: ${rates}`,
  );
}

async function* readEntries(
  source: LevelSource,
  done: { bytes: number; rows: number },
  progress: Progress,
): AsyncGenerator<[Buffer, Buffer], void, void> {
  const iterator = source.iterator({ highWaterMarkBytes: PAGE_BYTES, fillCache: false });
  try {
    for (;;) {
      const entries = await iterator.nextv(PAGE_ENTRIES);
      if (entries.length === 0) return;
      for (const entry of entries) done.bytes += entry[0].length + entry[1].length;
      done.rows += entries.length;
      progress.update(done.bytes, done.rows);
      yield* entries;
    }
  } finally {
    await iterator.close();
  }
}

/** From the project that the command is run in. */
function loadLevel(): LevelClass {
  const from = createRequire(join(process.cwd(), 'package.json'));
  try {
    return (from(PACKAGE) as { readonly ClassicLevel: LevelClass }).ClassicLevel;
  } catch (error) {
    const isAbsent = (error as { code?: unknown }).code === 'MODULE_NOT_FOUND';
    const reason = isAbsent
      ? 'is not installed here'
      : `cannot be loaded (${isError(error) ? error.message : error})`;
    throw new CommandError(
      ExitCode.Error,
      `import-level reads LevelDB through the package ${PACKAGE}, which ${reason}: run npm install ${PACKAGE} in ${process.cwd()}`,
      error,
    );
  }
}
