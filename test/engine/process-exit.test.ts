/**
 * The store and its process: a forgotten engine lets it exit, what was acknowledged is there afterwards, the lock names it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { extname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageEngine } from '../../src/main/index.ts';
import { failsWith, keyOf, keysOf, newPath, openAt, TINY } from '../helpers/engines.ts';

const CHILD = fileURLToPath(new URL(`../helpers/engine-child${extname(import.meta.url)}`, import.meta.url));
/** A process that does not exit is killed, and the test fails: far above what starting Node takes. */
const HANG_MS = 30_000;

interface Outcome {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

function start(
  t: TestContext,
  path: string,
  behaviour: string,
): { child: ChildProcess; ended: Promise<Outcome> } {
  const child = spawn(process.execPath, [CHILD, path, behaviour], { timeout: HANG_MS });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk));
  const ended = new Promise<Outcome>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
  return { child, ended };
}

async function run(t: TestContext, path: string, behaviour: string): Promise<Outcome> {
  return await start(t, path, behaviour).ended;
}

for (const behaviour of ['idle', 'forgotten', 'inline']) {
  test(`a forgotten open engine lets the process exit: ${behaviour}`, async (t) => {
    const path = newPath(t);
    const outcome = await run(t, path, behaviour);
    assert.deepEqual([outcome.code, outcome.signal], [0, null], outcome.output);
    assert.match(outcome.output, /ready/);
    const engine = await openAt(t, path);
    assert.equal(keysOf(engine.scan()).length, behaviour === 'idle' ? 0 : 600);
    await engine.verify();
  });
}

test('acknowledged writes are there after process.exit() right behind the await', async (t) => {
  const path = newPath(t);
  for (let i = 0; i < 3; i++) {
    const outcome = await run(t, path, 'exit');
    assert.deepEqual([outcome.code, outcome.output], [0, '']);
    const engine = await openAt(t, path);
    assert.deepEqual(
      keysOf(engine.scan()),
      Array.from({ length: 600 }, (_, n) => keyOf(n)),
    );
    await engine.close();
  }
});

test('acknowledged writes are there after an uncaught exception', async (t) => {
  const path = newPath(t);
  const outcome = await run(t, path, 'throw');
  assert.equal(outcome.code, 1);
  assert.match(outcome.output, /the application fails/);
  assert.equal(keysOf((await openAt(t, path)).scan()).length, 600);
});

test('the process lives on while held writes are awaited', async (t) => {
  const path = newPath(t);
  const outcome = await run(t, path, 'await-held');
  assert.deepEqual([outcome.code, outcome.signal], [0, null], outcome.output);
  assert.match(outcome.output, /held writes are in/);
  assert.equal(keysOf((await openAt(t, path)).scan()).length, 600);
});

test('the process lives on while flush, compact, verify and close are awaited', async (t) => {
  const outcome = await run(t, newPath(t), 'await-work');
  assert.deepEqual([outcome.code, outcome.signal], [0, null], outcome.output);
  assert.match(outcome.output, /work is done/);
});

test('a store that another process holds is refused with its pid, and free once that is killed', async (t) => {
  const path = newPath(t);
  const { child, ended } = start(t, path, 'hold');
  await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
  const error = await failsWith('STRATA_LOCKED', StorageEngine.open(path, TINY));
  assert.match(error.message, new RegExp(`\\b${child.pid}\\b`));
  await failsWith('STRATA_LOCKED', StorageEngine.open(path, { readOnly: true }));
  await failsWith('STRATA_LOCKED', StorageEngine.destroy(path));
  child.kill('SIGKILL');
  await ended;
  const engine = await openAt(t, path);
  await engine.put('mine', 'now');
});
