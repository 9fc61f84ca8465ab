/**
 * The error sweep: a short run through everything, with file operation 0, 1, 2, ... failing until none is left to fail; for
 * each error number, once or from there on.
 *
 * Whatever fails is told to a caller or changes the state of the store (status, backgroundError), unless it is on the
 * list of what may fail in silence. No step hangs, no promise is left alone, no handle stays open, no read is wrong. With
 * the fault gone, the store opens and holds every acknowledged write; of a failed write, all or nothing.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { contentProblem, runScript } from '../helpers/fault/error-script.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { FaultControl, type FaultPlan } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { runSeed } from '../helpers/run-budget.ts';

/**
 * What may fail in silence:
 *   unlink       a file that is not needed any more is left to the next open
 *   close        of a file that was only read, or whose bytes are synced: nothing hangs on it
 *   LOCK         only says who holds the store; the lock itself is no file
 *   stat         of a manifest, half a second after a write: the look whether it is still ours (ownership.ts), which says nothing
 *                when it fails
 *   EMFILE       where a table is opened for reading: some others are closed and it is tried again
 */
const BENIGN = /^(?:unlink of|close of|.* of a lock$)/;
/** Where the run took so long that there was a look. */
const BENIGN_LOOK = /^stat of a manifest$/;
const LOOK_DELAY_MS = 500;
const BENIGN_EMFILE = /^(?:open|size|read) of a table$/;
/** Far above what the script does. */
const MOST_OPERATIONS = 3000;

/** Each n-th place to begin, others from run to run; STRATA_SWEEP=full (npm run prove): all. */
const IS_FULL = process.env['STRATA_SWEEP'] === 'full';
const ONCE_STEP: number = IS_FULL ? 1 : 12;
const LASTING_STEP: number = IS_FULL ? 1 : 16;
const THREADS_STEP = 14;

const FAULTS = ['EIO', 'ENOSPC', 'EMFILE'] as const;

for (const fault of FAULTS) {
  for (const lasting of [false, true]) {
    test(`${fault} at every file operation, ${lasting ? 'lasting' : 'once'}, is told and survived`, async (t) => {
      const directory = storeDirectory(t);
      const step = lasting ? LASTING_STEP : ONCE_STEP;
      const points = await sweep(directory, { fault, lasting }, 0, step, runSeed(t) % step);
      t.diagnostic(`FIGURE fault-points=${points} unsurfaced=0 hangs=0`);
    });
  }
}

test('EIO at file operations, with the jobs on threads, is told and survived', async (t) => {
  const first = runSeed(t) % THREADS_STEP;
  const points = await sweep(storeDirectory(t), { fault: 'EIO', lasting: false }, 1, THREADS_STEP, first);
  t.diagnostic(`FIGURE fault-points=${points} unsurfaced=0 hangs=0`);
});

test('short writes, all of them or some, are made up for and told to nobody', async (t) => {
  const directory = storeDirectory(t);
  for (const plan of [
    { fault: 'short-write', at: 0, lasting: true },
    { fault: 'short-write', perMillion: 300_000, seed: 7 },
  ] as const) {
    const control = new FaultControl();
    control.arm(plan);
    const report = await runScript(directory, faultySpec({ control: control.buffer }), 0);
    assert.ok(control.injectedCount > 3);
    assert.deepEqual([...report.rejected, ...report.events, ...report.hung, ...report.wrong], []);
    await checkContents(directory, report.writes, 'short writes');
    rmSync(directory, { recursive: true });
  }
});

/** Returns how many operations there were to fail. */
async function sweep(
  directory: string,
  plan: Pick<FaultPlan, 'fault' | 'lasting'>,
  threads: number,
  step: number,
  first: number,
): Promise<number> {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): number => unhandled.push(error);
  process.on('unhandledRejection', onUnhandled);
  const problems: string[] = [];
  let points = 0;
  try {
    for (let at = first; at < MOST_OPERATIONS; at += step) {
      rmSync(directory, { recursive: true, force: true });
      const control = new FaultControl();
      control.arm({ ...plan, at });
      const injected = await onePoint(directory, control, plan.fault, threads, at, problems);
      if (unhandled.length > 0) problems.push(`at ${at}: unhandled ${unhandled.splice(0).join()}`);
      if (!injected) break;
      points++;
    }
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
  assert.deepEqual(problems.slice(0, 12), [], `${problems.length} problems at ${points} fault points`);
  assert.ok(points * step > 200, `only ${points} operations could be failed`);
  return points;
}

async function onePoint(
  directory: string,
  control: FaultControl,
  fault: string,
  threads: number,
  at: number,
  problems: string[],
): Promise<boolean> {
  const startedAt = performance.now();
  const report = await runScript(directory, faultySpec({ control: control.buffer }), threads);
  const places = control.injectedPlaces();
  const injected = control.injectedCount > 0;
  control.disarm();
  const where = `at ${at} (${places.slice(0, 3).join(', ')})`;
  const isTold = report.rejected.length + report.events.length > 0 || report.becameReadOnly;
  const isBenign = (place: string): boolean =>
    BENIGN.test(place) ||
    (fault === 'EMFILE' && BENIGN_EMFILE.test(place)) ||
    (performance.now() - startedAt >= LOOK_DELAY_MS && BENIGN_LOOK.test(place));
  if (injected && !isTold && !places.every(isBenign)) problems.push(`${where}: nobody was told`);
  if (!injected && isTold)
    problems.push(`${where}: told of nothing: ${[...report.rejected, ...report.events].join(', ')}`);
  if (report.hung.length > 0) problems.push(`${where}: hangs in ${report.hung.join(', ')}`);
  if (report.wrong.length > 0) problems.push(`${where}: wrong answer for ${report.wrong.join(', ')}`);
  const leaks = control.openHandles();
  if (Object.keys(leaks).length > 0) problems.push(`${where}: handles stay open: ${JSON.stringify(leaks)}`);
  try {
    await checkContents(directory, report.writes, where);
  } catch (error) {
    problems.push(
      `${where}: ${(error as Error).message.slice(0, 200)} [${report.rejected.slice(0, 4).join(', ')}]`,
    );
  }
  return injected;
}

async function checkContents(
  directory: string,
  writes: Parameters<typeof contentProblem>[0],
  where: string,
): Promise<void> {
  const engine = await openEngine(directory, { threads: 0 }, {});
  try {
    await engine.verify();
    assert.equal(contentProblem(writes, [...engine.scan()]), undefined, where);
  } finally {
    await engine.close();
  }
}
