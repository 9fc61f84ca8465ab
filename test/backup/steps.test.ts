/**
 * Backups, purges and restores that are killed, at each of their steps: what was whole stays so, what is half-made looks like
 * nothing, and the same call again finishes.
 *
 * STRATA_BACKUP_STEP: each n-th step only. 1: all of them.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { directoryTargetOn } from '../../src/backup/directory-target.ts';
import { restoreWith } from '../../src/backup/restore.ts';
import {
  archive,
  type BackupTarget,
  backup,
  directoryTarget,
  listBackups,
  purgeBackups,
  restore,
  verifyBackup,
} from '../../src/main/backup.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { DyingDisk } from '../helpers/dying-file-system.ts';
import { newPath, openAt, openTiny } from '../helpers/engines.ts';
import { runBudget } from '../helpers/run-budget.ts';

const STEP = runBudget('STRATA_BACKUP_STEP', 5);

/** A store, and a target with `count` backups of it; the last ones differ in a few keys. */
async function makeBackups(
  t: TestContext,
  count: number,
): Promise<{ readonly engine: StorageEngine; readonly template: string }> {
  const engine = await openTiny(t);
  const template = `${newPath(t)}-backups`;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < 60; j++) await engine.put(`key ${j * (i + 1)}`, `value ${i} ${j}`);
    await engine.compact();
    await backup(engine, directoryTarget(template));
  }
  return { engine, template };
}

function contentOf(engine: StorageEngine): string {
  return [...engine.scan()].map(([key, value]) => `${key} ${value}`).join('\n');
}

/** Runs `work` with a target that dies at change 0, STEP, 2 * STEP and so on, until it does not die any more. */
async function atEachStep(
  t: TestContext,
  template: string,
  work: (target: BackupTarget) => Promise<unknown>,
  check: (target: BackupTarget, folder: string) => Promise<void>,
): Promise<void> {
  const folder = `${newPath(t)}-target`;
  for (let step = 0; ; step += STEP) {
    rmSync(folder, { recursive: true, force: true });
    cpSync(template, folder, { recursive: true });
    const disk = new DyingDisk(step);
    const [outcome] = await Promise.allSettled([work(directoryTargetOn(disk.fs, folder))]);
    // What is left of the call is cleaning up, which may fail.
    if (!disk.isDead) assert.equal(outcome.status, 'fulfilled');
    await check(directoryTarget(folder), folder);
    if (disk.isDead) continue;
    t.diagnostic(`FIGURE backup-steps=${disk.changes}`);
    assert.ok(disk.changes > 10);
    return;
  }
}

test('a backup that is killed at any step does not exist, and the next one is whole', async (t) => {
  const { engine, template } = await makeBackups(t, 2);
  await engine.put('a', 'change');
  await engine.flush();
  const before = (await listBackups(directoryTarget(template))).length;
  await atEachStep(
    t,
    template,
    (target) => backup(engine, target),
    async (target, folder) => {
      const found = (await listBackups(target)).length;
      assert.ok(found === before || found === before + 1, `${found}`);
      await verifyBackup(target);
      await purgeBackups(target, { keep: 3 });
      await backup(engine, target);
      await verifyBackup(target);
      const path = newPath(t);
      await restore(target, path);
      const restored = await openAt(t, path);
      assert.equal(contentOf(restored), contentOf(engine));
      await restored.close();
      assert.ok(readdirSync(join(folder, 'branches')).length <= 5);
    },
  );
});

test('a purge that is killed at any step has deleted nothing that is needed, and the next one finishes', async (t) => {
  const { template } = await makeBackups(t, 4);
  const ids = (await listBackups(directoryTarget(template))).map(({ id }) => id);
  await atEachStep(
    t,
    template,
    (target) => purgeBackups(target, { keep: 2 }),
    async (target, folder) => {
      const left = (await listBackups(target)).map(({ id }) => id);
      assert.deepEqual(left, ids.slice(-left.length));
      assert.ok(left.length >= 2);
      await verifyBackup(target);
      const { kept } = await purgeBackups(target, { keep: 2 });
      assert.deepEqual(kept, ids.slice(2));
      const { objects } = await verifyBackup(target);
      const stored = readdirSync(join(folder, 'tables')).filter((name) => !name.endsWith('.tmp'));
      assert.equal(stored.length, objects, 'nothing is left that nobody needs');
      assert.deepEqual(
        readdirSync(join(folder, 'purges')).filter((name) => name.endsWith('.json')),
        [],
      );
    },
  );
});

