/** backup, listBackups, verifyBackup, restore and purgeBackups, with a directory as the target. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  backup,
  directoryTarget,
  listBackups,
  purgeBackups,
  restore,
  type TransferProgress,
  verifyBackup,
} from '../../src/main/backup.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { newPath, openAt, openTiny } from '../helpers/engines.ts';

const code = (name: string): { readonly code: string } => ({ code: name });

/** A store with some tables, and a target that is not there yet. */
async function makeStore(t: TestContext): Promise<{ engine: StorageEngine; folder: string }> {
  const engine = await openTiny(t);
  await fill(engine, 0, 300);
  // Nothing is merged by itself then.
  await engine.compact();
  return { engine, folder: `${newPath(t)}-backups` };
}

async function fill(engine: StorageEngine, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await engine.put(`key ${i}`, `${'v'.repeat(i % 90)} ${i}`);
}

function contentOf(engine: StorageEngine): string[] {
  return [...engine.scan()].map(([key, value]) => `${key} ${value}`);
}

/** Opens what was restored, looks, and closes it. */
async function restoredContent(t: TestContext, folder: string, id?: string): Promise<string[]> {
  const path = newPath(t);
  await restore(directoryTarget(folder), path, id === undefined ? {} : { id });
  const engine = await openAt(t, path);
  await engine.verify();
  return contentOf(engine);
}

test('each backup is restored as the store was, by id and the newest by default', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  assert.deepEqual(await listBackups(target), []);
  const first = await backup(engine, target);
  const before = contentOf(engine);
  assert.equal(first.position, engine.position);
  await engine.deleteRange({ prefix: 'key 1' });
  await fill(engine, 250, 350);
  const second = await backup(engine, target);
  await engine.put('later', 'than both');
  assert.deepEqual(await listBackups(target), [first, second]);
  assert.ok(first.id < second.id && first.time <= second.time);
  assert.deepEqual(await restoredContent(t, folder, first.id), before);
  const newest = await restoredContent(t, folder);
  await engine.delete('later');
  assert.deepEqual(newest, contentOf(engine));
  const path = newPath(t);
  const report = await restore(target, path, { id: second.id });
  assert.deepEqual(
    [report.id, report.position, report.files, report.bytes, report.downloadedBytes],
    [second.id, second.position, second.files, second.bytes, second.bytes],
  );
  const restored = await openAt(t, path);
  assert.equal(restored.position, second.position, 'a consumer of changes can go on from there');
});

test('a second backup uploads what is new, and none without changes uploads anything', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  const first = await backup(engine, target);
  assert.equal(first.uploadedBytes, first.bytes);
  await engine.put('one', 'more');
  const second = await backup(engine, target);
  assert.ok(second.uploadedBytes > 0 && second.uploadedBytes < first.bytes / 10, `${second.uploadedBytes}`);
  const third = await backup(engine, target);
  assert.equal(third.uploadedBytes, 0);
  assert.equal(third.bytes, second.bytes);
  // What was stored is stored once, whoever looks for it: another opening finds it by its content.
  await engine.close();
  const again = await openAt(t, engine.path);
  assert.equal((await backup(again, target)).uploadedBytes, 0);
  assert.equal(readdirSync(join(folder, 'tables')).length, second.files);
});

test('backups while writes go on are of one moment', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  let isDone = false;
  const writing = (async () => {
    // Of the two keys the second never holds more than the first.
    for (let i = 1; !isDone; i++) {
      await engine.put('a', String(i));
      await engine.put('b', String(i));
    }
  })();
  const acknowledged: number[] = [];
  for (let i = 0; i < 3; i++) {
    acknowledged.push(Number(engine.getSync('b') ?? 0));
    await backup(engine, target);
  }
  isDone = true;
  await writing;
  for (const [i, { id }] of (await listBackups(target)).entries()) {
    const content = new Map(
      (await restoredContent(t, folder, id)).map((line) => line.split(' ') as [string, string]),
    );
    const [a, b] = [Number(content.get('a') ?? 0), Number(content.get('b') ?? 0)];
    assert.ok(b === a || b === a - 1, `${a} ${b}`);
    assert.ok(b >= acknowledged[i]!, `${b} of ${acknowledged[i]} acknowledged`);
  }
});

test('progress adds up, and a signal ends a backup, a restore and what waits for them', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  const steps: TransferProgress[] = [];
  const { files, bytes } = await backup(engine, target, { onProgress: (step) => steps.push(step) });
  assert.deepEqual(steps.at(-1), {
    files,
    totalFiles: files,
    bytes,
    totalBytes: bytes,
    transferredBytes: bytes,
  });
  assert.equal(steps.length, files);
  const stop = new AbortController();
  const options = { signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) };
  const path = newPath(t);
  await assert.rejects(restore(target, path, options), /enough/);
  await assert.rejects(StorageEngine.open(path), code('STRATA_NO_DATABASE'));
  await assert.rejects(
    backup(engine, target, { signal: AbortSignal.abort(new Error('at once')) }),
    /at once/,
  );
  await assert.rejects(verifyBackup(target, { signal: AbortSignal.abort(new Error('at once')) }), /at once/);
  assert.equal((await listBackups(target)).length, 1);
  assert.deepEqual(readdirSync(join(folder, 'uploads')), []);
});

