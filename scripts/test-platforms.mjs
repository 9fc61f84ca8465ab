/**
 * `npm run test:platforms [-- WORD ...]`: the core of the tests where the machine can have it, and a table: musl instead of
 * glibc, ARM64 under emulation, a Node that is too old.
 *
 *   npm run test:platforms                  all of it
 *   npm run test:platforms -- musl arm64    only the platforms whose name contains one of the words
 *
 * Node comes from npm (node-binaries.mjs). What it runs on comes from Debian:
 *
 *   musl          musl gcc
 *   arm64         qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross libgcc-s1-arm64-cross
 *
 * Invariants: a platform that cannot be had is named with what was missing, and is no failure; a test that fails is.
 * Not chosen: `node --test` for ARM64: the kernel cannot start the binary without its emulator, so nothing there may start
 *             another process. Test files are imported into one process, and those that start processes are left out.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { muslNode, nodeOf, run } from './node-binaries.mjs';
import { root, setUp } from './setup.mjs';

/** How the names of test files begin that are the core: formats, structures, jobs, and an engine that is used. */
const CORE = [
  'shared/',
  'workers/',
  'golden/',
  'main/manifest/',
  'main/jobs/worker-pool',
  'engine/reads-and-writes',
  'engine/scans',
  'engine/snapshots',
  'engine/deletes',
  'engine/transaction',
  'engine/ingest.',
  'engine/verify-and-damage',
  'regression/stored-formats',
];
/** Word of a test that starts processes. */
const STARTS_PROCESSES = /child_process|-child\.|run-cli/;
const EMULATOR = 'qemu-aarch64-static';
const ARM64_LIBRARIES = '/usr/aarch64-linux-gnu';
const LIMIT_MS = 30 * 60_000;

const PLATFORMS = {
  musl: () => testWith(muslNode(folder)),
  'arm64, Node 20': () => testWith(emulated(20)),
  'arm64, Node 24': () => testWith(emulated(24)),
  'old node': refusal,
};

setUp();
const words = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'stratakv-platforms-'));
const rows = [];
try {
  for (const [name, test] of Object.entries(PLATFORMS)) {
    if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
    console.log(`\n${name}`);
    rows.push([name, ...tried(test)]);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log('');
for (const [name, result, detail] of rows) console.log(`${name.padEnd(16)}${result.padEnd(12)}${detail}`);
process.exit(rows.some(([, result]) => result === 'FAILED') ? 1 : 0);

function tried(test) {
  try {
    return test();
  } catch (error) {
    return ['not here', error.message];
  }
}

/** An ARM64 Node: the command to start it with, as this machine can't. */
function emulated(major) {
  const node = nodeOf(folder, major, 'arm64');
  return { node: EMULATOR, before: ['-L', ARM64_LIBRARIES, node], env: {} };
}

/** Runs the core in one process. What is not there at all throws; what runs and fails is a failure. */
function testWith({ node, before = [], env }) {
  const environment = { ...process.env, ...env };
  const told =
    'process.version + " " + process.arch + " " + (process.report.getReport().header.glibcVersionRuntime ?? "musl")';
  const version = run(node, [...before, '-p', told], { env: environment }).trim();
  const files = coreTests();
  const entry = join(root, 'dist', 'test', 'platform.js');
  writeFileSync(entry, files.map((name) => `import './${name}';\n`).join(''));
  try {
    const args = [...before, '--test-reporter=tap', '--no-warnings', entry];
    const result = spawnSync(node, args, {
      cwd: root,
      env: environment,
      encoding: 'utf8',
      timeout: LIMIT_MS,
      maxBuffer: 1 << 28,
    });
    const count = (word) => Number(new RegExp(`^# ${word} (\\d+)`, 'm').exec(result.stdout)?.[1] ?? 0);
    const detail = `${version}: ${count('tests')} tests of ${files.length} files, ${count('fail')} failed`;
    const isOk = result.status === 0 && count('pass') > 0;
    if (!isOk) console.log(failuresIn(result));
    return [isOk ? 'ok' : 'FAILED', detail];
  } finally {
    rmSync(entry);
  }
}

function coreTests() {
  const tests = join(root, 'dist', 'test');
  return readdirSync(tests, { recursive: true })
    .map((name) => name.split(sep).join('/'))
    .filter((name) => name.endsWith('.test.js') && CORE.some((start) => name.startsWith(start)))
    .filter((name) => !STARTS_PROCESSES.test(readFileSync(join(tests, name), 'utf8')))
    .sort();
}

function failuresIn({ stdout, stderr, signal }) {
  const lines = stdout.split('\n');
  const failed = lines.flatMap((line, at) => (/^\s*not ok /.test(line) ? lines.slice(at, at + 30) : []));
  return [...failed, stderr.slice(-3000), signal ?? ''].join('\n');
}

/** Debian 12's own nodejs is 18: the package says in one line that it is too old. */
function refusal() {
  const node = nodeOf(folder, 18);
  const script = `import('stratakv').then(({ StorageEngine }) => StorageEngine.open(${JSON.stringify(join(folder, 'db'))}))
    .then(() => 'opened', (error) => error.code + ' ' + error.message).then(console.log)`;
  const said = run(node, ['-e', script], { cwd: root }).trim();
  return [/^STRATA_UNSUPPORTED stratakv needs Node [^\n]*$/.test(said) ? 'ok' : 'FAILED', said];
}
