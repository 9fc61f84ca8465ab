/**
 * `npm test [-- filter ...]`: the whole gate of a change, locally and in CI.
 *
 *   npm test                       lint, types (the build is the type check), every test
 *   npm test -- memtable wal       only the test files whose path contains one of the words; no lint
 *   npm test -- --test-name-pattern=torn   options go to node --test
 *   node scripts/test.mjs --no-lint        for an install without Biome, such as `npm ci --omit=optional`
 *
 * Test files are listed one by one: `node --test dist/test` would run helpers too, and Node 20 knows no globs.
 * One file more than there are processors runs at a time, three at most: a file waits a third of its time, for processes that
 * start, for time limits, for the disk. More would only keep the crash and stress tests from the processors of a small machine.
 *
 * Invariants: runs everything even when lint fails, and exits non-zero when anything did. No tests is a failure.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, sep } from 'node:path';
import { root, setUp } from './setup.mjs';

const CONCURRENCY = Math.min(3, availableParallelism() + 1);
/** Far above the slowest file; it only turns a hang into a failure that names its file. */
const FILE_TIMEOUT_MS = 8 * 60 * 1000;

const args = process.argv.slice(2);
const filters = args.filter((arg) => !arg.startsWith('-'));
const nodeOptions = args.filter((arg) => arg.startsWith('-') && arg !== '--no-lint');
const isPartial = filters.length > 0 || args.includes('--no-lint');

setUp();
const results = [['types', true]];
if (!isPartial) results.push(['lint', lint()]);
results.push(['tests', runTests(findTests())]);

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
    .sort()
    .map((name) => join('dist', 'test', name));
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
