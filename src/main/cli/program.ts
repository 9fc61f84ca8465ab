/**
 * The grammar of the command line, for the shell and for the prompt: the same commands with the same options.
 *
 * A program is built for one command and thrown away, as it closes over that command's context; that takes a fraction
 * of a millisecond and leaves no parser state behind for the next line of a prompt.
 */
import { Command, CommanderError } from 'commander';
import { addBackupCommands } from './backup-commands.ts';
import type { CommandContext } from './context.ts';
import { CommandError, ExitCode, usageError } from './exit-codes.ts';
import { addImportCommand } from './import-command.ts';
import { addInspectCommands } from './inspect-commands.ts';
import { addLoadCommand } from './load-command.ts';
import { addMaintenanceCommands } from './maintenance-commands.ts';
import { addRecordCommands } from './record-commands.ts';
import { addRepairCommand } from './repair-command.ts';
import { addScanCommands } from './scan-commands.ts';

/** Every command, without what belongs to the shell or the prompt alone. */
export function buildProgram(context: CommandContext): Command {
  const program = new Command('stratakv')
    .description('an ordered key-value store in a directory')
    .helpOption('-h, --help', 'show help, for a command too')
    .helpCommand('help [command]', 'show help')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.out.line(text.trimEnd()),
      // Errors are reported in one place, by whoever called `run`.
      writeErr: () => undefined,
      outputError: () => undefined,
    });
  addRecordCommands(program, context);
  addScanCommands(program, context);
  addLoadCommand(program, context);
  addImportCommand(program, context);
  addMaintenanceCommands(program, context);
  addRepairCommand(program, context);
  addBackupCommands(program, context);
  addInspectCommands(program, context);
  return program;
}

/** Runs one command. Rejects with a CommandError for bad usage; asking for help isn't bad usage. */
export async function run(program: Command, words: readonly string[]): Promise<void> {
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw toUsageError(error);
  }
}

export function unknownCommand(name: string): CommandError {
  return usageError(`unknown command '${name}'; see stratakv help`);
}

function toUsageError(error: CommanderError): CommandError {
  const message = error.message.replace(/^error: /, '');
  const isDash = error.code === 'commander.unknownOption';
  const hint = isDash ? '; put -- before an argument that begins with a dash' : '';
  return new CommandError(ExitCode.Usage, message + hint, error);
}
