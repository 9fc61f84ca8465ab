/**
 * What is wrong with a target, a directory, a backup or a call: always a code, and nothing half-made.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { directoryTargetOn } from '../../src/backup/directory-target.ts';
import {
  backup,
  directoryTarget,
  listBackups,
  purgeBackups,
  restore,
  verifyBackup,
} from '../../src/main/backup.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { DyingDisk } from '../helpers/dying-file-system.ts';
import { newPath, openTiny } from '../helpers/engines.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const code = (name: string): { readonly code: string } => ({ code: name });

/** A store with some tables, and a target that is not there yet. */
async function makeStore(t: TestContext): Promise<{ engine: StorageEngine; folder: string }> {
  const engine = await openTiny(t);
  await fill(engine, 0, 300);
  return { engine, folder: `${newPath(t)}-backups` };
}

async function fill(engine: StorageEngine, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await engine.put(`key ${i}`, `${'v'.repeat(i % 90)} ${i}`);
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();
}

test('a flipped byte in any stored object is found, by verify and by restore', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  await backup(engine, target);
  await engine.put('one', 'more');
  await backup(engine, target);
  let flips = 0;
  for (const name of filesIn(folder)) {
    // What is behind the newest version of a tip is only there for readers that have just looked.
    if (
      name.startsWith('branches') &&
      filesIn(join(folder, 'branches')).at(-1) !== name.slice('branches/'.length)
    )
      continue;
    const path = join(folder, name);
    const sound = readFileSync(path);
    const places = name.startsWith('tables')
      ? [0, sound.length >> 1, sound.length - 1]
      : [...sound.keys()].filter((at) => at === sound.length - 1 || at % Math.ceil(sound.length / 25) === 0);
    for (const at of places) {
      const damaged = Buffer.from(sound);
      damaged[at]! ^= 1 << (at % 8);
      writeFileSync(path, damaged);
      await assert.rejects(
        verifyBackup(target),
        /STRATA_CORRUPTION|STRATA_UNSUPPORTED|corruption/,
        `${name} ${at}`,
      );
      flips++;
    }
    writeFileSync(path, sound.subarray(0, sound.length - 1));
    await assert.rejects(verifyBackup(target), code('STRATA_CORRUPTION'), `${name}, cut short`);
    if (name.startsWith('tables')) {
      const copy = newPath(t);
      await assert.rejects(restore(target, copy), code('STRATA_CORRUPTION'));
      await assert.rejects(StorageEngine.open(copy), code('STRATA_NO_DATABASE'));
    }
    writeFileSync(path, sound);
  }
  t.diagnostic(`FIGURE backup-flips=${flips}`);
  await verifyBackup(target);
});

test('beside a damaged description the other backups can be restored; without it all goes on', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  const first = await backup(engine, target);
  await engine.put('a', 'b');
  const second = await backup(engine, target);
  const path = join(folder, 'backups', `${second.id}.json`);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
  await assert.rejects(listBackups(target), code('STRATA_CORRUPTION'));
  await assert.rejects(backup(engine, target), code('STRATA_CORRUPTION'));
  await assert.rejects(purgeBackups(target, { keep: 1 }), code('STRATA_CORRUPTION'));
  await assert.rejects(restore(target, newPath(t)), code('STRATA_CORRUPTION'));
  await restore(target, newPath(t), { id: first.id });
  rmSync(path);
  await backup(engine, target);
  await purgeBackups(target, { keep: 1 });
  await verifyBackup(target);
});

test('a backup that goes through damage of the store says so, and does not come into being', async (t) => {
  const { engine, folder } = await makeStore(t);
  await engine.flush();
  const [name = ''] = readdirSync(engine.path).filter((file) => file.endsWith('.sst'));
  const bytes = readFileSync(join(engine.path, name));
  bytes[9]! ^= 1;
  writeFileSync(join(engine.path, name), bytes);
  await assert.rejects(backup(engine, directoryTarget(folder)), (error: Error & { file?: string }) => {
    assert.equal((error as { code?: string }).code, 'STRATA_CORRUPTION');
    assert.equal(error.file, join(engine.path, name));
    return true;
  });
  assert.deepEqual(await listBackups(directoryTarget(folder)), []);
});

