/**
 * `npm run bench -- cold`: our store and its peers where the data is not in memory and the disk is slow.
 *
 *   1. cold-options.ts   what to run               4. cold-child.ts    a row on a store, cold-rows.ts what it does
 *   2. limits.ts         control groups            5. cold-tables.ts   what came of it
 *   3. cold-runner.ts    fills, children
 *
 * Exit codes: 0 measured; 1 our own store failed; 2 usage.
 */

import { installPackages } from '../packages.ts';
import { toText } from '../report/tables.ts';
import { OURS } from '../stores/store.ts';
import { makeWorkDirectory } from '../temp-directories.ts';
import { COLD_USAGE, type ColdOptions, parseColdOptions } from './cold-options.ts';
import { ColdRunner } from './cold-runner.ts';
import { coldTable } from './cold-tables.ts';
import { type ColdOutcome, contestant } from './cold-task.ts';
import { diskOf } from './disk-of.ts';
import { type Limits, makeLimits } from './limits.ts';

const USAGE_ERROR = 2;

type Say = (line: string) => void;

export async function runCold(argv: readonly string[], say: Say, warn: Say): Promise<void> {
  const options = readOptions(argv, warn);
  if (options === undefined) return;
  if (options.mode === 'help') return say(COLD_USAGE);
  const problem = installPackages(warn);
  if (problem !== undefined) warn(problem);
  const scratch = makeWorkDirectory(options.directory);
  const limits = limit(options, warn);
  const home = options.isKept ? options.directory : scratch;
  const outcomes = await new ColdRunner(options, { home, scratch }, limits, {
    onFill: (store) => say(`filling ${store}`),
    onOutcome: (outcome) => say(describe(outcome)),
    onWarm: (reason) =>
      warn(`the page cache can't be dropped, so what is measured may be in memory: ${reason}`),
  }).run();
  for (const row of options.rows) {
    say(`\n${row.name}: ${row.operation}`);
    say(toText(coldTable(outcomes.filter((each) => each.row === row.name))));
  }
  if (outcomes.some(({ store, error }) => store === OURS && error !== undefined)) process.exitCode = 1;
}

function readOptions(argv: readonly string[], warn: Say): ColdOptions | undefined {
  try {
    return parseColdOptions(argv);
  } catch (error) {
    warn(`${error instanceof Error ? error.message : String(error)}\n\n${COLD_USAGE}`);
    process.exitCode = USAGE_ERROR;
    return undefined;
  }
}

/** undefined where there can be none, which is said. */
function limit(options: ColdOptions, warn: Say): Limits | undefined {
  if (!options.isLimited) return undefined;
  try {
    const limits = makeLimits({
      disk: diskOf(options.directory),
      readsPerSecond: options.readsPerSecond,
      memoryBytes: options.memoryBytes,
    });
    process.on('exit', () => limits.remove());
    return limits;
  } catch (error) {
    warn(
      `no limits here, the disk is as fast as it is: ${error instanceof Error ? error.message : String(error)}`,
    );
    return undefined;
  }
}

function describe({ row, store, mode, measurement, error }: ColdOutcome): string {
  const what = `${row.padEnd(12)} ${contestant(store, mode).padEnd(20)}`;
  if (measurement === undefined) return `${what} failed: ${error}`;
  const { opsPerSecond, loop } = measurement;
  const delay = loop.turns === 0 ? 'never turned' : `p99 ${loop.p99.toFixed(1)} ms`;
  return `${what} ${String(Math.round(opsPerSecond)).padStart(8)} ops/s   loop ${delay}`;
}
