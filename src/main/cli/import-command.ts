/**
 * import-level DIR: what it takes. import-level.ts does it, and is loaded for it alone.
 */
import type { Command } from 'commander';
import { type CommandContext, noProgressOption } from './context.ts';

export function addImportCommand(program: Command, context: CommandContext): void {
  program
    .command('import-level')
    .description(
      'copy a LevelDB database into this store, which must be empty; needs the package classic-level',
    )
    .argument('<dir>')
    .addOption(noProgressOption())
    .action(async (directory: string, options: { readonly progress: boolean }) => {
      const { importLevel } = await import('./import-level.ts');
      await importLevel(context, directory, options);
    });
}
