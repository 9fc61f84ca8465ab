/**
 * What reaches our threads: the code next to us, and nothing that the environment, the command line of the process or the
 * working directory would put into them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const CHILD = fileURLToPath(new URL(`./application${extname(import.meta.url)}`, import.meta.url));

interface Probe {
  readonly folder: string;
  /** A module that notes which thread loads it. */
  readonly module: string;
  readonly loads: () => string[];
}

function makeProbe(t: TestContext): Probe {
  const folder = temporaryDirectory(t);
  const notes = join(folder, 'notes');
  const module = join(folder, 'probe.cjs');
  const text = [
    `const { isMainThread } = require('node:worker_threads');`,
    `require('node:fs').appendFileSync(${JSON.stringify(notes)}, isMainThread ? 'main\\n' : 'thread\\n');`,
  ];
  writeFileSync(module, text.join('\n'));
  const loads = (): string[] => (existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n') : []);
  return { folder, module, loads };
}

/** Runs an application that makes a store do jobs on threads; returns what it says of the environment in there. */
function runApplication(
  probe: Probe,
  nodeArgs: readonly string[],
  env: NodeJS.ProcessEnv,
  change = '',
): void {
  const args = [...nodeArgs, CHILD, join(probe.folder, 'db'), change];
  const child = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    cwd: probe.folder,
    env: { PATH: process.env['PATH'], ...env },
    timeout: 120_000,
  });
  assert.equal(child.status, 0, child.stderr);
  assert.match(child.stdout, /jobs on threads: [1-9]/);
}

test('what the process was told to load is not loaded by our threads', (t) => {
  const probe = makeProbe(t);
  runApplication(probe, ['--require', probe.module], {});
  assert.deepEqual(probe.loads(), ['main'], 'the probe works, and no thread has loaded it');
});

test('what the application puts into its environment while it runs does not reach our threads', (t) => {
  const probe = makeProbe(t);
  const change = JSON.stringify({
    NODE_OPTIONS: `--require ${probe.module}`,
    NODE_PATH: probe.folder,
    STRATAKV_WORKER: probe.module,
    STRATAKV_WORKER_URL: probe.module,
    PISCINA_DISABLE_ATOMICS: '1',
    LD_PRELOAD: join(probe.folder, 'nothing.so'),
  });
  runApplication(probe, [], {}, change);
  assert.deepEqual(probe.loads(), []);
});

test('nothing in the working directory or on NODE_PATH stands in for our worker or our packages', (t) => {
  const probe = makeProbe(t);
  const text = readFileSync(probe.module, 'utf8');
  for (const name of ['piscina', 'snappyjs', 'crc-32', 'koffi', 'lz4-napi', 'lru-cache']) {
    const folder = join(probe.folder, 'node_modules', name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ name, version: '99.0.0', main: 'index.js' }),
    );
    writeFileSync(join(folder, 'index.js'), text);
  }
  for (const name of ['worker.js', 'run-job.js']) {
    mkdirSync(join(probe.folder, 'workers'), { recursive: true });
    writeFileSync(join(probe.folder, name), text);
    writeFileSync(join(probe.folder, 'workers', name), text);
  }
  runApplication(probe, [], { NODE_PATH: join(probe.folder, 'node_modules') });
  assert.deepEqual(probe.loads(), []);
});

test('NODE_OPTIONS of the process is what started the application; our threads load nothing of it', (t) => {
  const probe = makeProbe(t);
  runApplication(probe, [], { NODE_OPTIONS: `--require ${probe.module}` });
  assert.deepEqual(probe.loads(), ['main']);
});
