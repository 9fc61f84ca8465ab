/**
 * put, get, delete: one record at a time. delete-range: all of a range, in one write.
 */
import type { Command } from 'commander';
import {
  type CommandContext,
  type NotationOptions,
  notationOf,
  notationOptions,
  parseMilliseconds,
} from './context.ts';
import { getRecord } from './get-record.ts';
import { parseBytes } from './notation.ts';
import { rangeToDelete } from './range.ts';

interface WriteCommandOptions extends NotationOptions {
  readonly sync?: boolean;
}

interface DeleteRangeOptions extends WriteCommandOptions {
  readonly prefix?: string;
  readonly all?: boolean;
}

interface PutCommandOptions extends WriteCommandOptions {
  readonly ttl?: number;
}

interface GetOptions extends NotationOptions {
  readonly raw?: boolean;
}

const SYNC_HELP = 'return only when the write would survive power loss';

export function addRecordCommands(program: Command, context: CommandContext): void {
  const [putHex, putBase64] = notationOptions();
  program
    .command('put')
    .description('store a value under a key')
    .argument('<key>')
    .argument('<value>')
    .option('--sync', SYNC_HELP)
    .option('--ttl <ms>', 'the value is gone after so many milliseconds', parseMilliseconds)
    .addOption(putHex)
    .addOption(putBase64)
    .action((key: string, value: string, options: PutCommandOptions) => put(context, key, value, options));

  const [getHex, getBase64] = notationOptions();
  program
    .command('get')
    .description('print the value of a key; exit code 3 when there is none')
    .argument('<key>')
    .option('--raw', 'the bytes of the value and nothing else')
    .addOption(getHex)
    .addOption(getBase64)
    .action((key: string, options: GetOptions) =>
      getRecord(context.session, context.out, key, {
        notation: notationOf(options),
        isRaw: options.raw === true,
      }),
    );

  const [deleteHex, deleteBase64] = notationOptions();
  program
    .command('delete')
    .description('delete a key, if it is there')
    .argument('<key>')
    .option('--sync', SYNC_HELP)
    .addOption(deleteHex)
    .addOption(deleteBase64)
    .action((key: string, options: WriteCommandOptions) => remove(context, key, options));
  addDeleteRange(program, context);
}

function addDeleteRange(program: Command, context: CommandContext): void {
  const [hex, base64] = notationOptions();
  program
    .command('delete-range')
    .description('delete the records from START (inclusive) to END (exclusive), however many, at once')
    .argument('[start]')
    .argument('[end]')
    .option('--prefix <prefix>', 'keys that begin with this')
    .option('--all', 'every record of the store')
    .option('--sync', SYNC_HELP)
    .addOption(hex)
    .addOption(base64)
    .action((start: string | undefined, end: string | undefined, options: DeleteRangeOptions) =>
      removeRange(context, start, end, options),
    );
}

async function put(
  { session, out }: CommandContext,
  key: string,
  value: string,
  options: PutCommandOptions,
): Promise<void> {
  const notation = notationOf(options);
  const record = { key: parseBytes(key, notation), value: parseBytes(value, notation) };
  const expiry = options.ttl === undefined ? {} : { ttl: options.ttl };
  const engine = await session.engine('create');
  await engine.put(record.key, record.value, { sync: options.sync === true, ...expiry });
  out.remark('ok');
}

async function remove(
  { session, out }: CommandContext,
  key: string,
  options: WriteCommandOptions,
): Promise<void> {
  const keyBytes = parseBytes(key, notationOf(options));
  const engine = await session.engine('change');
  await engine.delete(keyBytes, { sync: options.sync === true });
  out.remark('ok');
}

async function removeRange(
  { session, out }: CommandContext,
  start: string | undefined,
  end: string | undefined,
  options: DeleteRangeOptions,
): Promise<void> {
  const range = rangeToDelete(start, end, options, notationOf(options));
  const engine = await session.engine('change');
  await engine.deleteRange(range, { sync: options.sync === true });
  out.remark('ok');
}
