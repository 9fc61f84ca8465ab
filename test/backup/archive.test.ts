/**
 * The archive: what it ships, and what restores make of it, at every position and time of a random history; gaps, targets that go
 * away, stores that come back.
 *
 * STRATA_ARCHIVE_RESTORES: how many moments of the random history are restored.
 * Long: one behaviour after the other, a few lines each.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Archive,
  archive,
  backup,
  directoryTarget,
  listBackups,
  purgeBackups,
  restore,
  verifyBackup,
} from '../../src/main/backup.ts';
import { type EngineOptions, StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const OPTIONS: EngineOptions = { writeBufferSize: 64 * 1024, retainChanges: { bytes: 64 * 1024 * 1024 } };
const QUICK = { intervalMs: 20 };
const RESTORES = runBudget('STRATA_ARCHIVE_RESTORES', 6);

interface Place {
  readonly root: string;
  readonly target: ReturnType<typeof directoryTarget>;
}

function place(t: TestContext): Place {
  const root = temporaryDirectory(t);
  return { root, target: directoryTarget(join(root, 'target')) };
}

async function contents(directory: string): Promise<Map<string, string>> {
  const engine = await StorageEngine.open(directory, { readOnly: true });
  try {
    const found = new Map<string, string>();
    for (const [key, value] of engine.scan()) found.set(key.toString(), value.toString());
    return found;
  } finally {
    await engine.close();
  }
}

/** Errors of an archive, which a test looks at. */
function errorsOf(log: Archive): string[] {
  const codes: string[] = [];
  log.on('error', ({ code }) => codes.push(code));
  return codes;
}

interface Moment {
  readonly position: string;
  readonly time: number;
  readonly model: ReadonlyMap<string, string>;
}

test('a restore brings back every position and time of a random history, and nothing behind it', async (t) => {
  const random = seededRandom(runSeed(t));
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  const model = new Map<string, string>();
  const moments: Moment[] = [];
  await engine.put('first', '0');
  model.set('first', '0');
  await backup(engine, target);
  const log = archive(engine, target, QUICK);
  const codes = errorsOf(log);
  for (let step = 0; step < 40; step++) {
    await writeSomething(engine, model, random, step);
    moments.push({ position: engine.position, time: Date.now(), model: new Map(model) });
    if (random.chance(0.2)) await engine.flush();
    if (random.chance(0.1)) await engine.compact();
    if (random.chance(0.06)) await backup(engine, target);
    await sleep(2);
  }
  await log.close();
  await engine.close();
  assert.deepEqual(codes, []);
  for (let i = 0; i < RESTORES; i++) {
    const { position, time, model: expected } = random.pick(moments);
    const directory = join(root, `restored-${i}`);
    const report = await restore(target, directory, random.chance(0.5) ? { position } : { time });
    assert.deepEqual(await contents(directory), expected);
    assert.ok(report.bytes >= 0);
    rmSync(directory, { recursive: true });
  }
  const last = moments.at(-1)!;
  const restored = await restore(target, join(root, 'last'), { position: last.position });
  assert.equal(restored.position, last.position);
  const again = await StorageEngine.open(join(root, 'last'), OPTIONS);
  assert.equal(again.position, last.position);
  await again.verify();
  await again.close();
  await assert.rejects(restore(target, join(root, 'no'), { time: Date.now() + 3_600_000 }), LOST);
  assert.equal((await verifyBackup(target)).archive?.gaps, 0);
  const segments = readdirSync(join(root, 'target', 'log')).sort();
  rmSync(join(root, 'target', 'log', segments[segments.length >> 1]!));
  assert.equal((await verifyBackup(target)).archive?.gaps, 1);
});

const LOST = { code: 'STRATA_POSITION_LOST' };

