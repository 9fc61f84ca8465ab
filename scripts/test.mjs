/**
 * `npm test [-- filter ...]`: the whole gate of a change, locally and in CI.
 *
 *   npm test                       lint, types (the build is the type check), every test
 *   npm test -- memtable wal       only the test files whose path contains one of the words; no lint
 *   npm test -- --test-name-pattern=torn   options go to node --test
 *   node scripts/test.mjs --no-lint        for an install without Biome, such as `npm ci --omit=optional`
 *
 * Test files are listed one by one: `node --test dist/test` would run helpers too, and Node 20 knows no globs.
 * In a whole run the tests of single modules share processes, several files each: to start Node, its test runner and our modules
 * takes longer than most of them, and the first store of a process starts threads. So do those of the engine that are short and
 * look at nothing but their stores. The others keep theirs: dead disks and threads that hang stay in a process.
 * What takes longest starts first, so that no processor is without work at the end.
 * One file more than there are processors runs at a time, three at most: a file waits a third of its time, for processes that
 * start, for time limits, for the disk. More would only keep the crash and stress tests from the processors of a small machine.
 *
 * Invariants: every test file runs once, alone or in a group; runs everything even when lint fails, and exits non-zero when
 *             anything did. No tests is a failure.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, sep } from 'node:path';
import { root, setUp } from './setup.mjs';

const CONCURRENCY = Math.min(3, availableParallelism() + 1);
/** Far above the slowest file; it only turns a hang into a failure that names its file. */
const FILE_TIMEOUT_MS = 8 * 60 * 1000;

/** How the names of files begin that share processes. */
const GROUPED = [
  'shared/',
  'workers/',
  'main/',
  'bench/arguments',
  'bench/dataset',
  'bench/history',
  'bench/scaling',
  'bench/statistics',
  'bench/wordnet-parser',
  'cli/dump-log',
  'cli/dump-table',
  'client/client',
  'client/cold-scans',
  'client/false-owner',
  'client/malformed-messages',
  'client/transactions',
  'client/view-follower',
  'corruption/deleted-ranges',
  'engine/bad-input.',
  'engine/copies',
  'engine/deletes',
  'engine/ended-scans',
  'engine/expiry',
  'engine/fill-cache',
  'engine/key-ranges',
  'engine/many.',
  'engine/owner-epoch',
  'engine/public-types',
  'engine/range-deletes',
  'engine/reads-and-writes',
  'engine/recipes',
  'engine/scan-rounds',
  'engine/scans',
  'engine/snapshots',
  'engine/transaction',
  'engine/update',
  'engine/verify-and-damage',
  'fuzz/',
  'level/level-be',
  'model/transactions',
  'regression/stored-formats',
  'regression/torn-tail',
];
/** A group's files come from all over its folders, so that no group has all the slow ones. */
const GROUPS = 10;
const GROUP_FOLDER = join('dist', 'test', 'groups');
/** A test that ends the process would leave out those of other files, and nobody would see it. */
const GROUP_END = `import { after } from 'node:test';
let isDone = false;
after(() => { isDone = true; });
process.on('exit', () => { if (!isDone) process.exitCode = 1; });
`;
/** Changes what the whole process has, or looks at what it takes. */
const ALONE = [
  'shared/table/compression.test.js',
  'workers/verify-table.test.js',
  'main/jobs/process-threads.test.js',
  'main/write/write-placement.test.js',
  'shared/base/write-promises.test.js',
];
/** Ten seconds and more of processor time, the longest first; a file that is missing here only runs later. */
const LONGEST = [
  'compat',
  'level/abstract-level-suite',
  'locking/owners',
  'security/planted-files',
  'metamorphic/',
  'security/claims',
  'fault/power-loss',
  'engine/subcompactions',
  'fault/error-sweep',
  'regression/realms',
  'compat',
  'level/abstract-level-suite',
  'locking/foreign-owner',
  'concurrency/worker-faults',
  'engine/ingest-steps',
  'locking/namespaces',
  'engine/hooks',
  'engine/trace',
  'bench/cold',
  'client/ingest-lifecycle',
  'client/ingest.',
  'client/threads',
  'client/lifecycle',
  'engine/file-numbers',
  'engine/process-exit',
  'engine/close-stuck',
  'engine/upkeep',
  'main/jobs/process-threads',
  'regression/background-failures',
  'regression/hooks-and-workers',
  'engine/ingest.',
  'security/leaks',
  'corruption/repair.',
  'compat',
  'examples',
  'engine/cold-reads',
  'crash/kill-loop',
  'cli/load-dump',
  'cli/records',
];

const args = process.argv.slice(2);
const filters = args.filter((arg) => !arg.startsWith('-'));
const nodeOptions = args.filter((arg) => arg.startsWith('-') && arg !== '--no-lint');
const isPartial = filters.length > 0 || args.includes('--no-lint');

setUp();
const results = [['types', true]];
if (!isPartial) results.push(['lint', lint()]);
results.push(['tests', runTests(inProcesses(findTests()))]);

const summary = results.map(([name, isOk]) => `${name} ${isOk ? 'ok' : 'FAILED'}`).join(', ');
console.log(`\n${summary}`);
process.exit(results.every(([, isOk]) => isOk) ? 0 : 1);

function lint() {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  return run([biome, 'ci', '--colors=off', '.']);
}

function findTests() {
  const folder = join(root, 'dist', 'test');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((name) => name.split(sep).join('/'))
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => filters.length === 0 || filters.some((word) => name.includes(word)))
    .sort();
}

/** The files to run: those with a process of their own, then one for each group, which imports its members. */
function inProcesses(names) {
  if (filters.length > 0) return names.map(pathOf);
  const members = names.filter(isGrouped);
  const alone = names.filter((name) => !isGrouped(name)).sort((a, b) => lengthRank(a) - lengthRank(b));
  const groups = Array.from({ length: GROUPS }, (_, group) =>
    members.filter((_, index) => index % GROUPS === group),
  );
  return [...alone.map(pathOf), ...groups.filter((group) => group.length > 0).map(writeGroup)];
}

function isGrouped(name) {
  return GROUPED.some((folder) => name.startsWith(folder)) && !ALONE.includes(name);
}

function lengthRank(name) {
  const rank = LONGEST.findIndex((start) => name.startsWith(start));
  return rank === -1 ? LONGEST.length : rank;
}

function writeGroup(group, index) {
  const path = join(GROUP_FOLDER, `group-${index + 1}.js`);
  mkdirSync(join(root, GROUP_FOLDER), { recursive: true });
  writeFileSync(join(root, path), `${group.map((name) => `import '../${name}';\n`).join('')}${GROUP_END}`);
  return path;
}

function pathOf(name) {
  return join('dist', 'test', name);
}

function runTests(files) {
  if (files.length === 0) {
    console.error(`no test file matches ${filters.join(' ') || 'dist/test/**/*.test.js'}`);
    return false;
  }
  return run([
    '--test',
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${FILE_TIMEOUT_MS}`,
    '--test-reporter=./scripts/test-reporter.mjs',
    '--test-reporter-destination=stdout',
    ...nodeOptions,
    ...files,
  ]);
}

function run(nodeArgs) {
  const result = spawnSync(process.execPath, nodeArgs, { cwd: root, stdio: 'inherit' });
  if (result.error) console.error(result.error.message);
  return result.status === 0;
}
