/**
 * Which threads work behind main: ours, where the system has a priority for each thread; never main's, nor those of the
 * application's pool.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { type TestContext, test } from 'node:test';
import { Piscina } from 'piscina';
import { StorageEngine } from '../../src/main/index.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const TASKS = '/proc/self/task';
/** In /proc/self/task/N/stat, counted behind the name, which stands in brackets and may hold spaces. */
const NICE_FIELD = 16;
const skip = existsSync(TASKS) ? false : 'threads have no priority of their own here';

/** The niceness of each thread of this process, by its number. */
function niceness(): Map<string, number> {
  const nices = readdirSync(TASKS).flatMap((task): [string, number][] => {
    try {
      const stat = readFileSync(`${TASKS}/${task}/stat`, 'latin1');
      return [[task, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[NICE_FIELD])]];
    } catch {
      return []; // It has ended.
    }
  });
  return new Map(nices);
}

async function flushSomething(t: TestContext, options: object): Promise<void> {
  const engine = await StorageEngine.open(temporaryDirectory(t), options);
  t.after(() => engine.close());
  await engine.put('k', 'v');
  await engine.flush();
}

test('threads of the application keep their priority: main, and those of its pool', { skip }, async (t) => {
  const own = getPriority();
  const pool = new Piscina({ maxThreads: 1 });
  t.after(() => pool.destroy());
  await flushSomething(t, { pool });
  await flushSomething(t, { threads: 0 });
  for (const [task, nice] of niceness()) assert.equal(nice, own, `thread ${task}`);
});

test('a thread of ours works behind the others, and only that', { skip }, async (t) => {
  const own = getPriority();
  const before = niceness();
  await flushSomething(t, { threads: 1 });
  const after = niceness();
  for (const task of before.keys()) assert.equal(after.get(task), own, `thread ${task}`);
  assert.deepEqual(
    [...after.values()].filter((nice) => nice !== own),
    [Math.min(19, own + 5)],
  );
});