test('a restore that is killed at any step is not openable, and is finished by the next one', async (t) => {
  const { engine, template } = await makeBackups(t, 2);
  const target = directoryTarget(template);
  const [first, second] = await listBackups(target);
  const path = newPath(t);
  let half = 0;
  for (let step = 0; ; step += STEP) {
    rmSync(path, { recursive: true, force: true });
    const disk = new DyingDisk(step);
    const [outcome] = await Promise.allSettled([
      restoreWith({ open: StorageEngine.open, fileSystem: disk.fs }, target, path),
    ]);
    if (!disk.isDead) assert.equal(outcome.status, 'fulfilled');
    const isWhole = existsSync(join(path, 'manifest.json'));
    if (!isWhole && existsSync(join(path, 'restoring'))) {
      half++;
      for (const options of [{}, { readOnly: true }, { createIfMissing: false }])
        await assert.rejects(StorageEngine.open(path, options), { code: 'STRATA_NO_DATABASE' });
      await assert.rejects(StorageEngine.repair(path), { code: 'STRATA_NO_DATABASE' });
      // Another backup than the one that was interrupted: nothing of that may be left.
      if (half % 3 === 0) {
        await restore(target, path, { id: first!.id });
        assert.equal(engine.position === first!.position, false);
        rmSync(path, { recursive: true, force: true });
        await Promise.allSettled([
          restoreWith({ open: StorageEngine.open, fileSystem: new DyingDisk(step).fs }, target, path),
        ]);
      }
    }
    // Without it only the last sync was missing.
    if (disk.isDead && (!isWhole || existsSync(join(path, 'restoring')))) {
      const report = await restore(target, path);
      assert.equal(report.id, second!.id);
      assert.ok(!existsSync(join(path, 'restoring')));
      await assert.rejects(restore(target, path), { code: 'STRATA_EXISTS' });
    }
    const restored = await openAt(t, path);
    assert.equal(contentOf(restored), contentOf(engine));
    await restored.verify();
    await restored.close();
    if (disk.isDead) continue;
    t.diagnostic(`FIGURE backup-steps=${disk.changes}`);
    assert.ok(half > 3);
    return;
  }
});

test('a restore to a position that is killed at any step is not openable, and is finished by the next one', async (t) => {
  const { engine, template } = await makeBackups(t, 2);
  const target = directoryTarget(template);
  const log = archive(engine, target, { intervalMs: 10 });
  for (let i = 0; i < 40; i++) await engine.put(`key ${i}`, `archived ${i}`);
  const { position } = engine;
  const expected = contentOf(engine);
  await engine.deleteRange({ all: true });
  await log.close();
  const path = newPath(t);
  for (let step = 0; ; step += STEP) {
    rmSync(path, { recursive: true, force: true });
    const disk = new DyingDisk(step);
    await Promise.allSettled([
      restoreWith({ open: StorageEngine.open, fileSystem: disk.fs }, target, path, { position }),
    ]);
    const isWhole = existsSync(join(path, 'manifest.json'));
    if (!isWhole && existsSync(join(path, 'restoring')))
      await assert.rejects(StorageEngine.open(path), { code: 'STRATA_NO_DATABASE' });
    if (disk.isDead && (!isWhole || existsSync(join(path, 'restoring'))))
      assert.equal((await restore(target, path, { position })).position, position);
    const restored = await openAt(t, path);
    assert.equal(restored.position, position);
    assert.equal(contentOf(restored), expected);
    await restored.close();
    if (!disk.isDead) return;
  }
});

test('what is needed is durable before what names it, in a target and in a restored store', async (t) => {
  const { engine, template } = await makeBackups(t, 1);
  await engine.put('a', 'change');
  const written = new DyingDisk();
  const { id } = await backup(engine, directoryTargetOn(written.fs, template));
  const description = written.log.findIndex(
    (line) => line.startsWith('linkAsync') && line.endsWith(`${id}.json`),
  );
  const tip = written.log.findIndex((line) => line.startsWith('linkAsync') && line.includes('/branches/'));
  inOrder(written.log.slice(0, description), join(template, 'tables'), '.tmp');
  assert.ok(
    tip > 0 &&
      written.log.slice(tip, description).includes(`syncDirectoryAsync ${join(template, 'branches')}`),
  );
  assert.ok(written.log.slice(description).includes(`syncDirectoryAsync ${join(template, 'backups')}`));

  const restored = new DyingDisk();
  const path = newPath(t);
  await restoreWith({ open: StorageEngine.open, fileSystem: restored.fs }, directoryTarget(template), path);
  const isManifest = (line: string): boolean =>
    line === `renameAsync ${path}/restoring/manifest.json ${path}/manifest.json`;
  const manifest = restored.log.findIndex(isManifest);
  inOrder(restored.log.slice(0, manifest), path, '.sst');
  assert.equal(restored.log[manifest + 1], `syncDirectoryAsync ${path}`);
  assert.ok(restored.log.includes(`syncDirectoryAsync ${join(path, '..')}`), 'the directory itself');
});

/** Each file of `ending` was synced after its last write and before it got its name, and the directory after all names. */
function inOrder(log: readonly string[], directory: string, ending: string): void {
  const paths = new Set(log.flatMap((line) => (/^writeAt\w* (.*)/.exec(line)?.[1] ?? '').match(/.+/) ?? []));
  const files = [...paths].filter((path) => path.startsWith(directory) && path.endsWith(ending));
  assert.ok(files.length > 0);
  for (const path of files) {
    const last = (start: string): number => log.findLastIndex((line) => line.startsWith(`${start} ${path}`));
    assert.ok(last('writeAtAsync') < last('datasyncAsync'), path);
    assert.ok(last('datasyncAsync') < last('renameAsync'), path);
    assert.ok(last('renameAsync') < log.lastIndexOf(`syncDirectoryAsync ${directory}`), path);
  }
}
