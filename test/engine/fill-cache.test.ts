/**
 * `fillCache: false` keeps what is read out of the cache, and changes no answer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageClient } from '../../src/client/index.ts';
import type { StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { failsWith, fill, keyOf, keysOf, openTiny, valueFor } from '../helpers/engines.ts';

type Reader = StorageEngine | StorageClient;

const READS: readonly { readonly name: string; read(reader: Reader, fillCache?: boolean): unknown }[] = [
  { name: 'scan', read: (reader, fillCache) => keysOf(reader.scan(optional(fillCache))).length },
  {
    name: 'a scan backwards',
    read: (reader, fillCache) => keysOf(reader.scan({ ...optional(fillCache), reverse: true })).length,
  },
  { name: 'get', read: (reader, fillCache) => String(reader.getSync(keyOf(7), optional(fillCache))) },
  { name: 'has', read: (reader, fillCache) => reader.hasSync(keyOf(9), optional(fillCache)) },
  {
    name: 'getMany',
    read: async (reader, fillCache) =>
      (await reader.getMany([keyOf(1), keyOf(99)], optional(fillCache))).map(String),
  },
];
const EXPECTED: readonly unknown[] = [200, 200, valueFor(7), true, [valueFor(1), valueFor(99)]];

function optional(fillCache: boolean | undefined): { fillCache?: boolean } {
  return fillCache === undefined ? {} : { fillCache };
}

for (const who of ['engine', 'client'] as const)
  test(`fillCache: false keeps the reads of the ${who} out of its cache`, async (t) => {
    const engine = await openTiny(t);
    await fill(engine, 200);
    await engine.compact();
    const reader: Reader = who === 'engine' ? engine : await attachHere(t, engine);
    const cached = (): number => reader.stats().cache.bytes;
    const before = cached();
    for (const [i, { name, read }] of READS.entries()) {
      assert.deepEqual(await read(reader, false), EXPECTED[i], name);
      assert.equal(cached(), before, name);
    }
    for (const [i, { name, read }] of READS.entries())
      assert.deepEqual(await read(reader), EXPECTED[i], name);
    assert.ok(cached() > before, 'without the option they come in');
    const filled = cached();
    const { hits } = reader.stats().cache;
    for (const [i, { name, read }] of READS.entries())
      assert.deepEqual(await read(reader, false), EXPECTED[i], name);
    assert.equal(cached(), filled);
    assert.ok(reader.stats().cache.hits > hits, 'what is there is used');
    await failsWith('STRATA_INVALID_ARGUMENT', () => reader.scan({ fillCache: 1 as never }));
    await failsWith('STRATA_INVALID_ARGUMENT', () => reader.getSync('a', { fillCache: 'no' as never }));
  });
