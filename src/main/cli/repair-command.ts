/**
 * repair: makes a damaged store open again, and says file by file what was kept and what was lost.
 *
 *   000012.sst  salvaged  118 entries, 12 lost, 2 of them deletions; kept as 000012.sst.set-aside
 *     at 4096, 512 bytes: a block is damaged
 *
 * Exit code 0 when the store is in order afterwards; with --dry-run 4 when there is something to repair.
 */
import type { Command } from 'commander';
import type { RepairedFile, RepairReport } from '../index.ts';
import type { CommandContext } from './context.ts';
import { CommandError, ExitCode } from './exit-codes.ts';
import { formatCount, formatDuration } from './quantities.ts';

interface RepairCommandOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function addRepairCommand(program: Command, context: CommandContext): void {
  program
    .command('repair')
    .description('make a damaged store open again with all that verifies, and say what was lost')
    .option('--dry-run', 'only say what would be done; exit code 4 when there is something to do')
    .option('--json', 'the report as one JSON object')
    .action((options: RepairCommandOptions) => repair(context, options));
}

async function repair({ session, out }: CommandContext, options: RepairCommandOptions): Promise<void> {
  const isDryRun = options.dryRun === true;
  const report = await session.repair({ dryRun: isDryRun });
  if (options.json === true) await out.line(JSON.stringify(report));
  else for (const line of linesOf(report)) await out.line(line);
  if (isDryRun && !report.isSound) throw new CommandError(ExitCode.Corruption, 'the store needs repair');
}

function linesOf(report: RepairReport): string[] {
  const verb = report.dryRun ? 'needs repair' : 'repaired';
  return [
    ...report.files.flatMap(linesOfFile),
    ...report.warnings.map((warning) => `warning: ${warning}`),
    `${report.isSound ? 'ok: nothing to repair' : verb}; manifest ${report.manifest}, in ${formatDuration(report.elapsedMs)}`,
  ];
}

function linesOfFile(file: RepairedFile): string[] {
  const { name, kind, outcome, entries, lostEntries, lostTombstones, setAside } = file;
  const isDamaged = file.damage.length > 0;
  const lost =
    lostEntries === undefined
      ? ', some lost'
      : `, ${formatCount(lostEntries)} lost, ${lostTombstones === undefined ? 'some' : formatCount(lostTombstones)} of them deletions`;
  const counts = kind === 'manifest' ? '' : `  ${formatCount(entries)} entries${isDamaged ? lost : ''}`;
  const aside = setAside === undefined ? '' : `; kept as ${setAside}`;
  return [
    `${name}  ${outcome}${counts}${aside}`,
    ...file.damage.map(({ offset, bytes, reason }) => `  at ${offset}, ${bytes} bytes: ${reason}`),
  ];
}
