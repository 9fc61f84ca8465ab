/**
 * `npm run compat [-- word ...]`: the packed package in fresh projects, under other tools and runtimes: installed by a
 * package manager, loaded by a test runner, bundled, compiled, or run by another runtime. Prints a table. Needs the npm registry.
 *
 *   npm run compat                       all rows (compat-rows.mjs), a quarter of an hour
 *   npm run compat -- "jest," vite       those whose name contains one of the words
 *   npm run compat -- --write jest       puts what it found into docs/compatibility.md
 *   npm run compat -- --records=100000   stores of another size than 10,000 records
 *   npm run compat -- --together node    one project for all rows; `npm test` does that with a few
 *
 * Invariants: works in a temporary directory, which it removes. Exits with 1 when a row fails, and with 2 when none did but the
 *             registry could not be reached for one: that is reported, and no failure of the package.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APPLICATION, BUNDLE_CONFIGS, RUNNER_TEST } from './compat-projects.mjs';
import { lastLine, ROWS, shell, TARBALL, versionOf } from './compat-rows.mjs';
import { root, setUp } from './setup.mjs';

const PAGE = join(root, 'docs', 'compatibility.md');
const NOT_TRIED = 'not tried: ';
/** What npm says when there is no way to the registry. */
const NO_REGISTRY =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/;
const INSTALL = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];

const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const isWriting = process.argv.includes('--write');
const isTogether = process.argv.includes('--together');
const records = process.argv.find((word) => word.startsWith('--records='))?.split('=')[1];
if (records !== undefined) process.env.RECORDS = records;

const rows = ROWS.filter(({ name }) => words.length === 0 || words.some((word) => contains(name, word)));
const unknown = words.filter((word) => !ROWS.some(({ name }) => contains(name, word)));
if (unknown.length > 0) {
  console.error(`no row has ${unknown.join(', ')}; there are: ${ROWS.map(({ name }) => name).join('; ')}`);
  process.exit(1);
}
setUp();
const home = mkdtempSync(join(tmpdir(), 'stratakv-compat-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
const tarball = pack();
const shared = isTogether
  ? project('project', [...new Set(rows.flatMap(({ packages }) => packages))])
  : undefined;

const results = [];
for (const { name, packages, run } of rows) {
  const { folder, failure } = shared ?? project(name.replace(/\W+/g, '-'), packages);
  const versions = packages.map((item) => versionOf(folder, item)).slice(0, 1);
  const result = {
    name,
    versions: versions.join(', ') || process.version,
    outcome: failure ?? outcomeOf(run, folder),
  };
  results.push(result);
  console.log(`${name.padEnd(24)} ${result.versions.padEnd(32)} ${result.outcome}`);
  if (isWriting) writePage();
  if (!isTogether) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
const has = (start) => results.some(({ outcome }) => outcome.startsWith(start));
process.exitCode = has('FAILED') ? 1 : has(NOT_TRIED) ? 2 : 0;

/** A word that is the name of a row means that one: there are Vite and vitest. */
function contains(name, word) {
  const [low, wanted] = [name.toLowerCase(), word.toLowerCase()];
  return ROWS.some((other) => other.name.toLowerCase() === wanted) ? low === wanted : low.includes(wanted);
}

/** A new one, in which the package is installed beside others; or why it is not. */
function project(name, packages) {
  const folder = join(home, name);
  mkdirSync(folder);
  copyFileSync(tarball, join(folder, TARBALL));
  const manifest = { name: 'project', private: true };
  const files = {
    ...APPLICATION,
    ...RUNNER_TEST,
    ...BUNDLE_CONFIGS,
    'package.json': JSON.stringify(manifest),
  };
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  const installed = shell(folder, ['npm', ...INSTALL, `./${TARBALL}`, ...packages]);
  if (installed.status === 0) return { folder };
  const outcome = NO_REGISTRY.test(installed.stderr) ? NOT_TRIED : 'FAILED: no install: ';
  return { folder, failure: `${outcome}${lastLine(installed)}` };
}

function outcomeOf(run, folder) {
  try {
    return run(folder);
  } catch (error) {
    return `FAILED: ${error.message}`;
  }
}

function pack() {
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', home];
  const done = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(done.stderr || String(done.error));
  return join(home, done.stdout.trim().split('\n').at(-1));
}

/** Rows that were not tried stay as they are. */
function writePage() {
  const page = readFileSync(PAGE, 'utf8');
  const known = new Map([...page.matchAll(/^\| (.+?) +\| .*$/gm)].map(([line, name]) => [name, line]));
  for (const { name, versions, outcome } of results)
    if (!outcome.startsWith(NOT_TRIED)) known.set(name, `| ${name} | ${versions} | ${outcome} |`);
  const lines = ROWS.flatMap(({ name }) => known.get(name) ?? []);
  const head = '| where | version | result |\n| --- | --- | --- |';
  writeFileSync(
    PAGE,
    page.replace(/^\| where [\s\S]*?\n\n/m, () => `${head}\n${lines.join('\n')}\n\n`),
  );
}
