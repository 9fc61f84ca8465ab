/**
 * sortRecords(): the order of compareKeys, equal keys in the order in which they came, whatever the keys look like.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { IngestChunk } from '../../../src/shared/ingest/chunk.ts';
import { RecordTable, sortRecords } from '../../../src/shared/ingest/record-sort.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

function tableOf(keys: readonly Uint8Array[]): { readonly chunk: IngestChunk; readonly table: RecordTable } {
  const bytes = keys.reduce((sum, key) => sum + key.length + 16, 16);
  const chunk = new IngestChunk(bytes);
  for (const [i, key] of keys.entries()) {
    const value = Uint8Array.of(i & 255, i >>> 8);
    assert.ok(chunk.hasRoom(key.length, value.length));
    chunk.add(key, key.length, value, value.length);
  }
  return {
    chunk,
    table: new RecordTable(new Uint8Array(chunk.buffer, 0, chunk.packed.recordBytes), chunk.recordCount),
  };
}

function check(keys: readonly Uint8Array[], what: string): void {
  const { chunk, table } = tableOf(keys);
  const expected = keys.map((_, i) => i).sort((a, b) => compareKeys(keys[a]!, keys[b]!) || a - b);
  const isRising = keys.every((key, i) => i === 0 || compareKeys(keys[i - 1]!, key) < 0);
  assert.equal(chunk.packed.isSorted, isRising, `${what}: isSorted`);
  sortRecords(table);
  assert.deepEqual(Array.from(table.order), expected, what);
  for (let i = 1; i < expected.length; i++) {
    const [a, b] = [expected[i - 1]!, expected[i]!];
    assert.equal(table.hasSameKey(a, b), compareKeys(keys[a]!, keys[b]!) === 0, what);
  }
}

const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');

const SHAPES: Readonly<Record<string, (random: Random, i: number) => Uint8Array>> = {
  'random bytes': (random) => random.bytes(random.between(0, 24)),
  'long common beginning': (random) => text(`${'tenant/'.repeat(8)}${random.below(2000)}`),
  'two long beginnings': (random) => text(`${random.pick(['a', 'b']).repeat(40)}${random.below(900)}`),
  'differ in length alone': (random) => new Uint8Array(random.below(700)),
  'few different': (random) => text(`k${random.below(3)}`),
  'all equal': () => text('the same key again and again'),
  'low and high bytes': (random) => Uint8Array.from({ length: 9 }, () => random.pick([0, 127, 128, 255])),
  'numbers with a pad': (random) => text(String(random.below(100000)).padStart(16, '0')),
  rising: (_, i) => text(String(i).padStart(9, '0')),
  falling: (_, i) => text(String(99999 - i).padStart(9, '0')),
};

for (const [what, keyFor] of Object.entries(SHAPES)) {
  test(`sortRecords(): ${what}`, (t) => {
    const seed = freshSeed();
    reportSeed(t, seed);
    const random = seededRandom(seed);
    for (const count of [0, 1, 2, 17, 255, 256, 3000])
      check(
        Array.from({ length: count }, (_, i) => keyFor(random, i)),
        `${what}, ${count} keys`,
      );
  });
}
