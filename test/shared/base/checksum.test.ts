/** CRC-32 against known values, and the implementations against each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

/** One bit at a time: the definition. */
function slowCrc32(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

test('crc32 of the standard check string is the published value', () => {
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
  assert.equal(crc32(new Uint8Array(0)), 0);
});

test('crc32 is the same below and above the sizes where the implementation changes', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (const length of [0, 1, 3, 7, 8, 9, 15, 16, 17, 100, 191, 192, 193, 383, 384, 385, 1000, 5000]) {
    const bytes = random.bytes(length);
    assert.equal(crc32(bytes), slowCrc32(bytes), `length ${length}`);
    assert.equal(
      crc32(bytes, 0, length, 0xfedcba98),
      slowCrc32(bytes, 0xfedcba98),
      `length ${length}, seeded`,
    );
  }
});

test('crc32 continues from the checksum of what came before', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const bytes = random.bytes(3000);
  for (const cut of [0, 1, 100, 400, 2999, 3000]) {
    assert.equal(crc32(bytes, cut, 3000, crc32(bytes, 0, cut)), crc32(bytes));
  }
});

test('crc32 takes views over shared memory', () => {
  for (const length of [10, 2000]) {
    const shared = new Uint8Array(new SharedArrayBuffer(length + 7)).subarray(7);
    shared.fill(0xa5);
    assert.equal(crc32(shared), slowCrc32(new Uint8Array(length).fill(0xa5)));
  }
});
