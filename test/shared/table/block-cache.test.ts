/**
 * The block cache against what it was given: every find and copy gives what the block itself gives, memory stays within
 * bounds, and what goes is known to have gone.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { type Block, findInBlock } from '../../../src/shared/table/block.ts';
import { BlockCache, type CachedTable } from '../../../src/shared/table/block-cache.ts';
import { sampleBlock, told } from '../../helpers/blocks.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

function reportedRandom(t: TestContext): Random {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  return random;
}

test('what the cache finds in a block is what the block says, and what it copies is the block', (t) => {
  const random = reportedRandom(t);
  const expected = new Entry();
  const actual = new Entry();
  for (let round = 0; round < 200; round++) {
    const cache = new BlockCache(1 << 20);
    const prefix = random.pick(['', 'a', 'user:', 'x'.repeat(63), 'y'.repeat(90)]);
    const { block, keys } = sampleBlock(random, 1 + random.below(60), random.pick([0, 10, 100, 300]), prefix);
    const table = cache.register(3);
    cache.keep(table, 1, block);
    const place = table.places[1]!;
    assert.ok(place > 0);
    for (let i = 0; i < 100; i++) {
      const key =
        random.below(3) > 0 ? random.pick(keys) : Buffer.from(prefix + random.below(100_000).toString(36));
      const cut = random.below(10) === 0 ? key.subarray(0, random.below(key.length + 1)) : key;
      const at = random.pick([100, 101, 150, 1100, 5000]);
      const found = cache.find(place, cut, at, 100, actual);
      if (found !== undefined)
        assert.equal(told(found, actual), told(findInBlock(block, cut, at, expected), expected));
    }
    assert.deepEqual(
      cache.copy(place, (length) => new Uint8Array(length)),
      block.bytes,
    );
  }
});

test('blocks come and go within the capacity, and only what is there has a place', (t) => {
  const random = reportedRandom(t);
  for (const capacity of [20_000, 100_000, 5_000_000, 9_000_000]) {
    const cache = new BlockCache(capacity);
    const tables = [0, 1, 2].map(() => ({ cached: cache.register(400), blocks: new Map<number, Block>() }));
    let kept = 0;
    let fullest = 0;
    for (let i = 0; i < 4000; i++) {
      const table = random.pick(tables);
      const index = random.below(400);
      const place = table.cached.places[index]!;
      if (place === 0) {
        const valueBytes = random.below(20) === 0 ? 3000 : 100;
        const { block } = sampleBlock(random, 1 + random.below(20), valueBytes, 'k');
        cache.keep(table.cached, index, block);
        table.blocks.set(index, block);
        if (table.cached.places[index] !== 0) kept++;
      } else {
        const copy = cache.copy(place, (length) => new Uint8Array(length));
        assert.deepEqual(copy, table.blocks.get(index)!.bytes);
      }
      assert.ok(cache.sizeBytes <= capacity, `${cache.sizeBytes} of ${capacity}`);
      fullest = Math.max(fullest, cache.sizeBytes);
      if (random.below(1000) === 0) {
        cache.forget(table.cached);
        assert.ok(table.cached.places.every((other) => other === 0));
        table.cached = cache.register(400);
      }
    }
    assert.ok(kept > 100);
    // 1,200 blocks of all sizes come to more than 1 MB, if no table is forgotten meanwhile.
    assert.ok(fullest > Math.min(capacity / 2, 300_000), `${fullest} of ${capacity}`);
    cache.clear();
    assert.equal(cache.sizeBytes, 0);
    for (const { cached } of tables) assert.ok(cached.places.every((place) => place === 0));
  }
});

test('a block that is looked into stays while others come and go', (t) => {
  const random = reportedRandom(t);
  const cache = new BlockCache(200_000);
  const table = cache.register(1000);
  const { block } = sampleBlock(random, 20, 100, 'hot');
  cache.keep(table, 0, block);
  for (let index = 1; index < 1000; index++) {
    assert.notEqual(table.places[0], 0, `gone after ${index} others`);
    cache.copy(table.places[0]!, (length) => new Uint8Array(length));
    cache.keep(table, index, sampleBlock(random, 20, 100, 'cold').block);
  }
  assert.ok([...table.places].filter((place) => place !== 0).length < 400);
});

test('a full cache admits few blocks, until a table is closed: then as many as that has left', (t) => {
  const random = reportedRandom(t);
  const cache = new BlockCache(400_000);
  const { block } = sampleBlock(random, 20, 100, 'k');
  const admitted = (table: CachedTable, blocks: number): number => {
    let count = 0;
    for (let index = 0; index < blocks; index++) {
      if (!cache.admits()) continue;
      cache.keep(table, index, block);
      count++;
    }
    return count;
  };
  const [first, second, third] = [cache.register(1000), cache.register(1000), cache.register(1000)];
  const capacity = admitted(first, 60);
  assert.equal(capacity, 60);
  const rest = admitted(second, 1000);
  assert.ok(rest > 60, `${rest} of 1000`);
  assert.ok(admitted(third, 640) <= 11, 'one of 64');
  cache.forget(first);
  const again = admitted(third, 640);
  // A slot too small to be divided is taken as it is, so that fewer come than went.
  assert.ok(again >= 30 && again <= 75, `${again}, where 60 had been`);
  cache.clear();
  assert.ok(admitted(third, 640) > 100);
});

test('a cache without capacity, and a block too large for one, keep nothing', (t) => {
  const random = reportedRandom(t);
  const { block } = sampleBlock(random, 40, 300, 'k');
  const none = new BlockCache(0);
  const table = none.register(5);
  none.keep(table, 0, block);
  assert.equal(table.places.length, 0);
  const small = new BlockCache(1000);
  const other = small.register(5);
  small.keep(other, 0, block);
  assert.deepEqual([...other.places], [0, 0, 0, 0, 0]);
  assert.equal(small.sizeBytes, 0);
});
