/**
 * flush, compact, stats, checkpoint, verify, destroy: what is done to a store as a whole.
 */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { now } from '../../shared/base/timers.ts';
import type { VerifyReport } from '../verify-store.ts';
import { type CommandContext, noProgressOption } from './context.ts';
import { usageError } from './exit-codes.ts';
import { formatBytes, formatCount, formatDuration } from './quantities.ts';

const CHECKPOINT_HELP = `
Files are hard links where that is possible, else copies. Where a service has the store open, it
makes the copy, while it goes on.`;

interface StatsOptions {
  readonly json?: boolean;
}

interface VerifyCommandOptions {
  readonly progress: boolean;
}

interface DestroyOptions {
  readonly yes?: boolean;
}

export function addMaintenanceCommands(program: Command, context: CommandContext): void {
  program
    .command('flush')
    .description('write what is in memory to a table')
    .action(() => timed(context, 'flushed', async () => (await context.session.use('change')).flush()));

  program
    .command('compact')
    .description('merge everything down to the bottom level; deleted and overwritten records go')
    .action(() => timed(context, 'compacted', async () => (await context.session.use('change')).compact()));

  program
    .command('stats')
    .description('print what the store holds and has done')
    .option('--json', 'as one JSON object')
    .action((options: StatsOptions) => stats(context, options));

  program
    .command('checkpoint')
    .description('make an openable copy of the store, of one moment, in a directory that does not exist yet')
    .argument('<directory>')
    .option('--json', 'what was made, as one JSON object')
    .addHelpText('after', CHECKPOINT_HELP)
    .action((directory: string, options: StatsOptions) => checkpoint(context, directory, options));

  program
    .command('verify')
    .description('read and check every block of every file; exit code 4 when something is damaged')
    .addOption(noProgressOption())
    .action((options: VerifyCommandOptions) => verify(context, options));

  program
    .command('destroy')
    .description("delete the store's own files")
    .option('--yes', 'do not ask')
    .action((options: DestroyOptions) => destroy(context, options));
}

async function timed({ out }: CommandContext, done: string, work: () => Promise<void>): Promise<void> {
  const startedAt = now();
  await work();
  out.remark(`${done} in ${formatDuration(now() - startedAt)}`);
}

async function stats({ session, out }: CommandContext, options: StatsOptions): Promise<void> {
  const store = await session.use('read');
  const figures = await store.stats();
  if (options.json === true) {
    await out.line(JSON.stringify(figures));
    return;
  }
  const { formatStats } = await import('./stats-table.ts');
  await out.line(formatStats(figures));
}

async function checkpoint(
  { session, out }: CommandContext,
  directory: string,
  options: StatsOptions,
): Promise<void> {
  const path = resolve(directory);
  const store = await session.use('read');
  const report = await store.checkpoint(path);
  const { position, files, bytes, linked } = report;
  if (options.json === true) await out.line(JSON.stringify({ directory: path, ...report }));
  else
    await out.line(
      `${path}: ${formatCount(files)} files, ${formatBytes(bytes)}, ${formatCount(linked)} of them links; position ${position}`,
    );
}

async function verify({ session, out }: CommandContext, options: VerifyCommandOptions): Promise<void> {
  const engine = await session.engine('read');
  const { Progress } = await import('./progress.ts');
  const isShown = options.progress && out.isWatched;
  const progress = new Progress({ label: 'verifying', totalBytes: engine.stats().tableBytes, isShown });
  try {
    const report = await engine.verify({ onProgress: ({ doneBytes }) => progress.update(doneBytes) });
    progress.stop();
    await out.line(
      `ok: ${formatCount(report.tables)} tables, ${formatCount(report.blocks)} blocks, ` +
        `${formatCount(report.entries)} entries, ${rangesOf(report)}${report.logs} logs, ${formatBytes(report.bytes)} read ` +
        `in ${formatDuration(report.elapsedMs)}`,
    );
  } finally {
    progress.stop();
  }
}

function rangesOf({ rangeDeletes }: VerifyReport): string {
  return rangeDeletes === 0 ? '' : `${formatCount(rangeDeletes)} deleted ranges, `;
}

async function destroy({ session, out, ask }: CommandContext, options: DestroyOptions): Promise<void> {
  if (options.yes !== true) {
    if (ask === undefined) throw usageError('destroy deletes the store: say --yes');
    const answer = await ask(`delete the store in ${session.directory}? [y/N] `);
    if (!/^y(?:es)?$/i.test(answer.trim())) {
      out.note('nothing was deleted');
      return;
    }
  }
  await session.destroy();
  out.remark(`destroyed ${session.directory}`);
}
