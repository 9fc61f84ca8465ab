/**
 * The packed package as a new user has it: installed from its tarball, in a fresh project. The few rows of `npm run compat` that
 * need few downloads; all of them are too slow for every change.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const REGISTRY_OUT_OF_REACH = 2;
const TIMEOUT_MS = 6 * 60_000;
const WORKS: Record<string, RegExp> = {
  'Node, import': /works/,
  'Node, require': /works/,
  'Node, import and require': /works/,
  'esbuild, esm': /works as external; bundled: open\(\) is refused, `threads: 0` works/,
  'TypeScript 5.0': /compiles: node16\/node16, /,
};

test('the packed package works in a fresh project: loaded both ways, bundled, compiled', (t) => {
  const { NODE_TEST_CONTEXT, NODE_OPTIONS, ...env } = process.env;
  const run = (command: string, args: string[], timeout: number): ReturnType<typeof spawnSync> =>
    spawnSync(command, args, { cwd: findRoot(), env, timeout, encoding: 'utf8' });
  // Asked for once, without npm's own attempts, which take minutes.
  const probe = run('npm', ['view', 'typescript@5.0.4', 'version', '--fetch-retries=0'], 60_000);
  if (probe.status !== 0)
    return t.skip(`the npm registry cannot be reached: ${String(probe.stderr).slice(0, 200)}`);
  const done = run(process.execPath, ['scripts/compat.mjs', '--together', ...Object.keys(WORKS)], TIMEOUT_MS);
  const told = `${done.stdout}\n${done.stderr}`;
  if (done.status === REGISTRY_OUT_OF_REACH) return t.skip(told);
  const outcomes = told.split('\n');
  for (const [name, outcome] of Object.entries(WORKS)) {
    const line = outcomes.find((text) => text.startsWith(`${name.padEnd(24)} `));
    assert.match(line?.slice(name.length) ?? '', outcome, told);
  }
  assert.equal(done.status, 0, told);
});

function findRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