test('a place that holds something else, a newer format, and what is no target are refused', async (t) => {
  const { engine, folder } = await makeStore(t);
  mkdirSync(folder);
  writeFileSync(join(folder, 'holiday.jpg'), 'x');
  const target = directoryTarget(folder);
  for (const call of [
    () => backup(engine, target),
    () => listBackups(target),
    () => purgeBackups(target, { keep: 1 }),
    () => restore(target, newPath(t)),
  ])
    await assert.rejects(call(), code('STRATA_EXISTS'));
  assert.deepEqual(filesIn(folder), ['holiday.jpg']);
  const nothing = directoryTarget(`${folder}-2`);
  await assert.rejects(restore(nothing, newPath(t)), code('STRATA_NO_DATABASE'));
  await assert.rejects(verifyBackup(nothing), code('STRATA_NO_DATABASE'));
  assert.ok(!existsSync(`${folder}-2`));
  const { sealText } = await import('../../src/backup/sealed-text.ts');
  mkdirSync(`${folder}-3`);
  writeFileSync(join(`${folder}-3`, 'stratakv-backup.json'), sealText({ format: 2, shape: 'unknown' }));
  await assert.rejects(backup(engine, directoryTarget(`${folder}-3`)), code('STRATA_UNSUPPORTED'));
  for (const bad of [undefined, null, {}, 'a path', 7])
    await assert.rejects(backup(engine, bad as never), code('STRATA_INVALID_ARGUMENT'));
  assert.throws(() => directoryTarget(''), code('STRATA_INVALID_ARGUMENT'));
  writeFileSync(`${folder}-4`, 'a file');
  await assert.rejects(backup(engine, directoryTarget(`${folder}-4`)), code('STRATA_IO'));
});

test('options that are wrong are refused, and unknown backups', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  const { id, position, time } = await backup(engine, target);
  const refused = code('STRATA_INVALID_ARGUMENT');
  const path = newPath(t);
  for (const options of [
    { timeoutMs: 0 },
    { concurrency: 1.5 },
    { unknown: 1 },
    { onProgress: 1 },
    { signal: 1 },
  ])
    await assert.rejects(backup(engine, target, options as never), refused, JSON.stringify(options));
  for (const options of [{ id: 'x' }, { id: 7 }, { id, position }, { time: -1 }, { id: `${id}0` }])
    await assert.rejects(restore(target, path, options as never), refused, JSON.stringify(options));
  for (const options of [undefined, {}, { keep: 0 }, { keep: '2' }])
    await assert.rejects(purgeBackups(target, options as never), refused, JSON.stringify(options));
  await assert.rejects(verifyBackup(target, { id: '20260101T000000000Z-0123456789ab' }), refused);
  await engine.put('a', 'b');
  await assert.rejects(restore(target, path, { position: engine.position }), code('STRATA_POSITION_LOST'));
  await assert.rejects(restore(target, path, { time: 1 }), code('STRATA_POSITION_LOST'));
  assert.ok(!existsSync(path), 'nothing was made');
  await restore(target, path, { position });
  assert.equal((await restore(target, `${path}-2`, { time })).id, id);
});

test('restore leaves a directory with anything in it alone', async (t) => {
  const { engine, folder } = await makeStore(t);
  const target = directoryTarget(folder);
  await backup(engine, target);
  const path = newPath(t);
  mkdirSync(path);
  writeFileSync(join(path, 'mine'), 'x');
  await assert.rejects(restore(target, path), code('STRATA_EXISTS'));
  assert.deepEqual(readdirSync(path), ['mine']);
  await assert.rejects(restore(target, join(path, 'mine')), code('STRATA_EXISTS'));
  await assert.rejects(restore(target, engine.path), code('STRATA_EXISTS'));
  const empty = `${path}-empty`;
  mkdirSync(empty);
  await restore(target, empty);
  await assert.rejects(restore(target, empty), code('STRATA_EXISTS'));
});

const CHILD = fileURLToPath(new URL(`./full-target-child${extname(import.meta.url)}`, import.meta.url));
const canMount =
  process.platform === 'linux' &&
  spawnSync('unshare', ['-Urm', 'sh', '-c', 'mount -t tmpfs -o size=64k tmpfs /tmp']).status === 0;

test('a disk that is full: a backup and a restore say so, leave nothing that looks whole, and with room again go on', {
  skip: !canMount && 'needs Linux and the right to mount a tmpfs in a namespace',
}, async (t) => {
  const folder = temporaryDirectory(t);
  const script = 'mount -t tmpfs -o size=256k tmpfs "$1" && exec "$2" "$3" "$1"';
  const child = spawnSync('unshare', ['-Urm', 'sh', '-c', script, 'sh', folder, process.execPath, CHILD], {
    encoding: 'utf8',
    timeout: 50_000,
  });
  assert.equal(child.status, 0, `${child.stdout}${child.stderr}`);
  assert.deepEqual(JSON.parse(child.stdout), {
    backup: 'STRATA_IO ENOSPC',
    listed: 1,
    verified: 1,
    restore: 'STRATA_IO ENOSPC',
    open: 'STRATA_NO_DATABASE',
    backupWithRoom: 'ok',
    restoreWithRoom: 'ok',
    sound: true,
  });
});

test('a target that may not be written to can be read', async (t) => {
  const { engine, folder } = await makeStore(t);
  await backup(engine, directoryTarget(folder));
  const disk = new DyingDisk(0);
  await engine.put('a', 'b');
  // Every change fails; what only looks goes on.
  disk.onlyChanges = true;
  const target = directoryTargetOn(disk.fs, folder);
  await assert.rejects(backup(engine, target), code('STRATA_IO'));
  await assert.rejects(purgeBackups(target, { keep: 1 }), code('STRATA_IO'));
  assert.equal((await listBackups(target)).length, 1);
  await verifyBackup(target);
  await restore(target, newPath(t));
});
