/**
 * How clients begin and end, in any order with their owner: every promise settles, nothing stays behind, and nobody is kept
 * alive by an idle port. STRATA_CLIENT_CYCLES cycles.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageClient, StorageError } from '../../src/client/index.ts';
import { attachHere, STOP, said, startClient } from '../helpers/clients.ts';
import { failsWith, fill, keyOf, newPath, openTiny, until } from '../helpers/engines.ts';
import { garbageCollector } from '../helpers/garbage.ts';
import { runBudget } from '../helpers/run-budget.ts';

const cycles = runBudget('STRATA_CLIENT_CYCLES', 50);
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

function resources(): { readonly files: number; readonly ports: number } {
  const files = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
  const ports = process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length;
  return { files, ports };
}

test('closing the owner ends clients in its own thread with STRATA_CLOSED', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  const client = await attachHere(t, engine);
  const scan = client.scan();
  scan.nextMany(1);
  const written = Promise.allSettled([client.put('k', 'v'), client.flush(), client.compact()]);
  await engine.close();
  for (const outcome of await written)
    if (outcome.status === 'rejected') {
      assert.ok(outcome.reason instanceof StorageError);
      assert.equal(outcome.reason.code, 'STRATA_CLOSED');
    }
  const calls: readonly (() => unknown)[] = [
    () => client.getSync('k'),
    () => client.get('k'),
    () => client.getMany([]),
    () => client.hasSync('k'),
    () => client.scan(),
    () => scan.nextMany(1),
    () => client.snapshot(),
    () => client.put('k', 'v'),
    () => client.delete('k'),
    () => client.flush(),
    () => client.compact(),
    () => client.stats(),
  ];
  for (const call of calls) await failsWith('STRATA_CLOSED', call);
  await client.close();
  await client.close();
});

test('closing the owner ends clients in other threads, at their next call', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  const shared = new SharedArrayBuffer(64);
  const worker = await startClient(t, engine, { behaviour: 'outlive', shared });
  assert.equal(await said(worker), 'ready');
  const codes = said<string[]>(worker);
  await engine.close();
  const words = new Int32Array(shared);
  Atomics.store(words, STOP, 1);
  Atomics.notify(words, STOP);
  const closed = 'STRATA_CLOSED';
  assert.deepEqual(await codes, [closed, closed, closed, closed, closed, 'none', closed]);
});

test('what a client had accepted by the owner before close is in the store', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const outcomes = Array.from({ length: 200 }, (_, i) => client.put(keyOf(i), 'v'));
  await new Promise((resolve) => setImmediate(resolve));
  const closing = engine.close();
  const settled = await Promise.allSettled(outcomes);
  await closing;
  const { StorageEngine } = await import('../../src/main/index.ts');
  const again = await StorageEngine.open(engine.path);
  for (const [i, { status }] of settled.entries())
    if (status === 'fulfilled') assert.ok(again.hasSync(keyOf(i)), `acknowledged put ${i} is lost`);
  await again.close();
});

test('close() of a client waits for its writes, and leaves the store open', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const written = client.put('k', 'v', { sync: true });
  await client.close();
  await written;
  assert.equal(engine.getSync('k')?.toString(), 'v');
  await failsWith('STRATA_CLOSED', client.put('k', 'w'));
  await until(() => engine.stats().clients === 0);
});

test('attaching and closing again and again leaves nothing behind', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  const settled = resources();
  for (let i = 0; i < cycles; i++) {
    const client = await StorageClient.attach(engine.share());
    assert.ok(client.hasSync(keyOf(i % 300)));
    client.scan().nextMany(1);
    client.snapshot();
    if (i % 50 === 0) await engine.flush();
    await client.close();
  }
  await until(() => engine.stats().clients === 0 && resources().ports <= settled.ports);
  assert.ok(
    resources().files <= settled.files + 2,
    `${resources().files} files open, before ${settled.files}`,
  );
});

test('threads that attach, and are terminated in the middle, leave nothing behind', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  const settled = resources();
  const worker = await startClient(t, engine, { behaviour: 'cycle' });
  for (let i = 0; i < cycles / 5; i++) {
    const port = engine.share();
    worker.postMessage(port, [port]);
    assert.equal(await said(worker), 'cycled');
  }
  await worker.terminate();
  for (let round = 0; round < Math.ceil(cycles / 200); round++) {
    const holding = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const holder = await startClient(t, engine, { behaviour: 'hold' });
        assert.equal(await said(holder), 'holding');
        return holder;
      }),
    );
    await fill(engine, 300, 40, round);
    await engine.compact();
    await Promise.all(holding.map((holder) => holder.terminate()));
  }
  await until(() => engine.stats().clients === 0);
  await until(() => {
    const live = engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
    return readdirSync(engine.path).filter((name) => name.endsWith('.sst')).length === live;
  });
  await until(() => resources().ports <= settled.ports && resources().files <= settled.files + 2);
});

for (const behaviour of ['unused-port', 'idle-client', 'idle-worker', 'pending-write', 'owner-in-worker']) {
  test(`a process ends by itself: ${behaviour}`, (t) => {
    const child = fileURLToPath(new URL(`../helpers/client-child.${extension}`, import.meta.url));
    const run = spawnSync(process.execPath, [child, newPath(t), behaviour], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(run.stderr, '');
    assert.equal(run.status, 0);
    assert.equal(run.stdout, 'ready\n');
  });
}

test('an idle client does not keep its thread alive', async (t) => {
  const engine = await openTiny(t);
  const worker = await startClient(t, engine, { behaviour: 'idle' });
  await once(worker, 'exit');
  await until(() => engine.stats().clients === 0);
});

test('clients that were closed are collected, and all that they had', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  const collect = garbageCollector();
  let collectedCount = 0;
  const registry = new FinalizationRegistry<undefined>(() => collectedCount++);
  const useOne = async (): Promise<void> => {
    const client = await StorageClient.attach(engine.share());
    registry.register(client, undefined);
    assert.ok(client.hasSync(keyOf(1)));
    await client.put('k', 'v');
    await client.close();
  };
  for (let i = 0; i < 10; i++) await useOne();
  await until(() => {
    collect();
    // The last one may be in a register still.
    return collectedCount >= 9;
  });
});