async function writeSomething(
  engine: StorageEngine,
  model: Map<string, string>,
  random: ReturnType<typeof seededRandom>,
  step: number,
): Promise<void> {
  const key = (): string => `k${random.below(60)}`;
  const value = `${step}-${'v'.repeat(random.below(3_000))}`;
  const kind = random.below(10);
  if (kind < 4) {
    const one = key();
    await engine.put(one, value);
    model.set(one, value);
  } else if (kind < 6) {
    const batch = new WriteBatch();
    for (let i = 0; i < 8; i++) {
      const one = key();
      batch.put(one, value);
      model.set(one, value);
    }
    await engine.write(batch);
  } else if (kind === 6) {
    const one = key();
    await engine.delete(one);
    model.delete(one);
  } else if (kind === 7) {
    const [start, end] = [key(), key()].sort() as [string, string];
    await engine.deleteRange({ gte: start, lt: end });
    for (const one of [...model.keys()]) if (one >= start && one < end) model.delete(one);
  } else if (kind === 8) {
    const one = key();
    await engine.put(one, value, { ttl: 3_600_000 });
    model.set(one, value);
  } else {
    const records = Array.from({ length: 200 }, (_, i): [string, string] => [`load${step}-${i}`, value]);
    await engine.ingest(records);
    for (const [one, loaded] of records) model.set(one, loaded);
  }
}

test('a restore without a goal brings back all that was shipped; with an id that backup alone', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  await engine.put('a', '1');
  const { id } = await backup(engine, target);
  const log = archive(engine, target, QUICK);
  await engine.put('a', '2');
  const { position } = engine;
  await log.close();
  const shipped = log.status.time;
  await engine.close();
  const all = await restore(target, join(root, 'all'));
  assert.deepEqual([all.id, all.position, all.time], [id, position, shipped]);
  assert.equal((await contents(join(root, 'all'))).get('a'), '2');
  await restore(target, join(root, 'one'), { id });
  assert.equal((await contents(join(root, 'one'))).get('a'), '1');
  const reach = new Date(shipped).toISOString();
  await assert.rejects(restore(target, join(root, 'no'), { time: shipped + 1 }), {
    ...LOST,
    message: new RegExp(`reaches until ${reach.replaceAll('.', '\\.')}`),
  });
});

test('the moment right behind the last acknowledged write can be restored once the archive is closed', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  await backup(engine, target);
  for (let i = 0; i < 8; i++) {
    const log = archive(engine, target, QUICK);
    await engine.put('a', `${i}`);
    const time = Date.now();
    if (i % 2 === 0) await sleep(30);
    await log.close();
    assert.ok(log.status.time >= time, `${log.status.time} < ${time}`);
    if (i < 6) continue;
    await restore(target, join(root, `${i}`), { time });
    assert.equal((await contents(join(root, `${i}`))).get('a'), `${i}`);
  }
  await engine.close();
});

test('a store that was restored goes on in the same target, and both ways can be restored', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  await engine.put('a', '1');
  await backup(engine, target);
  const log = archive(engine, target, QUICK);
  await engine.put('a', '2');
  const forked = engine.position;
  await engine.put('a', 'lost');
  const behind = engine.position;
  const before = Date.now();
  await log.close();
  await engine.close();

  await restore(target, join(root, 'new'), { position: forked });
  const restored = await StorageEngine.open(join(root, 'new'), OPTIONS);
  assert.equal(restored.position, forked);
  const next = archive(restored, target, QUICK);
  const codes = errorsOf(next);
  await restored.put('b', '2');
  const first = { position: restored.position, time: Date.now() };
  await sleep(5);
  await restored.put('b', '3');
  const onBranch = restored.position;
  await next.close();
  // Nothing but the backup of its parent leads to it.
  for (const goal of [{ position: first.position }, { time: first.time }]) {
    const directory = join(root, `first-${Object.keys(goal)[0]}`);
    await restore(target, directory, goal);
    assert.deepEqual(
      [...(await contents(directory))],
      [
        ['a', '2'],
        ['b', '2'],
      ],
    );
  }
  await restore(target, join(root, 'latest'), { position: onBranch });
  await backup(restored, target);
  await restored.close();
  assert.deepEqual(codes, []);

  await restore(target, join(root, 'branch'), { position: onBranch });
  assert.deepEqual(
    [...(await contents(join(root, 'branch')))],
    [
      ['a', '2'],
      ['b', '3'],
    ],
  );
  await restore(target, join(root, 'main'), { position: behind });
  // At that time the branch was not there yet.
  await restore(target, join(root, 'before'), { time: before });
  assert.deepEqual([...(await contents(join(root, 'before')))], [['a', 'lost']]);
  assert.deepEqual([...(await contents(join(root, 'main')))], [['a', 'lost']]);
  assert.equal((await listBackups(target)).length, 2);
});

