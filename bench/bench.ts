/**
 * `npm run bench`: our store beside its peers, on the same data, in one run.
 *
 *   1. arguments.ts      what to run                     4. report/statistics.ts    medians, ratios
 *   2. packages.ts       the peers, once                 5. report/targets.ts       the rows and whether they hold
 *   3. runner.ts         children, round by round        6. report/result-files.ts  JSON, pictures, history, docs
 *
 * `cold`, `startup` and `level` as the first word are runs of their own, in the folders of these names.
 *
 * Exit codes: 0 measured; 1 a regression (with --check), or our own store failed; 2 usage.
 */
import { type BenchArguments, parseArguments, USAGE } from './arguments.ts';
import { runCold } from './cold/cold.ts';
import { runLevel } from './level/level.ts';
import type { Outcome } from './measure/measurement.ts';
import { absence, installPackages } from './packages.ts';
import {
  compareAndRemember,
  type Result,
  readResult,
  writeDocs,
  writePictures,
  writeResult,
} from './report/result-files.ts';
import { makeStamp, type Stamp } from './report/stamp.ts';
import { summarize } from './report/statistics.ts';
import { rate, toText, verdictTable, workloadTable } from './report/tables.ts';
import { judge } from './report/targets.ts';
import { EXTRAPOLATION_NOTE, threadsTable } from './report/threads-table.ts';
import { Runner } from './runner.ts';
import { runStartup } from './startup/startup.ts';
import { hasDbBench } from './stores/db-bench.ts';
import { DB_BENCH, OURS, PACKAGES, type StoreName } from './stores/store.ts';
import { makeWorkDirectory } from './temp-directories.ts';
import { CATALOG, chooseWorkloads } from './workloads/catalog.ts';
import type { Workload } from './workloads/workload.ts';

const USAGE_ERROR = 2;

function say(line = ''): void {
  console.log(line);
}

function warn(line: string): void {
  console.error(`bench: ${line}`);
}

function readArguments(): { readonly options: BenchArguments; readonly workloads: readonly Workload[] } {
  try {
    const options = parseArguments(process.argv.slice(2));
    const names = options.mode === 'micro' ? [] : options.names;
    return { options, workloads: chooseWorkloads(names, options.isQuick) };
  } catch (error) {
    warn(error instanceof Error ? error.message : String(error));
    console.error(`\n${USAGE}`);
    process.exit(USAGE_ERROR);
  }
}

/** Those that can be loaded here; the others are named with the reason. */
function availableStores(wanted: readonly StoreName[]): readonly StoreName[] {
  return wanted.filter((store) => {
    const reason = absenceOf(store);
    if (reason !== undefined) warn(`${store} is absent and left out: ${reason}`);
    return reason === undefined;
  });
}

function absenceOf(store: StoreName): string | undefined {
  if (store === DB_BENCH) return hasDbBench() ? undefined : 'not on the PATH (Debian: rocksdb-tools)';
  return absence(PACKAGES[store]);
}

async function measure(options: BenchArguments, workloads: readonly Workload[]): Promise<Result> {
  const home = makeWorkDirectory(options.directory);
  const stores = availableStores(options.stores);
  const stamp = makeStamp(options, stores);
  announce(stamp);
  const outcomes = await new Runner(options, stores, home, showOutcome).run(workloads);
  const summaries = workloads.map((each) =>
    summarize(
      each,
      outcomes.filter(({ workload }) => workload === each.name),
    ),
  );
  return { stamp, summaries, outcomes };
}

function announce(stamp: Stamp): void {
  say(`${stamp.cpu}, ${stamp.cores} cores, ${stamp.memoryGib} GiB, ${stamp.system}, Node ${stamp.node}`);
  say(
    Object.entries(stamp.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  );
  say(`${rate(stamp.records)} records, ${stamp.rounds} rounds, commit ${stamp.commit}`);
  if (stamp.isMemoryDisk)
    warn('the stores lie on a memory disk, where a sync costs nothing; see --directory');
  say();
}

function showOutcome({ workload, store, round, measurement, error }: Outcome): void {
  const what = `${workload.padEnd(22)} round ${round + 1}  ${store.padEnd(14)}`;
  say(
    `${what} ${measurement === undefined ? `failed: ${error}` : `${rate(measurement.opsPerSecond).padStart(10)} ops/s`}`,
  );
}

function report({ stamp, summaries }: Result): void {
  for (const summary of summaries) {
    say(`\n${summary.workload}: ${summary.operation}`);
    say(toText(workloadTable(summary)));
  }
  say('\nThe rows of the project (ratio ours to the peer, in this run)');
  say(toText(verdictTable(judge(summaries))));
  const byThreads = threadsTable(summaries, stamp.cores);
  if (byThreads !== undefined) say(`\nMore threads\n${toText(byThreads)}\n${EXTRAPOLATION_NOTE}`);
}

function savePictures(result: Result): void {
  try {
    writePictures(result.summaries, 'latest');
  } catch (error) {
    warn(`no pictures: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function main(): Promise<void> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === 'cold') return await runCold(rest, say, warn);
  if (first === 'startup') return await runStartup(rest, say, warn);
  if (first === 'level') return await runLevel(rest, say, warn);
  const { options, workloads } = readArguments();
  if (options.mode === 'help') return say(USAGE);
  if (options.mode === 'list') {
    for (const { name, group, operation } of CATALOG)
      say(`${name.padEnd(24)} ${group.padEnd(10)} ${operation}`);
    return;
  }
  const problem = installPackages(warn);
  if (problem !== undefined) warn(problem);
  if (options.mode === 'micro') {
    // Only now: it brings the engine's parts into this process, which otherwise has no use for them.
    const { runMicro } = await import('./micro/run-micro.ts');
    return await runMicro(say);
  }

  const begin = performance.now();
  const result = options.from === undefined ? await measure(options, workloads) : readResult(options.from);
  report(result);
  if (options.from === undefined) {
    say(`\n${writeResult(result)}, after ${Math.round((performance.now() - begin) / 1000)} s`);
    savePictures(result);
    const regressions = compareAndRemember(result, options.tolerance);
    for (const { workload, before, now } of regressions)
      say(`regression: ${workload} is ${now.toFixed(2)}x its peers, and was ${before.toFixed(2)}x`);
    if (options.isCheck && regressions.length > 0) process.exitCode = 1;
  }
  if (options.isWriteDocs) writeDocs(result);
  if (result.outcomes.some(({ store, error }) => store === OURS && error !== undefined)) process.exitCode = 1;
}

await main();
