/**
 * dump-table, dump-log, dump-manifest, levels: what the files of a store hold, for whoever looks for a fault.
 *
 * They take no lock and change nothing, so they show a store that is closed, damaged, or open elsewhere. Each is loaded when it
 * is first asked for.
 */
import { type Command, Option } from 'commander';
import { type CommandContext, notationOptions, parseCount } from './context.ts';
import type { ListingOptions } from './listing.ts';
import type { DumpLogOptions } from './log-listing.ts';
import type { DumpTableOptions } from './table-listing.ts';

const KEYS_HELP = 'show keys; without it only their lengths';
const LOG_KEYS_HELP = `${KEYS_HELP}; implies --entries`;
const VALUES_HELP = 'show values of entries; implies --entries';
const NOTHING_CHANGES = `
Reads only: no lock is taken, and no file is made or changed. Damage is shown where it is met, with
file and offset; what can be read behind it is shown too. The exit code is then 4 (1 for what this
release or this installation can not read, and for a path that is something else).`;
const WHILE_OPEN = `
A store that is open elsewhere may be looked at.`;
const JSON_LINES = 'JSON lines: one object for each fact, with its "type"';

export function addInspectCommands(program: Command, context: CommandContext): void {
  addDump(program, 'dump-table', 'print what is in the file of a table: footer, properties, blocks, entries')
    .addHelpText(
      'after',
      `${NOTHING_CHANGES}\n${WHILE_OPEN} Tables never change; one that
is still being written (.sst.new) has no footer yet, and is shown as damaged.`,
    )
    .option('--summary', 'no blocks and no entries')
    .action(async (file: string, options: DumpTableOptions) => {
      const { dumpTable } = await import('./table-listing.ts');
      await dumpTable(context, file, options);
    });
  addDump(
    program,
    'dump-log',
    'print what is in a write-ahead log: records, and the writes in them',
    LOG_KEYS_HELP,
  )
    .addHelpText(
      'after',
      `${NOTHING_CHANGES}\n${WHILE_OPEN} Its newest log is shown as far
as it is written now: a record that is being written looks like a torn tail. A torn tail is no damage.`,
    )
    .option('--summary', 'no records and no entries')
    .action(async (file: string, options: DumpLogOptions) => {
      const { dumpLog } = await import('./log-listing.ts');
      await dumpLog(context, file, options);
    });
  addPicture(
    program,
    'dump-manifest',
    'print what the manifest says: its root, its pages, the tables by level',
  )
    .argument('[path]', 'directory of a store, manifest.json, or a page (000016.tables); default: --db')
    .action(async (path: string | undefined, options: ListingOptions) => {
      const { dumpManifest } = await import('./manifest-listing.ts');
      await dumpManifest(context, path ?? context.session.directory, options);
    });
  addPicture(program, 'levels', 'draw the levels: files, sizes, scores, and which keys each table has')
    .addHelpText(
      'after',
      `\nA score of 1 or more means that a compaction is due, in a store with the default options.`,
    )
    .argument('[directory]', 'directory of a store; default: --db')
    .action(async (directory: string | undefined, options: ListingOptions) => {
      const { showLevels } = await import('./level-picture.ts');
      await showLevels(context, directory ?? context.session.directory, options);
    });
}

/** A command that prints a file fact by fact. */
function addDump(program: Command, name: string, description: string, keysHelp = KEYS_HELP): Command {
  const [hex, base64] = notationOptions();
  return program
    .command(name)
    .description(description)
    .argument('<file>')
    .option('--entries', 'the entries as well: sequence, kind, lengths')
    .option('--keys', keysHelp)
    .option('--values', VALUES_HELP)
    .addOption(
      new Option('--limit <count>', 'list at most this many; all the same everything is read').argParser(
        parseCount,
      ),
    )
    .option('--json', JSON_LINES)
    .addOption(hex)
    .addOption(base64);
}

/** A command that shows the manifest. */
function addPicture(program: Command, name: string, description: string): Command {
  const [hex, base64] = notationOptions();
  return program
    .command(name)
    .description(description)
    .option('--keys', KEYS_HELP)
    .option('--json', 'one JSON document')
    .addOption(hex)
    .addOption(base64)
    .addHelpText(
      'after',
      `${NOTHING_CHANGES}\n${WHILE_OPEN} It is shown as its manifest
has it: what is in memory and in logs is not part of that.`,
    );
}
