/**
 * Containers with one volume: processes in network namespaces of their own, which do not see each other's abstract sockets.
 * The socket in the directory keeps them apart, and a dead owner's keeps nobody out.
 */
import assert from 'node:assert/strict';
import fs, { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { claimBySocket } from '../../src/main/locking/lock-socket.ts';
import { failsWith, newPath, openAt } from '../helpers/engines.ts';
import { runBudget } from '../helpers/run-budget.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { type Rival, startRival, whyNoNamespaces } from './rivals.ts';

const skip = whyNoNamespaces() ?? false;
const ELSEWHERE = ['unshare', '-n'];

const STARTERS = runBudget('STRATA_RACERS', 8);

const sockets = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.sock'));

test('a container is refused while another one owns the store, and has it when that is gone', {
  skip,
}, async (t) => {
  const path = newPath(t);
  const [first, second] = await Promise.all([
    startRival(t, path, { wrap: ELSEWHERE }),
    startRival(t, path, { wrap: ELSEWHERE }),
  ]);
  assert.equal((await first.ask('open')).outcome, 'held');
  const refused = await second.ask('open');
  assert.equal(refused.outcome, 'STRATA_LOCKED');
  assert.match(refused.message!, new RegExp(`pid ${first.pid}`));
  await failsWith('STRATA_LOCKED', openAt(t, path));
  assert.equal((await first.ask('put 0 50')).outcome, 'done');
  // Killed: its socket stays behind, and is in nobody's way.
  await first.kill();
  assert.equal(sockets(path).length, 1);
  assert.equal((await second.ask('open')).count, 2, 'what was acknowledged is there');
  assert.equal(sockets(path).length, 1, 'the socket of the dead is deleted');
  await second.ask('close');
  assert.deepEqual(sockets(path), []);
});

test('a stopped owner in another container keeps its store', { skip }, async (t) => {
  const path = newPath(t);
  const owner = await startRival(t, path, { wrap: ELSEWHERE });
  await owner.ask('open');
  owner.process.kill('SIGSTOP');
  await failsWith('STRATA_LOCKED', openAt(t, path));
  owner.process.kill('SIGCONT');
  assert.equal((await owner.ask('put 0 10')).outcome, 'done');
});

test(`${STARTERS} starters, most of them in namespaces of their own, over a stale lock: one owner, three times over`, {
  skip,
}, async (t) => {
  const path = newPath(t);
  // Five processes of a namespace see each other's abstract sockets, too.
  const starting: Promise<Rival>[] = [];
  for (let i = 0; i < STARTERS; i++)
    starting.push(startRival(t, path, i % 5 === 0 ? {} : { wrap: ELSEWHERE }));
  let rivals = await Promise.all(starting);
  for (let round = 1; round <= 3; round++) {
    const answers = await Promise.all(rivals.map(async (rival) => ({ rival, ...(await rival.ask('open')) })));
    const winners = answers.filter(({ outcome }) => outcome === 'held');
    assert.equal(winners.length, 1, `${winners.length} owners in round ${round}`);
    assert.equal(winners[0]!.count, round);
    for (const { outcome, message } of answers)
      if (outcome !== 'held') assert.equal(outcome, 'STRATA_LOCKED', message);
    await winners[0]!.rival.kill();
    rivals = rivals.filter((rival) => rival !== winners[0]!.rival);
  }
});

test('of many claims on one directory exactly one wins, over the sockets of the dead', async (t) => {
  for (let round = 0; round < 20; round++) {
    const directory = temporaryDirectory(t);
    for (let i = 0; i < 3; i++) await leaveStale(directory, i);
    let owner: string | undefined;
    const claims = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const claim = await claimBySocket(directory, () => owner);
        if (claim !== undefined) owner = claim.name;
        return claim;
      }),
    );
    const won = claims.filter((claim) => claim !== undefined);
    assert.equal(won.length, 1, `round ${round}`);
    assert.deepEqual(sockets(directory), [won[0]!.name]);
    assert.equal(await claimBySocket(directory, () => owner), undefined);
    await won[0]!.release();
    assert.deepEqual(sockets(directory), []);
  }
});

