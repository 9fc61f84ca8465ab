/**
 * backup, backups, verify-backup, restore, purge-backups: copies of the store in another place, and stores made of them.
 *
 *   TARGET     a directory, or s3://bucket/prefix (named-target.ts)
 *   --json     the report as one JSON value
 *
 * Exit code 3 for a backup that the target does not have. The code for it is loaded by the first of these commands.
 */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { StorageError } from '../../shared/base/errors.ts';
import type { BackupTarget, TransferProgress } from '../backup.ts';
import type { Door } from '../door/visit.ts';
import type { StorageEngine } from '../index.ts';
import { type CommandContext, noProgressOption, parseCount } from './context.ts';
import { CommandError, ExitCode, usageError } from './exit-codes.ts';
import type { Progress } from './progress.ts';
import { formatBytes, formatCount, formatDuration, timeOf } from './quantities.ts';
import type { StoreUse } from './session.ts';

interface ReportOptions {
  readonly json?: boolean;
  readonly progress: boolean;
}

interface RestoreCommandOptions extends ReportOptions {
  readonly id?: string;
  readonly time?: number;
  readonly position?: string;
}

interface PurgeCommandOptions extends ReportOptions {
  readonly keep: number;
}

const TARGET = 'a directory, or s3://bucket/prefix';

export function addBackupCommands(program: Command, context: CommandContext): void {
  program
    .command('backup')
    .description('back the store up: tables that the target has are not copied again')
    .argument('<target>', TARGET)
    .option('--json', 'the report as one JSON object')
    .addOption(noProgressOption())
    .action((target: string, options: ReportOptions) => backUp(context, target, options));

  program
    .command('backups')
    .description('list backups, oldest first')
    .argument('<target>', TARGET)
    .option('--json', 'as one JSON array')
    .action((target: string, options: ReportOptions) => list(context, target, options));

  program
    .command('verify-backup')
    .description('read and check all that a backup consists of, or all backups do; exit code 4 for damage')
    .argument('<target>', TARGET)
    .argument('[id]')
    .option('--json', 'the report as one JSON object')
    .addOption(noProgressOption())
    .action((target: string, id: string | undefined, options: ReportOptions) =>
      verify(context, target, id, options),
    );

  program
    .command('restore')
    .description(
      'make a store in a directory that is empty: of the newest backup and the archive behind it, by default',
    )
    .argument('<target>', TARGET)
    .argument('<directory>')
    .addOption(new Option('--id <id>', 'that backup').conflicts(['time', 'position']))
    .addOption(
      new Option('--time <time>', 'what had been written at that time, such as 2026-11-27T13:00:00Z')
        .argParser(parseTime)
        .conflicts('position'),
    )
    .option('--position <position>', 'what had been written up to there')
    .option('--json', 'the report as one JSON object')
    .addOption(noProgressOption())
    .action((target: string, directory: string, options: RestoreCommandOptions) =>
      restoreTo(context, target, directory, options),
    );

  program
    .command('purge-backups')
    .description('delete all backups but the newest ones, and what no backup needs')
    .argument('<target>', TARGET)
    .requiredOption('--keep <count>', 'how many stay', parseKeep)
    .option('--json', 'the report as one JSON object')
    .action((target: string, options: PurgeCommandOptions) => purge(context, target, options));
}

const code = (): Promise<typeof import('../backup.ts')> => import('../backup.ts');

/** What TARGET means. */
async function targetOf(name: string): Promise<BackupTarget> {
  checkName(name);
  const { namedTarget } = await import('../../backup/s3/named-target.ts');
  return await namedTarget(name);
}

function checkName(name: string): void {
  const isUrl = /^[a-z][a-z0-9+.-]+:\/\//i.test(name);
  if (name === '' || (isUrl && !/^s3:\/\/[^/]/.test(name)))
    throw usageError(`'${name}' is no target: ${TARGET}`);
}

async function backUp(context: CommandContext, name: string, options: ReportOptions): Promise<void> {
  const { out, session, signal } = context;
  checkName(name);
  const store = await session.use('read');
  const bar = new Bar(context, 'backing up', options);
  const onProgress = (step: TransferProgress): void => bar.show(step);
  try {
    const info = isDoor(store)
      ? await store.backup(name.startsWith('s3://') ? name : resolve(name), { signal, onProgress })
      : await (await code()).backup(store as StorageEngine, await targetOf(name), { signal, onProgress });
    await bar.stop();
    if (options.json === true) await out.line(JSON.stringify(info));
    else
      await out.line(
        `${info.id}  ${formatCount(info.files)} files, ${formatBytes(info.bytes)}, ${formatBytes(info.uploadedBytes)} of them new`,
      );
  } finally {
    await bar.stop();
  }
}