test('an archive whose target is away says so once, and ships what it has when it is back', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  await engine.put('a', '1');
  await backup(engine, target);
  const log = archive(engine, target, { ...QUICK, timeoutMs: 200 });
  const codes = errorsOf(log);
  await engine.put('a', '2');
  await until(() => log.status.segments > 0);
  renameSync(join(root, 'target'), join(root, 'away'));
  writeFileSync(join(root, 'target'), 'a file is in the way');
  await engine.put('a', '3');
  await until(() => log.status.state === 'retrying');
  const { position } = engine;
  rmSync(join(root, 'target'));
  renameSync(join(root, 'away'), join(root, 'target'));
  await until(() => log.status.position === position);
  assert.deepEqual(codes, ['STRATA_IO']);
  await log.close();
  await engine.close();
  await restore(target, join(root, 'back'), { position });
  assert.deepEqual([...(await contents(join(root, 'back')))], [['a', '3']]);
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await sleep(5);
}

test('an archive that falls behind what is retained reports a gap, which the next backup closes', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), { writeBufferSize: 64 * 1024 });
  await engine.put('a', '1');
  await backup(engine, target);
  const before = archive(engine, target, QUICK);
  await engine.put('a', '2');
  const reached = engine.position;
  await before.close();
  // Nobody archives this, and it is in tables before anybody does.
  await engine.put('a', 'in the gap');
  const inGap = engine.position;
  await engine.flush();
  const log = archive(engine, target, QUICK);
  const codes = errorsOf(log);
  await until(() => codes.length > 0);
  assert.deepEqual(codes, ['STRATA_POSITION_LOST']);
  await engine.put('a', '4');
  const { position: unreached } = engine;
  await engine.put('a', '4+');
  const shipped = engine.position;
  await until(() => log.status.position === shipped);
  assert.equal(log.status.gaps, 1);
  await backup(engine, target);
  await engine.put('a', '5');
  const { position } = engine;
  await log.close();
  await engine.close();
  assert.equal((await verifyBackup(target)).archive?.gaps, 1);
  await restore(target, join(root, 'reached'), { position: reached });
  for (const lost of [inGap, unreached])
    await assert.rejects(restore(target, join(root, 'no'), { position: lost }), LOST);
  await restore(target, join(root, 'behind'), { position });
  assert.deepEqual([...(await contents(join(root, 'behind')))], [['a', '5']]);
});

test('an archive that keeps up loses nothing to flushes, whatever the store retains', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), { writeBufferSize: 64 * 1024 });
  await backup(engine, target);
  const log = archive(engine, target, QUICK);
  const codes = errorsOf(log);
  for (let i = 0; i < 300; i++) {
    await engine.put(`k${i}`, 'v'.repeat(1_000));
    if (i % 20 === 0) await engine.flush();
  }
  const { position } = engine;
  await engine.flush();
  await log.close();
  assert.deepEqual([codes, log.status.gaps], [[], 0]);
  await engine.close();
  await restore(target, join(root, 'restored'), { position });
  assert.equal((await contents(join(root, 'restored'))).size, 300);
});

