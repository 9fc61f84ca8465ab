/**
 * The recipes of docs/transactions.md run as they stand, with many at once.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { fill, openTiny, textsOf } from '../helpers/engines.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

type Store = Pick<StorageEngine, 'transaction'>;

interface Recipes {
  count(engine: StorageEngine, name: string): Promise<number>;
  compareAndSet(store: Store, key: string, expected: string | undefined, next: string): Promise<boolean>;
  register(store: Store, id: string, email: string): Promise<void>;
  claim(store: Store, worker: string): Promise<{ id: string; task: string } | undefined>;
  acquire(store: Store, lease: string, holder: string, ttl: number): Promise<boolean>;
  transfer(store: Store, from: string, to: string, amount: number): Promise<void>;
}

const NAMES = ['count', 'compareAndSet', 'register', 'claim', 'acquire', 'transfer'];

async function recipes(t: TestContext): Promise<Recipes> {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'docs'))) root = dirname(root);
  const page = readFileSync(join(root, 'docs', 'transactions.md'), 'utf8');
  const code = Array.from(page.matchAll(/^```js\n(.*?)^```/gms), ([, block]) => block).join('\n');
  const file = join(temporaryDirectory(t), 'recipes.mjs');
  writeFileSync(file, `${code}\nexport { ${NAMES.join(', ')} };\n`);
  return (await import(pathToFileURL(file).href)) as Recipes;
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

test('every recipe of docs/transactions.md does what it says, from the owner and a client at once', async (t) => {
  const { count, compareAndSet, register, claim, acquire, transfer } = await recipes(t);
  const engine = await openTiny(t);
  await fill(engine, 100);
  await engine.flush();
  const stores: readonly Store[] = [engine, await attachHere(t, engine)];
  const storeOf = (i: number): Store => stores[i % 2]!;

  const counted = await Promise.all(times(50, () => count(engine, 'visits')));
  assert.deepEqual(
    counted,
    times(50, (i) => i + 1),
  );

  const set = await Promise.all(times(10, (i) => compareAndSet(storeOf(i), 'form', undefined, `from ${i}`)));
  assert.equal(set.filter(Boolean).length, 1);
  assert.equal(String(engine.getSync('form')), `from ${set.indexOf(true)}`);

  const registered = await Promise.allSettled(times(10, (i) => register(storeOf(i), `${i}`, 'a@b.c')));
  assert.equal(registered.filter(({ status }) => status === 'fulfilled').length, 1);
  const owner = String(engine.getSync('email:a@b.c'));
  await register(engine, owner, 'new@b.c');
  assert.deepEqual(textsOf(engine.scan({ prefix: 'email:' })), [['email:new@b.c', owner]]);

  for (let i = 0; i < 30; i++) await engine.put(`waiting:${100 + i}`, `task ${i}`);
  const workers = times(6, async (worker) => {
    const claimed: string[] = [];
    for (let job = await claim(storeOf(worker), `${worker}`); job !== undefined; ) {
      claimed.push(job.task);
      job = await claim(storeOf(worker), `${worker}`);
    }
    return claimed;
  });
  const claimed = (await Promise.all(workers)).flat();
  assert.deepEqual(claimed.toSorted(), times(30, (i) => `task ${i}`).toSorted(), 'each job once');
  assert.equal(engine.scan({ prefix: 'claimed:' }).nextMany(99).length, 30);

  const acquired = await Promise.all(times(6, (i) => acquire(storeOf(i), 'lease', `${i}`, 60_000)));
  assert.equal(acquired.filter(Boolean).length, 1);
  const holder = `${acquired.indexOf(true)}`;
  assert.equal(await acquire(engine, 'lease', holder, 60_000), true, 'renewed');
  assert.equal(await acquire(engine, 'lease', 'another', 60_000), false);
  assert.ok((await engine.expiresAt('lease')) !== undefined);

  await engine.put('a', '100');
  const moved = await Promise.allSettled(times(15, (i) => transfer(storeOf(i), 'a', 'b', 10)));
  assert.equal(moved.filter(({ status }) => status === 'fulfilled').length, 10, 'then there was not enough');
  assert.deepEqual([String(engine.getSync('a')), String(engine.getSync('b'))], ['0', '100']);
});