/** Where a service has the store open, that makes the backup, with its own credentials. */
function isDoor(store: StoreUse): store is Door {
  return 'ask' in store;
}

async function list({ out, signal }: CommandContext, name: string, options: ReportOptions): Promise<void> {
  const target = await targetOf(name);
  const { listBackups } = await code();
  const infos = await listBackups(target, { signal });
  if (options.json === true) {
    await out.line(JSON.stringify(infos));
    return;
  }
  for (const { id, time, files, bytes, uploadedBytes, branch } of infos)
    await out.line(
      `${id}  ${timeOf(time)}  ${formatCount(files)} files  ${formatBytes(bytes)}  ${formatBytes(uploadedBytes)} new  ${branch}`,
    );
}

async function verify(
  context: CommandContext,
  name: string,
  id: string | undefined,
  options: ReportOptions,
): Promise<void> {
  const { out, signal } = context;
  const target = await targetOf(name);
  const { verifyBackup } = await code();
  const bar = new Bar(context, 'verifying', options);
  try {
    const report = await known(
      id,
      verifyBackup(target, { id, signal, onProgress: (step) => bar.show(step) }),
    );
    await bar.stop();
    if (options.json === true) await out.line(JSON.stringify(report));
    else
      await out.line(
        `ok: ${formatCount(report.backups)} backups, ${formatCount(report.objects)} objects, ` +
          `${formatBytes(report.bytes)} read in ${formatDuration(report.elapsedMs)}${gapsIn(report.archive)}`,
      );
  } finally {
    await bar.stop();
  }
}

function gapsIn(archive: { readonly gaps: number } | undefined): string {
  return archive === undefined || archive.gaps === 0
    ? ''
    : `; the archive has ${formatCount(archive.gaps)} gaps, where not every moment can be restored`;
}

async function restoreTo(
  context: CommandContext,
  name: string,
  directory: string,
  options: RestoreCommandOptions,
): Promise<void> {
  const { out, signal } = context;
  const target = await targetOf(name);
  const { restore } = await code();
  const { id, time, position } = options;
  const bar = new Bar(context, 'restoring', options);
  try {
    const point = { id, time, position, signal, onProgress: (step: TransferProgress) => bar.show(step) };
    const report = await known(id, restore(target, directory, point));
    await bar.stop();
    if (options.json === true) await out.line(JSON.stringify(report));
    else
      await out.line(
        `restored ${report.id} of ${timeOf(report.time)} into ${directory}: ${formatCount(report.files)} files, ` +
          `${formatBytes(report.bytes)} in ${formatDuration(report.elapsedMs)}`,
      );
  } finally {
    await bar.stop();
  }
}

async function purge(
  { out, signal }: CommandContext,
  name: string,
  options: PurgeCommandOptions,
): Promise<void> {
  const target = await targetOf(name);
  const { purgeBackups } = await code();
  const report = await purgeBackups(target, { keep: options.keep, signal });
  if (options.json === true) await out.line(JSON.stringify(report));
  else
    await out.line(
      `deleted ${formatCount(report.removed.length)} backups and ${formatCount(report.objects)} objects, ` +
        `${formatBytes(report.bytes)}; ${formatCount(report.kept.length)} backups stay`,
    );
}

/** A backup that was named and is not there is exit code 3, not bad usage. */
async function known<T>(id: string | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const isUnknown = error instanceof StorageError && error.code === 'STRATA_INVALID_ARGUMENT';
    if (id === undefined || !isUnknown) throw error;
    throw new CommandError(ExitCode.NotFound, error.message, error);
  }
}

/** A progress bar that appears when it is known how much there is to do. */
class Bar {
  readonly #label: string;
  readonly #isShown: boolean;
  #progress: Promise<Progress> | undefined;

  constructor({ out }: CommandContext, label: string, options: ReportOptions) {
    this.#label = label;
    this.#isShown = options.progress && out.isWatched;
  }

  show({ bytes, totalBytes, files }: TransferProgress): void {
    if (!this.#isShown) return;
    this.#progress ??= import('./progress.ts').then(
      ({ Progress }) => new Progress({ label: this.#label, totalBytes, unit: 'files', isShown: true }),
    );
    void this.#progress.then((progress) => progress.update(bytes, files));
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    (await this.#progress)?.stop();
  }
}

function parseTime(text: string): number {
  const time = Date.parse(text);
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(time))
    throw new InvalidArgumentError('It must be a time such as 2026-11-27T13:00:00Z.');
  return time;
}

function parseKeep(text: string): number {
  const count = parseCount(text);
  if (count === 0) throw new InvalidArgumentError('At least one backup stays.');
  return count;
}
