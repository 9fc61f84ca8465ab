/**
 * Backs up to a small disk (a tmpfs) until that is full, restores to it, and says as JSON how it went. Run by refusals.test.ts,
 * in a mount namespace in which it may mount.
 *
 *   node full-target-child.js <mounted directory>
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backup, directoryTarget, listBackups, restore, verifyBackup } from '../../src/main/backup.ts';
import { StorageEngine, StorageError } from '../../src/main/index.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';

const [mounted = ''] = process.argv.slice(2);
const elsewhere = mkdtempSync(join(tmpdir(), 'stratakv-test-'));

/** 'ok', or the code of the error with the system's code behind it. */
async function outcomeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return 'ok';
  } catch (error) {
    if (!(error instanceof StorageError)) return `not a StorageError: ${String(error)}`;
    return [error.code, systemErrorCode(error)].filter((code) => code !== undefined).join(' ');
  }
}

const engine = await StorageEngine.open(join(elsewhere, 'db'), { threads: 0, compression: 'none' });
const target = directoryTarget(join(mounted, 'backups'));
const copy = join(mounted, 'copy');
const value = randomBytes(60_000);
await engine.put('a', value);
await backup(engine, target);
const ballast = join(mounted, 'ballast');
writeFileSync(ballast, Buffer.alloc(150_000));
await engine.put('b', value);
const full = {
  backup: await outcomeOf(() => backup(engine, target)),
  listed: (await listBackups(target)).length,
  verified: (await verifyBackup(target)).backups,
  restore: await outcomeOf(() => restore(target, copy)),
  open: await outcomeOf(() => StorageEngine.open(copy)),
};
rmSync(ballast);
rmSync(copy, { recursive: true });
const backupWithRoom = await outcomeOf(() => backup(engine, target));
await engine.close();
rmSync(join(elsewhere, 'db'), { recursive: true });
const restoreWithRoom = await outcomeOf(() => restore(target, join(elsewhere, 'db')));
const restored = await StorageEngine.open(join(elsewhere, 'db'));
const sound = restored.getSync('a')?.equals(value) === true && restored.getSync('b')?.equals(value) === true;
await restored.close();
rmSync(elsewhere, { recursive: true });
writeSync(1, `${JSON.stringify({ ...full, backupWithRoom, restoreWithRoom, sound })}\n`);