test('a reopened store goes on at once; a copy that took another way and another store are refused', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  await backup(engine, target);
  const copy = newPath(t);
  await engine.close();
  cpSync(engine.path, copy, { recursive: true });
  const original = await openAt(t, engine.path);
  await original.put('a', 'way');
  await backup(original, target);
  const other = await openAt(t, copy);
  // Also while it has written nothing: a backup of it would be a step back.
  await assert.rejects(backup(other, target), code('STRATA_CONFLICT'));
  await other.put('another', 'way');
  await assert.rejects(backup(other, target), code('STRATA_CONFLICT'));
  const stranger = await openTiny(t);
  await stranger.put('a', 'way');
  await assert.rejects(backup(stranger, target), code('STRATA_CONFLICT'));
  await original.put('goes', 'on');
  await backup(original, target);
  assert.equal((await listBackups(target)).length, 3);
});

test('a restored store goes on as a branch in the same target, beside the one that it came from', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  const first = await backup(engine, target);
  await engine.put('main', 'way');
  await backup(engine, target);
  const path = newPath(t);
  await restore(target, path, { id: first.id });
  const restored = await openAt(t, path);
  await restored.put('side', 'way');
  const side = await backup(restored, target);
  assert.ok(side.uploadedBytes < first.bytes / 10, 'it builds upon what it was restored from');
  assert.notEqual(side.branch, first.branch);
  await engine.put('main', 'goes on');
  const main = await backup(engine, target);
  assert.equal(main.branch, 'main');
  await restored.put('side', 'goes on');
  await backup(restored, target);
  assert.deepEqual(await restoredContent(t, folder), contentOf(restored));
  assert.deepEqual(await restoredContent(t, folder, main.id), contentOf(engine));
  await verifyBackup(target);
  // A copy of the branch is refused as one of the main way is.
  await restored.close();
  const copy = newPath(t);
  cpSync(path, copy, { recursive: true });
  const again = await openAt(t, path);
  await again.put('side', 'again');
  await backup(again, target);
  await assert.rejects(backup(await openAt(t, copy), target), code('STRATA_CONFLICT'));
});

test('a store that is open read-only is backed up, with the logs that it has read', async (t) => {
  const { engine, folder } = await makeStore(t);
  await engine.put('in', 'the log');
  const expected = contentOf(engine);
  await engine.close();
  const reader = await openAt(t, engine.path, { readOnly: true });
  const names = readdirSync(engine.path).sort();
  await backup(reader, directoryTarget(folder));
  assert.deepEqual(readdirSync(engine.path).sort(), names);
  assert.deepEqual(await restoredContent(t, folder), expected);
});

test('purge keeps the newest, what they need, and nothing else', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  for (let i = 0; i < 4; i++) {
    await fill(engine, i * 50, i * 50 + 60);
    await engine.compact();
    await backup(engine, target);
  }
  const all = await listBackups(target);
  const stored = (): number => readdirSync(join(folder, 'tables')).length;
  const before = stored();
  const report = await purgeBackups(target, { keep: 2 });
  assert.deepEqual(
    report.kept,
    all.slice(2).map(({ id }) => id),
  );
  assert.deepEqual(
    report.removed,
    all.slice(0, 2).map(({ id }) => id),
  );
  assert.ok(report.objects > 0 && report.bytes > 0);
  assert.equal(stored(), before - report.objects);
  assert.deepEqual(await listBackups(target), all.slice(2));
  await verifyBackup(target);
  assert.deepEqual(await restoredContent(t, folder), contentOf(engine));
  const again = await purgeBackups(target, { keep: 2 });
  assert.deepEqual([again.removed, again.objects], [[], 0]);
  assert.deepEqual(readdirSync(join(folder, 'purges')), []);
  await backup(engine, target);
  await purgeBackups(target, { keep: 1 });
  await verifyBackup(target);
});

test('purge leaves what a dead backup has written for an hour, and then revokes it', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  await backup(engine, target);
  // As a killed backup leaves it: a lease, and an object that nothing names.
  const [table = ''] = readdirSync(join(folder, 'tables'));
  const upload = '0123456789ab';
  const stray = table.replace(/-[0-9a-f]{12}\./, `-${upload}.`);
  cpSync(join(folder, 'tables', table), join(folder, 'tables', stray));
  const id = `20260101T000000000Z-${upload}`;
  const { sealText } = await import('../../src/backup/sealed-text.ts');
  const lease = join(folder, 'uploads', `${upload}.json`);
  writeFileSync(lease, sealText({ format: 1, id, reuses: [] }));
  await purgeBackups(target, { keep: 1 });
  assert.ok(existsSync(join(folder, 'tables', stray)));
  const old = new Date(Date.now() - 2 * 60 * 60 * 1000);
  utimesSync(lease, old, old);
  await purgeBackups(target, { keep: 1 });
  assert.ok(!existsSync(join(folder, 'tables', stray)));
  assert.ok(!existsSync(lease));
  assert.ok(
    existsSync(join(folder, 'backups', `${id}.json`)),
    'its name is taken, should its writer wake up',
  );
  assert.equal((await listBackups(target)).length, 1);
  await assert.rejects(verifyBackup(target, { id }), code('STRATA_INVALID_ARGUMENT'));
  await verifyBackup(target);
});

test('a closed engine is refused', async (t) => {
  const { engine, folder } = await makeStore(t);
  await engine.close();
  await assert.rejects(backup(engine, directoryTarget(folder)), code('STRATA_CLOSED'));
  assert.ok(!existsSync(folder));
});

test('an empty store is backed up and restored', async (t) => {
  const engine = await openTiny(t);
  const folder = `${newPath(t)}-backups`;
  const { files, bytes } = await backup(engine, directoryTarget(folder));
  assert.deepEqual([files, bytes], [0, 0]);
  assert.deepEqual(await restoredContent(t, folder), []);
  await fill(engine, 0, 20);
  await backup(engine, directoryTarget(folder));
  await verifyBackup(directoryTarget(folder));
});
