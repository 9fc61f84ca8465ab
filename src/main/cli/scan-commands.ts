/**
 * scan and dump: many records, in key order, printed as they are read.
 *
 *   scan [START] [END]    `key => value` lines, START inclusive, END exclusive
 *   dump                  everything, as JSON lines that `load` reads back
 *
 * Both see one moment of the store and hold one block at a time, however much they print.
 */
import { type Command, Option } from 'commander';
import type { ScanOptions } from '../index.ts';
import {
  type CommandContext,
  type NotationOptions,
  notationOf,
  notationOptions,
  parseCount,
} from './context.ts';
import { type Notation, showInLine, showJsonField, showStart } from './notation.ts';
import { rangeOf } from './range.ts';
import type { StoreUse } from './session.ts';

interface ScanCommandOptions extends NotationOptions {
  readonly prefix?: string;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly keys?: boolean;
  readonly json?: boolean;
  readonly full?: boolean;
}

export function addScanCommands(program: Command, context: CommandContext): void {
  const [scanHex, scanBase64] = notationOptions();
  program
    .command('scan')
    .description('print the records from START (inclusive) to END (exclusive) in key order')
    .argument('[start]')
    .argument('[end]')
    .option('--prefix <prefix>', 'only keys that begin with this')
    .addOption(new Option('--limit <count>', 'at most this many records').argParser(parseCount))
    .option('--reverse', 'from the last record to the first')
    .option('--keys', 'keys only')
    .option('--json', 'a JSON object a line')
    .option('--full', 'on a terminal, too, long keys and values as a whole')
    .addOption(scanHex)
    .addOption(scanBase64)
    .action((start: string | undefined, end: string | undefined, options: ScanCommandOptions) =>
      scan(context, start, end, options),
    );

  const [dumpHex, dumpBase64] = notationOptions();
  program
    .command('dump')
    .description('print every record as JSON lines, for load')
    .addOption(dumpHex)
    .addOption(dumpBase64)
    .action(async (options: NotationOptions) => {
      const engine = await context.session.engine('read');
      await print(context, engine, {}, recordPrinter({ ...options, json: true }));
    });
}

async function scan(
  context: CommandContext,
  start: string | undefined,
  end: string | undefined,
  options: ScanCommandOptions,
): Promise<void> {
  const notation = notationOf(options);
  const range: ScanOptions = {
    ...rangeOf(start, end, options.prefix, notation),
    limit: options.limit,
    reverse: options.reverse === true,
    values: options.keys !== true,
  };
  const store = await context.session.use('read');
  const isShort = context.out.isTerminal && options.json !== true && options.full !== true;
  if (!isShort) {
    await print(context, store, range, recordPrinter(options));
    return;
  }
  let hasCut = false;
  const show = shortPrinter(notation, SHOWN_LINES * context.out.columns, () => {
    hasCut = true;
  });
  await print(context, store, range, show);
  await context.out.flush();
  if (hasCut) context.out.remark('what is long was cut: --full shows it, and a pipe or a file gets it');
}

/** On a terminal, a key or a value takes no more lines than this. */
const SHOWN_LINES = 2;

type RecordPrinter = (key: Buffer, value: Buffer | undefined) => string;

function recordPrinter(options: ScanCommandOptions): RecordPrinter {
  const notation = notationOf(options);
  if (options.json === true) {
    return (key, value) => {
      const keyField = showJsonField('key', key, notation);
      return value === undefined
        ? `{${keyField}}`
        : `{${keyField},${showJsonField('value', value, notation)}}`;
    };
  }
  return (key, value) => {
    const shownKey = showInLine(key, notation);
    return value === undefined ? shownKey : `${shownKey} => ${showInLine(value, notation)}`;
  };
}

/** For a terminal: of keys and values the first `length` characters. */
function shortPrinter(notation: Notation, length: number, onCut: () => void): RecordPrinter {
  const show = (bytes: Buffer): string => {
    const start = showStart(bytes, notation, length);
    if (start.length > length) onCut();
    return start;
  };
  return (key, value) => (value === undefined ? show(key) : `${show(key)} => ${show(value)}`);
}

async function print(
  { out, signal }: CommandContext,
  store: Pick<StoreUse, 'scan'>,
  range: ScanOptions,
  show: RecordPrinter,
): Promise<void> {
  const areValuesRead = range.values !== false;
  for await (const [key, value] of store.scan({ ...range, signal })) {
    const wait = out.line(show(key, areValuesRead ? value : undefined));
    if (wait !== undefined) await wait;
    if (out.isClosed) break;
  }
}
