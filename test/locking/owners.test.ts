/**
 * Every kind of owner and rival: threads, stopped processes, other names of the directory, other copies of the package,
 * cluster workers, other versions of Node. Every way into a store is closed while it is owned, and open right after.
 */
import assert from 'node:assert/strict';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { failsWith, fill, newPath, openAt } from '../helpers/engines.ts';
import { runBudget } from '../helpers/run-budget.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { OWNER, Rival, startRival } from './rivals.ts';

/** Every other one in the midst of closing. */
const TERMINATIONS = runBudget('STRATA_TERMINATIONS', 4);
const IS_LINUX = process.platform === 'linux';
const READ_ONLY: EngineOptions = { readOnly: true };

/** Refused by every way into a store; returns how many there are. */
async function assertOwned(path: string): Promise<number> {
  const ways: (() => Promise<unknown>)[] = [
    () => StorageEngine.open(path),
    () => StorageEngine.open(path, READ_ONLY),
    () => StorageEngine.destroy(path),
    () => StorageEngine.repair(path),
    () => StorageEngine.repair(path, { dryRun: true }),
  ];
  for (const way of ways) await failsWith('STRATA_LOCKED', way);
  return ways.length;
}

/** Opens at the first attempt, and holds what its owners before it have counted. */
async function assertFree(path: string, count: number): Promise<void> {
  const engine = await StorageEngine.open(path, { threads: 0 });
  assert.equal(engine.getSync('count')?.toString(), String(count));
  await engine.close();
}

test('a thread that is terminated at work frees its store while the process lives on', async (t) => {
  const path = newPath(t);
  const rounds = TERMINATIONS;
  for (let round = 1; round <= rounds; round++) {
    const worker = new Worker(OWNER, { workerData: { path } });
    await once(worker, 'message');
    worker.postMessage('open');
    const [answer] = await once(worker, 'message');
    assert.deepEqual([answer.outcome, answer.count], ['held', round], answer.message);
    if (round === 1) await assertOwned(path);
    // In half of the rounds it is in the midst of closing, with its own threads and files.
    if (round % 2 === 0) worker.postMessage('close');
    await worker.terminate();
    await assertFree(path, round);
  }
  t.diagnostic(`FIGURE terminated-threads=${rounds} stale-refusals=0`);
});

test('a stopped owner keeps its store, and has it when it goes on', { skip: !IS_LINUX }, async (t) => {
  const path = newPath(t);
  const owner = await startRival(t, path);
  assert.equal((await owner.ask('open')).outcome, 'held');
  owner.process.kill('SIGSTOP');
  const ways = await assertOwned(path);
  owner.process.kill('SIGCONT');
  assert.equal((await owner.ask('close')).outcome, 'closed');
  await assertFree(path, 1);
  t.diagnostic(`FIGURE stopped-owner-ways=${ways} double-owners=0`);
});

test('no other name of the directory leads past its owner', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.put('count', '1');
  const folder = dirname(path);
  mkdirSync(join(folder, 'a'));
  symlinkSync(path, join(folder, 'link'));
  symlinkSync('../link', join(folder, 'a', 'link-to-link'));
  symlinkSync(folder, join(folder, 'a', 'parent'));
  const names = [
    join(folder, 'link'),
    join(folder, 'a', 'link-to-link'),
    join(folder, 'a', 'parent', 'db'),
    `${folder}/a/..//./db/`,
    relative(process.cwd(), path),
  ];
  for (const name of names) {
    for (const options of [{}, READ_ONLY])
      await failsWith('STRATA_LOCKED', StorageEngine.open(name, options));
    await failsWith('STRATA_LOCKED', StorageEngine.destroy(name));
    await failsWith('STRATA_LOCKED', StorageEngine.repair(name));
  }
  await engine.close();
  for (const name of names) await assertFree(name, 1);
});

/** The built package under another path: another module graph, with state of its own. */
function copyOfPackage(folder: string): string {
  const built = new URL('../../', import.meta.url);
  let root = fileURLToPath(built);
  while (!existsSync(join(root, 'node_modules'))) root = dirname(root);
  cpSync(new URL('src', built), join(folder, 'src'), { recursive: true });
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return pathToFileURL(join(folder, 'src', 'main', 'index.js')).href;
}

