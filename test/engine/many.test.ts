/**
 * getMany against get, key by key: whatever is where (memtables, overlapping tables, levels, cached or not), at whatever moment,
 * and however many tables may be open.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Snapshot, StorageEngine } from '../../src/main/index.ts';
import { openTiny, tableFiles } from '../helpers/engines.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

const KEYS = 3000;

function keyOf(random: Random, i: number): string | Buffer {
  const key = `user:${String(i).padStart(6, '0')}`;
  return random.below(2) === 0 ? key : Buffer.from(key);
}

async function writeSome(engine: StorageEngine, random: Random, round: number): Promise<void> {
  for (let i = 0; i < 800; i++) {
    const key = keyOf(random, random.below(KEYS));
    if (random.below(6) === 0) await engine.delete(key);
    else await engine.put(key, `${round}-${i}-${'v'.repeat(random.below(150))}`);
  }
}

async function compare(engine: StorageEngine, random: Random, rounds: number): Promise<void> {
  const snapshot = engine.snapshot();
  await writeSome(engine, random, -1);
  for (const options of [undefined, { snapshot }]) {
    for (let round = 0; round < rounds; round++) {
      const count = random.pick([0, 1, 2, 100, 128, 129, 700]);
      const keys = Array.from({ length: count }, () =>
        random.below(10) === 0 ? `absent${random.below(1000)}` : keyOf(random, random.below(KEYS + 50)),
      );
      const expected = keys.map((key) => engine.getSync(key, options)?.toString());
      const actual = (await engine.getMany(keys, options)).map((value) => value?.toString());
      assert.deepEqual(actual, expected);
    }
  }
  snapshot.close();
}

for (const [name, options] of [
  ['a cache for a part of the blocks', { cacheSize: 96 * 1024 }],
  ['everything cached', {}],
  ['no cache, no mapping', { cacheSize: 0, mmap: false }],
  ['fewer open tables than there are', { maxOpenFiles: 8, cacheSize: 200_000, maxFileSize: 4096 }],
  ['no filters, one entry per restart', { bloomBitsPerKey: 0, blockRestartInterval: 1, blockSize: 300 }],
  ['no compression', { compression: 'none', cacheSize: 64 * 1024 }],
] as const) {
  test(`getMany gives what get gives: ${name}`, async (t) => {
    const random = seededRandom(freshSeed());
    reportSeed(t, random.seed);
    const engine = await openTiny(t, { writeBufferSize: 65_536, blockSize: 1000, ...options });
    await compare(engine, random, 6);
    for (let round = 0; round < 4; round++) {
      await writeSome(engine, random, round);
      await engine.flush();
    }
    await compare(engine, random, 12);
    await engine.compact();
    await compare(engine, random, 12);
    if (name.startsWith('fewer')) assert.ok(tableFiles(engine.path).length > 12);
  });
}

for (const options of [{ cacheSize: 0 }, {}, { compression: 'none', cacheSize: 0 }] as const) {
  test(`every version of a key is found that has them in many blocks: ${JSON.stringify(options)}`, async (t) => {
    const engine = await openTiny(t, { writeBufferSize: 262_144, blockSize: 500, ...options });
    const snapshots: Snapshot[] = [];
    const versionText = (i: number): string => `${i}-${'v'.repeat(60)}`;
    await engine.put('a', 'before');
    for (let i = 0; i < 100; i++) {
      await engine.put('key', versionText(i));
      snapshots.push(engine.snapshot());
    }
    await engine.put('z', 'behind');
    await engine.flush();
    for (let round = 0; round < 2; round++) {
      for (const [i, snapshot] of snapshots.entries()) {
        assert.equal(engine.getSync('key', { snapshot })?.toString(), versionText(i));
        const values = await engine.getMany(['key', 'a', 'key', 'kez'], { snapshot });
        assert.deepEqual(values.map(String), [versionText(i), 'before', versionText(i), 'undefined']);
      }
    }
    for (const snapshot of snapshots) snapshot.close();
  });
}

test('a getMany within a getter of another one leaves that alone', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 300; i++) await engine.put(`k${i}`, `v${i}`);
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  for (const inner of [[], ['k5'], keys.slice()]) {
    const within: Promise<unknown>[] = [];
    Object.defineProperty(keys, 150, {
      configurable: true,
      get: () => {
        within.push(engine.getMany(inner));
        return 'k150';
      },
    });
    const values = await engine.getMany(keys);
    assert.deepEqual(
      values.map(String),
      keys.map((key) => key.replace('k', 'v')),
    );
    await Promise.all(within);
  }
});
