/**
 * Two owners and purges upon one target at the same time; processes that are stopped for long and wake up, or die. Whatever
 * happens, each backup that is listed is whole, and what is kept stays.
 *
 * STRATA_BACKUP_ROUNDS: how many rounds of chance. STRATA_BACKUP_STEP: each n-th step only. 1: all of them.
 */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { backup, listBackups, purgeBackups, restore, verifyBackup } from '../../src/main/backup.ts';
import type { StorageEngine } from '../../src/main/index.ts';
import { newPath, openAt, openTiny } from '../helpers/engines.ts';
import { MemoryTarget } from '../helpers/memory-target.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const ROUNDS = runBudget('STRATA_BACKUP_ROUNDS', 10);
/** Each n-th step. */
const STEP = runBudget('STRATA_BACKUP_STEP', 3);
const LONG_MS = 2 * 60 * 60 * 1000;

/** A store and one restored from it, which have a target in common. */
async function makeOwners(
  t: TestContext,
): Promise<{ readonly target: MemoryTarget; readonly owners: readonly StorageEngine[] }> {
  const target = new MemoryTarget();
  const first = await openTiny(t);
  for (let i = 0; i < 200; i++) await first.put(`key ${i}`, 'v'.repeat(i % 50));
  await backup(first, target);
  const path = newPath(t);
  await restore(target, path);
  return { target, owners: [first, await openAt(t, path)] };
}

/** A call whose process stands still from before its n-th operation on, until it is let go on. */
class Stopped {
  readonly target: MemoryTarget;
  readonly reached: Promise<void>;
  resume: () => void = () => undefined;
  operations = 0;

  constructor(objects: MemoryTarget['objects'], at: number) {
    this.target = new MemoryTarget(objects);
    const wait = new Promise<void>((resolve) => {
      this.resume = resolve;
    });
    this.reached = new Promise((resolve) => {
      this.target.before = async () => {
        if (this.operations++ < at) return;
        resolve();
        await wait;
      };
    });
  }
}

test('a backup that is stopped before any step, and purged around, is whole or gives up', async (t) => {
  const { target, owners } = await makeOwners(t);
  const [first, second] = owners as [StorageEngine, StorageEngine];
  for (let at = 0, isOver = false; !isOver; at += STEP) {
    for (const isAged of [false, true]) {
      await first.put('turn', `${at} ${isAged}`);
      const stopped = new Stopped(target.objects, at);
      const work = backup(first, stopped.target);
      work.catch(() => undefined);
      await Promise.race([stopped.reached, work]);
      // Meanwhile the other owner's backups push all others out.
      for (let i = 0; i < 2; i++) {
        await second.put('turn', `${at} ${i}`);
        if (i === 0) await second.compact();
        await backup(second, target);
      }
      if (isAged) target.objects.age(LONG_MS);
      await purgeBackups(target, { keep: 1 });
      stopped.resume();
      const [outcome] = await Promise.allSettled([work]);
      if (outcome.status === 'rejected') {
        assert.equal((outcome.reason as { code?: string }).code, 'STRATA_CONFLICT', String(outcome.reason));
        assert.ok(isAged, 'only one that was not heard of for long is given up');
      }
      await verifyBackup(target);
      isOver = stopped.operations <= at;
    }
  }
});

test('a purge that is stopped before any step deletes nothing that is built upon meanwhile', async (t) => {
  const { target, owners } = await makeOwners(t);
  const [first, second] = owners as [StorageEngine, StorageEngine];
  for (let at = 0, isOver = false; !isOver; at += STEP) {
    // Garbage that the next backup would like to build upon: a backup of what is there, which its tables outlive.
    await first.put('turn', `first ${at}`);
    await backup(first, target);
    await second.put('turn', `second ${at}`);
    await backup(second, target);
    const stopped = new Stopped(target.objects, at);
    const work = purgeBackups(stopped.target, { keep: 1 });
    await Promise.race([stopped.reached, work]);
    await backup(first, target);
    if (at % 2 === 1) await purgeBackups(target, { keep: 1 });
    const { id } = await backup(first, target);
    stopped.resume();
    await work;
    const ids = (await listBackups(target)).map((one) => one.id);
    assert.ok(ids.includes(id), 'the newest stays, though it came into being meanwhile');
    await verifyBackup(target);
    isOver = stopped.operations <= at;
  }
  await purgeBackups(target, { keep: 1 });
  const { objects } = await verifyBackup(target);
  assert.equal(target.objects.keys('tables/').length, objects);
  assert.deepEqual(target.objects.keys('purges/'), []);
});

