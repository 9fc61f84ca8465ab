/**
 * `npm start`: the main job on real data. Loads WordNet (words, senses and synsets: 480,000 records) into ./db_data,
 * reads it, changes it, puts it in order, closes and reopens it, and checks every step.
 *
 *   1. load     2. look up and scan     3. batch and snapshot     4. delete the adverbs
 *   5. flush and compact     6. reopen and compare     7. verify     8. statistics
 *
 * Asks nothing; exits with 1 when a check failed. The store stays for the command line to play with.
 */
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeError } from '../../src/main/cli/exit-codes.ts';
import { formatBytes, formatCount, formatDuration } from '../../src/main/cli/quantities.ts';
import { formatStats } from '../../src/main/cli/stats-table.ts';
import type { StorageEngine } from '../../src/main/index.ts';
import { changeAtomically, deleteAdverbs } from './demo-change.ts';
import { loadWordNet } from './demo-load.ts';
import { type Contents, countKeys, lookUpWords, readAll, scanPrefix } from './demo-read.ts';
import { DemoReport, timed } from './demo-report.ts';
import { openFreshStore, openStore } from './demo-store.ts';
import { type ExpectedCounts, WordNetSource } from './wordnet-source.ts';

const KINDS: readonly (keyof ExpectedCounts)[] = ['word', 'sense', 'synset'];

async function main(directory: string, report: DemoReport): Promise<void> {
  const source = new WordNetSource();
  const expected = source.count();
  report.step(`load WordNet 3.1 (${formatBytes(source.sizeBytes)}) into ${directory}`);
  const engine = await openFreshStore(directory);
  let contents: Contents;
  try {
    await loadWordNet(engine, source, report);
    for (const kind of KINDS)
      report.checkCount(countKeys(engine, `${kind}:`), expected[kind], `${kind} records`);

    report.step('look words up');
    await lookUpWords(engine, report);
    report.step('scan a prefix: word:noun:lighthouse');
    scanPrefix(engine, report, 'word:noun:lighthouse');
    report.step('an atomic batch and a snapshot');
    await changeAtomically(engine, report);
    report.step('delete all adverbs');
    const deleted = await deleteAdverbs(engine, report);

    report.step('flush and compact');
    await putInOrder(engine, report);
    report.step('read everything');
    contents = await readAll(engine, report);
    const { tableBytes } = engine.stats();
    const ratio = (contents.rawBytes / tableBytes).toFixed(2);
    report.say(
      `${formatBytes(contents.rawBytes)} of keys and values in ${formatBytes(tableBytes)} on disk: ${ratio} to 1`,
    );
    const total = KINDS.reduce((sum, kind) => sum + expected[kind], 0);
    // One more for the mark of the demonstration.
    report.checkCount(contents.records, total - deleted + 1, 'records');
  } finally {
    await engine.close();
  }
  report.step('close, reopen, compare, verify');
  await reopen(directory, report, contents);
}

async function putInOrder(engine: StorageEngine, report: DemoReport): Promise<void> {
  const flush = await timed(() => engine.flush());
  const before = engine.stats();
  const compaction = await timed(() => engine.compact());
  const after = engine.stats();
  report.say(`flush ${formatDuration(flush.elapsedMs)}, compaction ${formatDuration(compaction.elapsedMs)}`);
  report.say(`${formatBytes(before.tableBytes)} -> ${formatBytes(after.tableBytes)} on disk`);
  const tombstones = after.levels.reduce((sum, level) => sum + level.tombstones, 0);
  report.checkCount(tombstones, 0, 'tombstones left');
}

async function reopen(directory: string, report: DemoReport, expected: Contents): Promise<void> {
  const { result: engine, elapsedMs } = await timed(() => openStore(directory));
  try {
    report.say(`opened in ${formatDuration(elapsedMs)}`);
    const contents = await readAll(engine, report);
    report.checkCount(contents.records, expected.records, 'records after reopening');
    report.check(contents.checksum === expected.checksum, 'the same bytes in every key and value');
    report.checkCount(countKeys(engine, 'word:adv:'), 0, 'adverbs that came back');
    const { result, elapsedMs: verifyMs } = await timed(() => engine.verify());
    report.say(`verify read ${formatBytes(result.bytes)} in ${formatDuration(verifyMs)}`);
    report.checkCount(result.entries, contents.records, 'entries verified');
    report.step('statistics since reopening');
    for (const line of formatStats(engine.stats()).split('\n')) report.say(line);
  } finally {
    await engine.close();
  }
}

function sayWhatNext(directory: string, report: DemoReport): void {
  const cli = relative(process.cwd(), fileURLToPath(new URL('../../src/main/cli/cli.js', import.meta.url)));
  report.step('what next');
  report.say(`node ${cli} --db ${directory} get word:noun:lighthouse`);
  report.say(`node ${cli} --db ${directory} scan --prefix word:verb:over --limit 5`);
  report.say(`node ${cli} --db ${directory} stats`);
  report.say(`node ${cli} --db ${directory}                (a prompt)`);
  report.say(`npm start begins again: it replaces the store in ${directory}`);
}

const demoReport = new DemoReport();
const demoDirectory = process.argv[2] ?? './db_data';
const startedAt = performance.now();
try {
  await main(demoDirectory, demoReport);
  sayWhatNext(resolve(demoDirectory) === resolve('./db_data') ? './db_data' : demoDirectory, demoReport);
  const elapsed = formatDuration(performance.now() - startedAt);
  const failures = demoReport.failureCount;
  console.log(
    `\n${failures === 0 ? 'all checks hold' : `${formatCount(failures)} checks FAILED`} (${elapsed})`,
  );
  process.exitCode = failures === 0 ? 0 : 1;
} catch (error) {
  console.error(`stratakv demo: ${describeError(error)}`);
  if (process.env['STRATAKV_DEBUG']) console.error(error);
  process.exitCode = 1;
}
