/**
 * Awaited reads of what memory has not, by the engine and by clients: they wait without holding the event loop, are of the moment
 * of their call whatever happens meanwhile, and read nothing twice.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_IN_FLIGHT } from '../../src/shared/disk/disk.ts';
import { SEATS } from '../../src/shared/disk/pending-reads.ts';
import { coldStore, isBlock, READERS, type Reader } from '../helpers/cold-disk.ts';
import { fill, keyOf, turn, until, valueFor } from '../helpers/engines.ts';

const COUNT = 2000;

/** Whether `promise` is settled before the event loop turns. */
async function isSettledAtOnce(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  promise.then(() => {
    isSettled = true;
  });
  await turn();
  return isSettled;
}

function textOf(value: Buffer | undefined): string | undefined {
  return value?.toString();
}

for (const kind of READERS) {
  test(`${kind}: get, has and getMany of what is cold let the event loop turn, the first one after open() too`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT);
    const reads: ((key: string) => Promise<unknown>)[] = [
      (key) => reader.get(key),
      (key) => reader.has(key),
      (key) => reader.getMany([key]),
    ];
    for (const [i, read] of reads.entries()) {
      // Of a table that is not open, and again of another block of it.
      for (const key of [keyOf(600 * i), keyOf(600 * i + 20)]) {
        const releases = [disk.hold('open'), disk.hold('read')];
        const answer = read(key);
        assert.equal(await isSettledAtOnce(answer), false, `${read} of ${key}`);
        for (const release of releases) release();
        assert.ok(await answer);
        const before = disk.steps.length;
        assert.ok(await read(key));
        assert.equal(disk.steps.length, before, 'now memory has it');
      }
    }
    assert.equal(disk.inCall, 0);
  });

  test(`${kind}: a hundred reads of one block read it once, and it is in the cache then`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT);
    const reads = Array.from({ length: 100 }, (_, i) =>
      i % 3 === 0
        ? reader.getMany([keyOf(700), 'none'])
        : i % 3 === 1
          ? reader.get(keyOf(700))
          : reader.has(keyOf(700)),
    );
    for (const answer of await Promise.all(reads))
      assert.equal(
        String(Array.isArray(answer) ? answer[0] : answer === true ? valueFor(700) : answer),
        valueFor(700),
      );
    assert.equal(disk.steps.filter(({ kind }) => kind === 'open').length, 1);
    assert.equal(disk.blocksRead.length, 1);
    disk.forget();
    assert.equal(textOf(reader.getSync(keyOf(700))), valueFor(700));
    assert.deepEqual([disk.steps.length, disk.inCall], [0, 0]);
  });

  test(`${kind}: several blocks are under way at once, never more than the bound`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT);
    const release = disk.hold('read');
    const all = Promise.all(Array.from({ length: COUNT / 10 }, (_, i) => reader.get(keyOf(i * 10))));
    await until(() => disk.underWay === MAX_IN_FLIGHT);
    release();
    const values = await all;
    assert.deepEqual(
      values.map(textOf),
      values.map((_, i) => valueFor(i * 10)),
    );
    assert.equal(disk.mostUnderWay, MAX_IN_FLIGHT);
    assert.equal(new Set(disk.blocksRead).size, disk.blocksRead.length, 'none was read twice');
    disk.forget();
    const keys = Array.from({ length: COUNT }, (_, i) => keyOf(i));
    assert.deepEqual(
      (await reader.getMany(keys)).map(textOf),
      keys.map((_, i) => valueFor(i)),
    );
    assert.ok(disk.mostUnderWay > 1 && disk.mostUnderWay <= MAX_IN_FLIGHT);
    assert.equal(disk.inCall, 0);
  });

  test(`${kind}: fillCache false reads past the cache, and finds what is in it`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT);
    const past = { fillCache: false };
    for (let round = 1; round <= 2; round++) {
      assert.equal(textOf(await reader.get(keyOf(5), past)), valueFor(5));
      assert.equal(await reader.has(keyOf(900), past), true);
      assert.deepEqual((await reader.getMany([keyOf(1800)], past)).map(textOf), [valueFor(1800)]);
      assert.equal(disk.blocksRead.length, 3 * round);
    }
    assert.equal(reader.stats().cache.bytes, 0);
    await reader.get(keyOf(5));
    disk.forget();
    assert.equal(textOf(await reader.get(keyOf(5), past)), valueFor(5));
    assert.equal(disk.steps.length, 0);
  });

  test(`${kind}: the caller may change its keys once it has called`, async (t) => {
    const { reader } = await coldStore(t, kind, COUNT);
    const [one, two, three] = [11, 22, 33].map((i) => Buffer.from(keyOf(i))) as [Buffer, Buffer, Buffer];
    const keys = [three, keyOf(44)];
    const reads = [reader.get(one), reader.has(two), reader.getMany(keys)] as const;
    for (const key of [one, two, three]) key.fill('x');
    keys.reverse();
    const [first, isThere, many] = await Promise.all(reads);
    assert.deepEqual([textOf(first), isThere], [valueFor(11), true]);
    assert.deepEqual(many.map(textOf), [valueFor(33), valueFor(44)]);
  });

  for (const change of ['write', 'flush', 'compact'] as const)
    test(`${kind}: a read that waits is of the moment of its call, whatever comes: ${change}`, async (t) => {
      const { disk, engine, reader } = await coldStore(t, kind, 400);
      await fill(engine, 100, 40, 1);
      const snapshot = reader.snapshot();
      await engine.put(keyOf(1), 'newer');
      await engine.delete(keyOf(201));
      const options = { snapshot } as object;
      const release = disk.hold('read');
      const answers = [
        reader.get(keyOf(200)),
        reader.get(keyOf(300), options),
        reader.get(keyOf(201), options),
        reader.getMany([keyOf(1), keyOf(202), keyOf(0), keyOf(399), keyOf(201)]),
        reader.getMany([keyOf(1), keyOf(202), keyOf(201)], options),
        reader.has(keyOf(203)),
        reader.has('key-000203x'),
      ];
      await engine.delete(keyOf(203));
      await engine.put('key-000203x', 'new');
      await fill(engine, 400, 40, 2);
      await engine.delete(keyOf(300));
      snapshot.close();
      if (change !== 'write') await engine.flush();
      if (change === 'compact') await engine.compact();
      assert.ok(change !== 'compact' || engine.stats().files.pinnedVersions > 0 || kind === 'client');
      release();
      assert.deepEqual((await Promise.all(answers)).map(show), [
        valueFor(200),
        valueFor(300),
        valueFor(201),
        ['newer', valueFor(202), valueFor(0, 40, 1), valueFor(399), undefined],
        [valueFor(1, 40, 1), valueFor(202), valueFor(201)],
        true,
        false,
      ]);
      assert.equal(textOf(await reader.get(keyOf(200))), valueFor(200, 40, 2));
      assert.equal(await reader.get(keyOf(300)), undefined);
      await until(() => engine.stats().files.pinnedVersions === 0);
      assert.equal(disk.inCall, 0);
    });

  test(`${kind}: many reads over many more tables than may be open: right, and few descriptors`, async (t) => {
    // A table for every 18 keys or so.
    const { disk, reader } = await coldStore(t, kind, COUNT, { maxOpenFiles: 8 }, 400);
    const tables = new Set<string>();
    for (const step of [17, 611]) {
      const reads = Array.from({ length: 130 }, (_, i) => (i * step) % COUNT);
      const values = await Promise.all(reads.map((i) => reader.get(keyOf(i))));
      assert.deepEqual(
        values.map(textOf),
        reads.map((i) => valueFor(i, 400)),
      );
      for (const { file } of disk.steps) tables.add(file);
      assert.ok(disk.mostOpenFiles <= 8 + SEATS + MAX_IN_FLIGHT, `${disk.mostOpenFiles} at once`);
      assert.ok(disk.openFiles <= 8, `${disk.openFiles} are still open`);
    }
    assert.ok(tables.size > 60, `only ${tables.size} tables`);
    const keys = Array.from({ length: 64 }, (_, i) => i * 31);
    assert.deepEqual(
      (await reader.getMany(keys.map(keyOf))).map(textOf),
      keys.map((i) => valueFor(i, 400)),
    );
    assert.ok(disk.openFiles <= 8);
    assert.equal(disk.inCall, 0);
  });

  test(`${kind}: keys in memory are answered while others wait for the disk`, async (t) => {
    const { disk, engine, reader } = await coldStore(t, kind, COUNT);
    await reader.get(keyOf(3));
    await engine.put('new', '1');
    const release = disk.hold('read');
    const waiting = [reader.get(keyOf(1500)), reader.getMany([keyOf(1000), 'new'])];
    assert.equal(textOf(await reader.get('new')), '1');
    assert.equal(textOf(await reader.get(keyOf(3))), valueFor(3));
    assert.deepEqual((await reader.getMany(['new', keyOf(3)])).map(textOf), ['1', valueFor(3)]);
    await engine.put('newer', '2', { sync: true });
    assert.equal(textOf(await reader.get('newer')), '2');
    assert.ok(disk.steps.filter(isBlock).length <= 2);
    release();
    assert.deepEqual((await Promise.all(waiting)).map(show), [valueFor(1500), [valueFor(1000), '1']]);
  });
}

function show(answer: Awaited<ReturnType<Reader['get'] | Reader['getMany'] | Reader['has']>>): unknown {
  if (Array.isArray(answer)) return answer.map(textOf);
  return typeof answer === 'boolean' ? answer : textOf(answer);
}