test('a backup that begins within a purge, and ends after it', async (t) => {
  const random = seededRandom(runSeed(t));
  const { target, owners } = await makeOwners(t);
  const [first, second] = owners as [StorageEngine, StorageEngine];
  for (let round = 0; round < ROUNDS; round++) {
    await first.put('turn', `first ${round}`);
    await backup(first, target);
    await second.put('turn', `second ${round}`);
    await backup(second, target);
    // Within these lie the looks of a purge at leases and backups, and those of a backup at what it may build upon.
    const stoppedPurge = new Stopped(target.objects, random.between(4, 20));
    const purging = purgeBackups(stoppedPurge.target, { keep: 1 });
    await Promise.race([stoppedPurge.reached, purging]);
    const stoppedBackup = new Stopped(target.objects, random.between(4, 24));
    const backingUp = backup(first, stoppedBackup.target);
    await Promise.race([stoppedBackup.reached, backingUp]);
    stoppedPurge.resume();
    await purging;
    stoppedBackup.resume();
    await backingUp;
    await verifyBackup(target);
  }
});

test('two that back up copies of one store at the same time: one wins, or both were the same', async (t) => {
  const target = new MemoryTarget();
  const first = await openTiny(t);
  await first.put('a', '1');
  await backup(first, target);
  await first.close();
  const copy = newPath(t);
  cpSync(first.path, copy, { recursive: true });
  const [one, other] = [await openAt(t, first.path), await openAt(t, copy)];
  await one.put('a', '2');
  await other.put('a', '3');
  const outcomes = await Promise.allSettled([backup(one, target), backup(other, target)]);
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  const lost = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
  assert.equal((lost.reason as { code?: string }).code, 'STRATA_CONFLICT');
  assert.equal((await listBackups(target)).length, 2);
  const [winner, loser] = outcomes[0]!.status === 'fulfilled' ? [one, other] : [other, one];
  await winner.put('a', '4');
  await backup(winner, target);
  await assert.rejects(backup(loser, target), { code: 'STRATA_CONFLICT' });
});

test('backups, purges and deaths by chance: what is listed is whole, and restored as it was', async (t) => {
  const seed = runSeed(t);
  const random = seededRandom(seed);
  const { target, owners } = await makeOwners(t);
  const states = new Map<string, string>();
  let deaths = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const jobs: Promise<unknown>[] = [];
    for (const engine of owners) {
      await engine.put(`key ${random.below(200)}`, `round ${round}`);
      if (random.chance(0.3)) await engine.compact();
      const content = contentOf(engine);
      const { view, died } = mortal(random, target);
      jobs.push(
        backup(engine, view).then(
          ({ id }) => states.set(id, content),
          (error: unknown) => {
            if (!died()) throw error;
            deaths++;
          },
        ),
      );
    }
    if (random.chance(0.5)) {
      const { view, died } = mortal(random, target);
      jobs.push(
        purgeBackups(view, { keep: 1 + random.below(3) }).catch((error: unknown) => {
          if (!died()) throw error;
          deaths++;
        }),
      );
    }
    await Promise.all(jobs);
    if (random.chance(0.2)) target.objects.age(LONG_MS);
    await verifyBackup(target);
  }
  const left = await listBackups(target);
  assert.ok(left.length > 0);
  for (const { id } of left.slice(-3)) {
    const path = newPath(t);
    await restore(target, path, { id });
    // Of a backup that died when it had come into being nobody was told.
    if (states.has(id)) assert.equal(contentOf(await openAt(t, path)), states.get(id));
  }
  t.diagnostic(`FIGURE backup-deaths=${deaths}`);
});

/** A view of the target that dawdles, and may die before or after any operation. */
function mortal(
  random: Random,
  target: MemoryTarget,
): { readonly view: MemoryTarget; readonly died: () => boolean } {
  const view = new MemoryTarget(target.objects);
  let rest = random.chance(0.4) ? random.below(30) : Number.POSITIVE_INFINITY;
  const step = async (): Promise<void> => {
    for (let turns = random.below(4); turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve));
    if (rest-- <= 0) throw new Error('the process has died');
  };
  view.before = step;
  view.after = step;
  return { view, died: () => rest < 0 };
}

function contentOf(engine: StorageEngine): string {
  return [...engine.scan()].map(([key, value]) => `${key} ${value}`).join('\n');
}
