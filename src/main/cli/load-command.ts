/**
 * load FILE|-: what it takes. load-records.ts does it, and is loaded for it alone.
 */
import { type Command, Option } from 'commander';
import { type CommandContext, noProgressOption } from './context.ts';
import type { LoadOptions } from './load-records.ts';

export function addLoadCommand(program: Command, context: CommandContext): void {
  program
    .command('load')
    .description(
      'store the records of a file (- for standard input), all or none: JSON lines or tab-separated',
    )
    .argument('<file>')
    .addOption(
      new Option('--format <format>', 'what the lines are (default: by the first one)').choices([
        'json',
        'tsv',
      ]),
    )
    .option('--skip-bad', 'go on after malformed lines')
    .addOption(noProgressOption())
    .action(async (path: string, options: LoadOptions) => {
      const { load } = await import('./load-records.ts');
      await load(context, path, options);
    });
}
