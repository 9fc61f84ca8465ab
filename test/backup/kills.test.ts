/**
 * A process that writes, archives and backs up is killed, again and again: what it said was backed up or shipped is, and every
 * backup that is listed is whole.
 *
 * STRATA_BACKUP_KILLS: how often.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { directoryTarget, listBackups, purgeBackups, restore, verifyBackup } from '../../src/main/backup.ts';
import { newPath, openAt } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const KILLS = runBudget('STRATA_BACKUP_KILLS', 3);
const SCRIPT = fileURLToPath(new URL(`./backup-child${extname(import.meta.url)}`, import.meta.url));
/** A child that is not dead by then hangs. */
const HANG_MS = 60_000;

/** The last backup that the child said was done, and how many writes it had; and how far its archive had come. */
async function runUntilKilled(
  args: readonly string[],
  after: { readonly begun: number; readonly delayMs: number },
): Promise<{ readonly id: string; readonly count: number; readonly shipped: string | undefined }> {
  const child = spawn(process.execPath, [SCRIPT, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const pipe = child.stdio[3] as Readable;
  const hang = setTimeout(() => child.kill('SIGKILL'), HANG_MS);
  let text = '';
  let timer: NodeJS.Timeout | undefined;
  pipe.setEncoding('latin1');
  pipe.on('data', (chunk: string) => {
    text += chunk;
    if (text.split('S\n').length > after.begun)
      timer ??= setTimeout(() => child.kill('SIGKILL'), after.delayMs);
  });
  const [, signal] = await Promise.all([
    new Promise((resolve) => pipe.on('close', resolve)),
    new Promise((resolve) => child.on('exit', (_code, name) => resolve(name))),
  ]);
  clearTimeout(timer);
  clearTimeout(hang);
  // What follows the last newline was cut short by the kill.
  const lines = text.split('\n').slice(0, -1);
  assert.deepEqual(
    lines.filter((line) => line.startsWith('E ')),
    [],
  );
  assert.equal(signal, 'SIGKILL');
  const [, id, count] = lines.findLast((line) => line.startsWith('B '))?.split(' ') ?? [];
  const shipped = lines.findLast((line) => line.startsWith('A '))?.slice(2);
  return { id: id ?? '', count: Number(count ?? 0), shipped };
}

test('kills within backups and purges', async (t) => {
  const random = seededRandom(runSeed(t));
  const path = newPath(t);
  const folder = `${path}-backups`;
  const target = directoryTarget(folder);
  let told = { id: '', count: 0 };
  for (let kill = 0; kill < KILLS; kill++) {
    // By the second time it has begun anything, a backup is done.
    const after = { begun: random.between(2, 4), delayMs: random.below(100) };
    const { shipped, ...backedUp } = await runUntilKilled([path, folder, String(kill)], after);
    if (backedUp.id !== '') told = backedUp;
    const found = await listBackups(target);
    assert.ok(told.id === '' || found.some(({ id }) => id === told.id), told.id);
    if (found.length === 0) continue;
    await verifyBackup(target);
    const report = await restore(target, `${path}-copy-${kill}`);
    assert.ok(report.id >= told.id);
    const latest = await countIn(t, `${path}-copy-${kill}`);
    assert.ok(latest >= told.count, `${latest} of ${told.count}`);
    if (shipped !== undefined) {
      const place = `${path}-place-${kill}`;
      const { position } = await restore(target, place, { position: shipped });
      assert.equal(position, shipped);
      assert.ok((await countIn(t, place)) <= latest);
    }
    await purgeBackups(target, { keep: 100 });
  }
  assert.notEqual(told.id, '', 'no life was long enough for a backup');
  assert.equal((await verifyBackup(target)).archive?.gaps, 0);
  t.diagnostic(`FIGURE backup-kills=${KILLS}`);
});

/** How many writes a restored store has, which are all that were made before the last of them. */
async function countIn(t: TestContext, path: string): Promise<number> {
  const engine = await openAt(t, path);
  const count = Number(engine.getSync('count'));
  const keys = [...engine.scan({ prefix: 'key ', values: false })].length;
  // The moment may lie between the two writes of a pair.
  assert.ok(keys === count || keys === count + 1, `${keys} keys, count ${count}`);
  await engine.close();
  return count;
}