test('chmod ENOENT: a claim whose socket is taken for that of the dead starts again under another name', async (t) => {
  const directory = temporaryDirectory(t);
  const taken: string[] = [];
  const chmodSync = fs.chmodSync;
  t.mock.method(fs, 'chmodSync', (path: string, mode: number) => {
    // As a starter in another namespace does that connects between our bind and our listen.
    if (taken.length < 3) {
      fs.unlinkSync(path);
      taken.push(basename(path));
    }
    chmodSync(path, mode);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const claim = await claimBySocket(directory, () => undefined);
  assert.equal(taken.length, 3);
  assert.deepEqual(sockets(directory), [claim?.name], 'the fourth name stayed');
  assert.ok(!taken.includes(claim!.name!));
  await claim!.release();
  assert.deepEqual(sockets(directory), []);
});

/** A socket file that nobody listens at, as kill -9 leaves it. */
async function leaveStale(directory: string, number: number): Promise<void> {
  const name = join(directory, `LOCK-${String(number).padStart(16, '0')}.sock`);
  const moved = join(directory, 'moved');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(name, resolve));
  // Closing deletes the name, not the file that has another one by then.
  const { renameSync } = await import('node:fs');
  renameSync(name, moved);
  await new Promise((resolve) => server.close(resolve));
  renameSync(moved, name);
}

test('a closed store can be copied: no socket is left in it', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.put('a', '1');
  assert.equal(sockets(path).length, process.platform === 'linux' ? 1 : 0);
  await engine.close();
  cpSync(path, `${path}.copy`, { recursive: true });
  const copy = await openAt(t, `${path}.copy`);
  assert.equal((await copy.get('a'))?.toString(), '1');
});

test('a path longer than a socket name may be is locked across containers as well', { skip }, async (t) => {
  const path = join(newPath(t), 'a-name-of-some-length'.repeat(4), 'another-one'.repeat(8));
  const owner = await startRival(t, path, { wrap: ELSEWHERE });
  assert.equal((await owner.ask('open')).outcome, 'held');
  await failsWith('STRATA_LOCKED', openAt(t, path));
});

test('files of others that are called like sockets are neither deleted nor in the way', async (t) => {
  const path = newPath(t);
  mkdirSync(path);
  const names = ['LOCK-0123456789abcdef.sock', 'LOCK-fedcba9876543210.sock'];
  for (const name of names) writeFileSync(join(path, name), 'precious');
  const engine = await openAt(t, path);
  await engine.put('a', '1');
  await engine.close();
  assert.deepEqual(sockets(path), names);
});

test('another user cannot tell a live owner from a dead one: refused either way', {
  skip: skip === false && process.getuid?.() === 0 ? false : 'another user needs root',
}, async (t) => {
  const path = newPath(t);
  const owner = await startRival(t, path);
  assert.equal((await owner.ask('open')).outcome, 'held');
  for (const name of ['.', ...readdirSync(path)])
    chmodSync(join(path, name), name.endsWith('.sock') ? 0o600 : 0o777);
  const folder = join(path, '..');
  chmodSync(folder, 0o777);
  const other = await startRival(t, path, {
    wrap: ['unshare', '-n', 'setpriv', '--reuid=65534', '--clear-groups'],
  });
  const refused = await other.ask('open');
  assert.equal(refused.outcome, 'STRATA_LOCKED', refused.message);
  await owner.kill();
  assert.equal((await other.ask('open')).outcome, 'STRATA_LOCKED');
  // Whoever may ask the socket clears it away.
  const engine = await openAt(t, path);
  await engine.close();
  assert.deepEqual(sockets(path), []);
  rmSync(path, { recursive: true });
});