test('two copies of the package exclude each other, in one thread and across processes', async (t) => {
  const path = newPath(t);
  const entry = copyOfPackage(temporaryDirectory(t));
  const other = (await import(entry)) as typeof import('../../src/main/index.ts');
  assert.notEqual(other.StorageEngine, StorageEngine, 'these are two copies');
  const ours = await openAt(t, path);
  await ours.put('count', '1');
  await fill(ours, 300);
  await assert.rejects(other.StorageEngine.open(path), { code: 'STRATA_LOCKED' });
  await assert.rejects(other.StorageEngine.destroy(path), { code: 'STRATA_LOCKED' });
  const rival = await startRival(t, path, { entry });
  assert.equal((await rival.ask('open')).outcome, 'STRATA_LOCKED');
  await ours.close();
  const theirs = await other.StorageEngine.open(path, { threads: 0 });
  await assertOwned(path);
  assert.equal((await rival.ask('open')).outcome, 'STRATA_LOCKED');
  await theirs.close();
  assert.equal((await rival.ask('open')).count, 2);
  await assertOwned(path);
});

test('of cluster workers one has the store, and the next one when that dies', async (t) => {
  const path = newPath(t);
  cluster.setupPrimary({ exec: fileURLToPath(OWNER), args: [path], execArgv: [] });
  const workers = Array.from({ length: 4 }, () => cluster.fork());
  t.after(() => {
    for (const worker of workers) worker.process.kill('SIGKILL');
  });
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  let rivals = workers.map((worker) => new Rival(worker.process));
  for (let round = 1; round <= 3; round++) {
    const answers = await Promise.all(rivals.map((rival) => rival.ask('open')));
    const held = answers.flatMap(({ outcome }, i) => (outcome === 'held' ? [rivals[i]!] : []));
    assert.equal(held.length, 1, answers.map(({ outcome }) => outcome).join(', '));
    assert.equal(answers.filter(({ outcome }) => outcome === 'STRATA_LOCKED').length, rivals.length - 1);
    await held[0]!.kill();
    rivals = rivals.filter((rival) => rival !== held[0]);
  }
  await assertFree(path, 3);
});

test('what an owner has started does not inherit the store', { skip: !IS_LINUX }, async (t) => {
  const path = newPath(t);
  const owner = await startRival(t, path);
  assert.equal((await owner.ask('open')).outcome, 'held');
  const { pid } = await owner.ask('spawn');
  t.after(() => process.kill(pid!, 'SIGKILL'));
  await owner.kill();
  assert.ok(existsSync(`/proc/${pid}`), 'the child has outlived its parent');
  await assertFree(path, 1);
});

test('200 opens and closes, each free again at once', async (t) => {
  const path = newPath(t);
  for (let i = 0; i < 200; i++) {
    const engine = await StorageEngine.open(path, { threads: 0 });
    await failsWith('STRATA_LOCKED', StorageEngine.open(path));
    await engine.close();
  }
  assert.equal(readFileSync(join(path, 'LOCK'), 'utf8'), '');
});

const OTHER_NODE = process.env['STRATA_OTHER_NODE'];

test('another version of Node means the same lock', {
  skip: OTHER_NODE === undefined && 'STRATA_OTHER_NODE names no other node binary',
}, async (t) => {
  const path = newPath(t);
  const ours = await startRival(t, path);
  const theirs = await startRival(t, path, { node: OTHER_NODE! });
  for (let round = 0; round < 5; round++) {
    const [owner, rival] = round % 2 === 0 ? [ours, theirs] : [theirs, ours];
    assert.equal((await owner.ask('open')).count, round + 1);
    const refused = await rival.ask('open');
    assert.equal(refused.outcome, 'STRATA_LOCKED');
    assert.match(refused.message!, new RegExp(`pid ${owner.pid}$`));
    await owner.ask('close');
  }
});