test('a copy that goes another way is refused, and what it has shipped is in no history', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  await engine.put('a', '1');
  await backup(engine, target);
  await engine.close();
  cpSync(join(root, 'db'), join(root, 'copy'), { recursive: true });
  const original = await StorageEngine.open(join(root, 'db'), OPTIONS);
  const copy = await StorageEngine.open(join(root, 'copy'), OPTIONS);
  const first = archive(original, target, QUICK);
  await original.put('a', 'original');
  await first.close();
  await copy.put('a', 'copy');
  const second = archive(copy, target, QUICK);
  const codes = errorsOf(second);
  await assert.rejects(second.close(), { code: 'STRATA_CONFLICT' });
  assert.deepEqual(codes, ['STRATA_CONFLICT']);
  assert.equal(second.status.state, 'failed');
  await assert.rejects(backup(copy, target), { code: 'STRATA_CONFLICT' });
  const { position } = original;
  await Promise.all([original.close(), copy.close()]);
  await restore(target, join(root, 'restored'), { position });
  assert.deepEqual([...(await contents(join(root, 'restored')))], [['a', 'original']]);
});

test('purge keeps the segments that lead on from a backup that stays', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  const log = archive(engine, target, QUICK);
  const positions: string[] = [];
  for (let i = 0; i < 4; i++) {
    await engine.put('a', `${i}`);
    await backup(engine, target);
    await engine.put('a', `${i}+`);
    const { position } = engine;
    positions.push(position);
    await until(() => log.status.position === position);
  }
  await purgeBackups(target, { keep: 2 });
  await log.close();
  await engine.close();
  for (const [i, position] of positions.entries()) {
    const restored = restore(target, join(root, `${i}`), { position });
    if (i < 2) await assert.rejects(restored, LOST);
    else {
      await restored;
      assert.equal((await contents(join(root, `${i}`))).get('a'), `${i}+`);
    }
  }
});

test('a flipped byte in any segment is found, and never restored', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'), OPTIONS);
  await engine.put('a', '1');
  await backup(engine, target);
  const log = archive(engine, target, QUICK);
  await engine.write(new WriteBatch().put('a', '2').put('b', '3'));
  const { position } = engine;
  await log.close();
  await engine.close();
  const folder = join(root, 'target', 'log');
  const [name] = readdirSync(folder);
  const path = join(folder, name!);
  const sound = readFileSync(path);
  for (let at = 0; at < sound.length; at += 7) {
    const bytes = Buffer.from(sound);
    bytes[at]! ^= 1 << (at % 8);
    writeFileSync(path, bytes);
    await assert.rejects(verifyBackup(target), { code: 'STRATA_CORRUPTION' });
  }
  await assert.rejects(restore(target, join(root, 'no'), { position }), { code: 'STRATA_CORRUPTION' });
  writeFileSync(path, sound);
  await verifyBackup(target);
  // What the failed restore has left behind is taken up.
  await restore(target, join(root, 'no'), { position });
  assert.deepEqual(
    [...(await contents(join(root, 'no')))],
    [
      ['a', '2'],
      ['b', '3'],
    ],
  );
});

test('bad input is refused in the call', async (t) => {
  const { root, target } = place(t);
  const engine = await StorageEngine.open(join(root, 'db'));
  const INVALID = { code: 'STRATA_INVALID_ARGUMENT' };
  for (const intervalMs of [0, -1, 1.5, '1', Number.NaN])
    assert.throws(() => archive(engine, target, { intervalMs } as never), INVALID);
  assert.throws(() => archive({} as never, target), INVALID);
  assert.throws(() => archive(engine, {} as never), INVALID);
  mkdirSync(join(root, 'target'));
  await assert.rejects(restore(target, join(root, 'x'), { position: 'no position' }), INVALID);
  await assert.rejects(restore(target, join(root, 'x'), { time: 1, id: 'x' }), INVALID);
  await engine.close();
  assert.throws(() => archive(engine, target), { code: 'STRATA_CLOSED' });
});
