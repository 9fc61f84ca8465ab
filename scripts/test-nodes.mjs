/**
 * `npm run test:nodes [-- MAJOR ...] [-- WORD ...]`: the tests of `npm test` with the newest Node 20, 22 and 24, and a table.
 *
 *   npm run test:nodes                        lint once, then every test with each; some ten minutes a version
 *   npm run test:nodes -- 24                  with that one alone
 *   npm run test:nodes -- 22 24 locking       only the test files whose path contains the word
 *
 * The binaries come as npm packages into a temporary folder. The build is made once, by the Node that runs this. Child processes
 * of tests take process.execPath, or `node` from the PATH, or npm by npm_execpath: all three are set.
 *
 * Invariants: a version that fails does not keep the next from running; any failure is the result.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { nodeOf, npmCli, run } from './node-binaries.mjs';
import { root, setUp } from './setup.mjs';

const MAJORS = ['20', '22', '24'];

const args = process.argv.slice(2);
const majors = args.filter((arg) => /^\d+$/.test(arg));
const filters = args.filter((arg) => !/^\d+$/.test(arg));

setUp();
const folder = mkdtempSync(join(tmpdir(), 'stratakv-nodes-'));
const rows = [];
try {
  if (filters.length === 0) rows.push(['lint', '', lint() ? 'ok' : 'FAILED', '']);
  const binaries = (majors.length > 0 ? majors : MAJORS).map(fetchNode);
  for (const binary of binaries) {
    const other = binaries.find(({ node }) => node !== undefined && node !== binary.node)?.node;
    rows.push(binary.error === undefined ? testWith(binary, other) : missing(binary));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`\n${'Node'.padEnd(10)}${'V8'.padEnd(26)}${'result'.padEnd(8)}minutes`);
for (const [name, engine, result, minutes] of rows)
  console.log(`${name.padEnd(10)}${engine.padEnd(26)}${result.padEnd(8)}${minutes}`);
process.exit(rows.every((row) => row[2] === 'ok') ? 0 : 1);

function fetchNode(major) {
  try {
    const node = nodeOf(folder, major);
    const versions = JSON.parse(run(node, ['-p', 'JSON.stringify(process.versions)']));
    return { major, node, versions };
  } catch (error) {
    return { major, error };
  }
}

function missing({ major, error }) {
  console.error(`Node ${major}: ${error.message}`);
  return [major, 'not to be had', 'FAILED', ''];
}

function lint() {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  return (
    spawnSync(process.execPath, [biome, 'ci', '--colors=off', '.'], { cwd: root, stdio: 'inherit' })
      .status === 0
  );
}

function testWith({ node, versions }, other) {
  console.log(`\nNode ${versions.node}`);
  const begun = Date.now();
  const env = {
    ...process.env,
    PATH: `${dirname(node)}${delimiter}${process.env.PATH}`,
    NODE: node,
    npm_node_execpath: node,
    npm_execpath: npmCli(),
    // For tests of what two versions of Node do with one store.
    STRATA_OTHER_NODE: process.env.STRATA_OTHER_NODE ?? other ?? process.execPath,
  };
  const options = ['--no-lint', ...filters];
  const script = join(root, 'scripts', 'test.mjs');
  const { status } = spawnSync(node, [script, ...options], { cwd: root, env, stdio: 'inherit' });
  const minutes = ((Date.now() - begun) / 60_000).toFixed(1);
  return [versions.node, versions.v8, status === 0 ? 'ok' : 'FAILED', minutes];
}
