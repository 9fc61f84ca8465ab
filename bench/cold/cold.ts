/**
 * `npm run bench -- cold`: our store and its peers where the data is not in memory and the disk is slow.
 *
 *   1. cold-options.ts   what to run               4. cold-child.ts    a row on a store, cold-rows.ts what it does
 *   2. limits.ts         control groups            5. cold-result.ts   tables, JSON, pictures, docs
 *   3. cold-runner.ts    fills, children
 *
 * Exit codes: 0 measured; 1 our own store failed; 2 usage.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { absence, installPackages } from '../packages.ts';
import { makeStamp } from '../report/stamp.ts';
import { toText } from '../report/tables.ts';
import { OURS, PACKAGES } from '../stores/store.ts';
import { makeWorkDirectory } from '../temp-directories.ts';
import { describeConditions } from './cold-docs.ts';
import { COLD_USAGE, type ColdOptions, parseColdOptions } from './cold-options.ts';
import {
  type ColdResult,
  type Conditions,
  readColdResult,
  writeColdDocs,
  writeColdPictures,
  writeColdResult,
} from './cold-result.ts';
import { ColdRunner } from './cold-runner.ts';
import { coldTable } from './cold-tables.ts';
import { type ColdOutcome, contestant } from './cold-task.ts';
import { diskOf, SYSFS } from './disk-of.ts';
import { type Limits, makeLimits } from './limits.ts';

const USAGE_ERROR = 2;
const BUFFER_BYTES: number = 64 * 1024 ** 2;

type Say = (line: string) => void;

export async function runCold(argv: readonly string[], say: Say, warn: Say): Promise<void> {
  const options = readOptions(argv, warn);
  if (options === undefined) return;
  if (options.mode === 'help') return say(COLD_USAGE);
  if (needsPackages(options)) {
    const problem = installPackages(warn);
    if (problem !== undefined) warn(problem);
  }
  const begin = performance.now();
  const result =
    options.from === undefined ? await measure(options, say, warn) : readColdResult(options.from);
  report(result, options, say);
  if (options.from === undefined) {
    say(`\n${writeColdResult(result)}, after ${Math.round((performance.now() - begin) / 1000)} s`);
    savePictures(result, warn);
  }
  if (options.isWriteDocs) writeColdDocs(result);
  if (result.outcomes.some(({ store, error }) => store === OURS && error !== undefined)) process.exitCode = 1;
}

function readOptions(argv: readonly string[], warn: Say): ColdOptions | undefined {
  try {
    return parseColdOptions(argv);
  } catch (error) {
    warn(`${messageOf(error)}\n\n${COLD_USAGE}`);
    process.exitCode = USAGE_ERROR;
    return undefined;
  }
}

function needsPackages({ contestants, isWriteDocs }: ColdOptions): boolean {
  return isWriteDocs || contestants.some(({ store }) => PACKAGES[store] !== undefined);
}

async function measure(options: ColdOptions, say: Say, warn: Say): Promise<ColdResult> {
  const scratch = makeWorkDirectory(options.directory);
  const present = options.contestants.filter(({ store }) => {
    const reason = absence(PACKAGES[store]);
    if (reason !== undefined) warn(`${store} is absent and left out: ${reason}`);
    return reason === undefined;
  });
  const notes: string[] = [];
  const limits = limit(options, (reason) => {
    notes.push(reason);
    warn(reason);
  });
  const home = options.isKept ? options.directory : scratch;
  const stores = [...new Set(present.map(({ store }) => store))];
  const stamp = makeStamp({ ...options, rounds: 1, writeBufferBytes: BUFFER_BYTES }, stores);
  const outcomes = await new ColdRunner(options, present, { home, scratch }, limits, {
    onFill: (store) => say(`filling ${store}`),
    onOutcome: (outcome) => say(describe(outcome)),
    onWarm: (reason) => {
      notes.push(`The page cache could not be dropped, so data may be in memory: ${reason}`);
      warn(notes.at(-1)!);
    },
  }).run();
  return { stamp, conditions: conditionsOf(options, limits, notes), outcomes };
}

/** undefined where there can be none, which is said. */
function limit(options: ColdOptions, explain: Say): Limits | undefined {
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
    explain(`No limits here, the disk is as fast as it is: ${messageOf(error)}`);
    return undefined;
  }
}

function conditionsOf(
  options: ColdOptions,
  limits: Limits | undefined,
  notes: readonly string[],
): Conditions {
  return {
    valueBytes: options.valueBytes,
    limits:
      limits === undefined
        ? null
        : {
            cgroupVersion: limits.version,
            readsPerSecond: options.readsPerSecond,
            memoryMib: options.memoryBytes / 1024 ** 2,
          },
    readAheadKib: limits === undefined ? null : readAheadKib(limits.counter.disk),
    notes,
  };
}

function readAheadKib(disk: string): number | null {
  const file = join(SYSFS, disk, 'queue', 'read_ahead_kb');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : null;
}

function report(result: ColdResult, { rows }: ColdOptions, say: Say): void {
  say(`\n${describeConditions(result)}`);
  for (const { name, operation } of rows) {
    const own = result.outcomes.filter(({ row }) => row === name);
    if (own.length > 0) say(`\n${name}: ${operation}\n${toText(coldTable(own))}`);
  }
}

function savePictures(result: ColdResult, warn: Say): void {
  try {
    writeColdPictures(result, 'latest');
  } catch (error) {
    warn(`no pictures: ${messageOf(error)}`);
  }
}

function describe({ row, store, mode, measurement, error }: ColdOutcome): string {
  const what = `${row.padEnd(12)} ${contestant(store, mode).padEnd(20)}`;
  if (measurement === undefined) return `${what} failed: ${error}`;
  const { opsPerSecond, loop } = measurement;
  const delay = loop.turns === 0 ? 'never turned' : `p99 ${loop.p99.toFixed(1)} ms`;
  return `${what} ${String(Math.round(opsPerSecond)).padStart(8)} ops/s   loop ${delay}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
