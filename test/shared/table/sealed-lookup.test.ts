/**
 * Lookups in blocks as they are on disk, in WebAssembly, against the decoder and the search in TypeScript: the same answer for
 * every key and moment; and of a block that is damaged, with or without a checksum that says so, the same refusal.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { writeU32, writeVarint } from '../../../src/shared/base/bytes.ts';
import { Entry } from '../../../src/shared/base/entry.ts';
import { Block, findInBlock } from '../../../src/shared/table/block.ts';
import { blockChecksum } from '../../../src/shared/table/block-checksum.ts';
import { viewBlock } from '../../../src/shared/table/block-codec.ts';
import { type CodecName, codecByName } from '../../../src/shared/table/compression.ts';
import { blockSeed } from '../../../src/shared/table/format.ts';
import { compressBlock, maxSealedLength, sealBlock } from '../../../src/shared/table/seal-block.ts';
import { contentOfSealed, findInSealed } from '../../../src/shared/table/sealed-lookup.ts';
import { sampleBlock, told } from '../../helpers/blocks.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const TABLE = 7;
const BASE = 100;
const MOMENTS = [0, 99, 100, 101, 102, 150, 1100, 5000, Number.POSITIVE_INFINITY];

function reportedRandom(t: TestContext): Random {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  return random;
}

function seal(content: Uint8Array, offset: number, codec: CodecName = 'snappy'): Uint8Array {
  const output = new Uint8Array(maxSealedLength(codecByName(codec), content.length));
  return output.slice(0, sealBlock(content, codecByName(codec), TABLE, offset, output));
}

const expected = new Entry();
const actual = new Entry();

function findDecoded(sealed: Uint8Array, offset: number, key: Uint8Array, moment: number): string {
  const block = new Block(viewBlock(sealed, TABLE, offset, 'file'), BASE, 'file', offset);
  return told(findInBlock(block, key, moment, expected), expected);
}

function find(sealed: Uint8Array, offset: number, key: Uint8Array, moment: number): string | undefined {
  const found = findInSealed(sealed, TABLE, offset, BASE, key, moment, actual);
  return found === undefined ? undefined : told(found, actual);
}

function someKey(random: Random, keys: readonly Buffer[], prefix: string): Uint8Array {
  const key =
    random.below(3) > 0 ? random.pick(keys) : Buffer.from(prefix + random.below(100_000).toString(36));
  const form = random.below(12);
  if (form === 0) return key.subarray(0, random.below(key.length + 1));
  if (form === 1) return Buffer.concat([key, Buffer.from([random.below(256)])]);
  return key;
}

test('a lookup in a sealed block says what decoding and searching it says', (t) => {
  const random = reportedRandom(t);
  let answers = 0;
  for (let round = 0; round < 150; round++) {
    const prefix = random.pick(['', 'a', 'user:', 'x'.repeat(63), 'y'.repeat(300)]);
    const { block, keys } = sampleBlock(
      random,
      1 + random.below(80),
      random.pick([0, 10, 200, 3000]),
      prefix,
    );
    const offset = random.pick([0, 4096, 2 ** 32 + 5]);
    const sealed = seal(block.bytes, offset);
    for (let i = 0; i < 60; i++) {
      const key = someKey(random, keys, prefix);
      const moment = random.pick(MOMENTS);
      const found = find(sealed, offset, key, moment);
      if (found === undefined) continue;
      answers++;
      assert.deepEqual(contentOfSealed(sealed), block.bytes);
      assert.equal(found, findDecoded(sealed, offset, key, moment));
    }
  }
  // The others are blocks that did not shrink, which are stored as they are.
  assert.ok(answers > 4500, `${answers} of 9000 lookups were answered`);
});

test('keys too long to be looked up in place, other codecs and huge blocks are left to the decoder', (t) => {
  const random = reportedRandom(t);
  const { block, keys } = sampleBlock(random, 40, 20, 'z'.repeat(100));
  const sealed = seal(block.bytes, 0);
  assert.equal(find(sealed, 0, Buffer.alloc(65_536, 'z'), 5000), undefined);
  assert.notEqual(find(sealed, 0, Buffer.alloc(32_672, 'z'), 5000), undefined);
  assert.equal(find(sealed, 0, Buffer.alloc(32_673, 'z'), 5000), undefined);
  assert.equal(find(seal(block.bytes, 0, 'none'), 0, keys[0]!, 5000), undefined);
  const large = sampleBlock(random, 3, 5_000_000, 'k');
  const answer = find(seal(large.block.bytes, 0), 0, large.keys[1]!, 5000);
  if (answer !== undefined)
    assert.equal(answer, told(findInBlock(large.block, large.keys[1]!, 5000, expected), expected));
});

test('a damaged block is left to the decoder, which says what is wrong, wherever the damage is', (t) => {
  const random = reportedRandom(t);
  const { block, keys } = sampleBlock(random, 30, 60, 'key');
  const sealed = seal(block.bytes, 0);
  for (let at = 0; at < sealed.length; at++) {
    const damaged = sealed.slice();
    damaged[at]! ^= 1 + random.below(255);
    assert.equal(find(damaged, 0, random.pick(keys), 5000), undefined, `byte ${at}`);
  }
  for (let length = 0; length < sealed.length; length++)
    assert.equal(find(sealed.slice(0, length), 0, random.pick(keys), 5000), undefined, `length ${length}`);
});

test('a block that was sealed wrong is refused where the search in TypeScript refuses it', (t) => {
  const random = reportedRandom(t);
  let refusals = 0;
  for (let round = 0; round < 6000; round++) {
    const { block, keys } = sampleBlock(random, 1 + random.below(30), 30, 'key');
    const content = block.bytes.slice();
    const tail = Math.min(24, content.length);
    for (let i = random.below(3); i >= 0; i--) {
      const isInTail = random.below(3) === 0;
      const at = isInTail ? content.length - 1 - random.below(tail) : random.below(content.length);
      content[at] = random.below(256);
    }
    const sealed = seal(content, 0);
    const key = random.pick(keys);
    const moment = random.pick(MOMENTS);
    let wanted: string | undefined;
    try {
      wanted = findDecoded(sealed, 0, key, moment);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'STRATA_CORRUPTION');
      refusals++;
    }
    const found = find(sealed, 0, key, moment);
    if (found !== undefined) assert.equal(found, wanted);
  }
  assert.ok(refusals > 300, `${refusals} blocks were refused`);
});

/** An entry, as format.ts says. */
function entryBytes(overlap: number, diff: string, delta: number, value = ''): Uint8Array {
  const bytes = new Uint8Array(64 + diff.length + value.length);
  let at = writeVarint(bytes, 0, overlap);
  at = writeVarint(bytes, at, diff.length);
  at = writeVarint(bytes, at, value.length);
  bytes[at++] = 1;
  at = writeVarint(bytes, at, delta);
  bytes.set(Buffer.from(diff + value), at);
  return bytes.subarray(0, at + diff.length + value.length);
}

function contentOf(entries: readonly Uint8Array[], restarts: readonly number[]): Uint8Array {
  const tail = new Uint8Array(restarts.length * 4 + 4);
  for (const [i, restart] of [...restarts, restarts.length].entries()) writeU32(tail, i * 4, restart);
  return Buffer.concat([...entries, tail]);
}

/** Snappy, whether it shrinks or not. */
function sealAnyhow(content: Uint8Array, declaredLength = content.length): Uint8Array {
  const codec = codecByName('snappy');
  const output = new Uint8Array(maxSealedLength(codec, content.length) + 16);
  const length = compressBlock(codec, content, output);
  writeVarint(output, 0, declaredLength);
  writeU32(output, length, content.length);
  output[length + 4] = codec.id;
  writeU32(output, length + 5, blockChecksum(output, 0, length + 5, blockSeed(TABLE, 0)));
  return output.subarray(0, length + 9);
}

const SHORT = [entryBytes(0, 'aa', 1, 'x'), entryBytes(0, 'b', 1, 'y')] as const;
const K = (length: number): string => 'k'.repeat(length);

for (const [what, sealed, key, answer] of [
  ['two plain entries', sealAnyhow(contentOf(SHORT, [0])), 'b', 'here 1 101 79'],
  ['a stream that declares another length', sealAnyhow(contentOf(SHORT, [0]), 27), 'b', undefined],
  [
    'a restart that shares with the entry before',
    sealAnyhow(contentOf([SHORT[0], entryBytes(1, 'c', 1)], [0, SHORT[0].length])),
    'ac',
    undefined,
  ],
  [
    'a key of 64 KiB on the way',
    sealAnyhow(
      contentOf([entryBytes(0, K(3e4), 1), entryBytes(3e4, K(35_536), 1), entryBytes(0, 'z', 1, 'v')], [0]),
    ),
    'z',
    'here 1 101 76',
  ],
  [
    'a longer key on the way',
    sealAnyhow(
      contentOf([entryBytes(0, K(3e4), 1), entryBytes(3e4, K(35_537), 1), entryBytes(0, 'z', 1, 'v')], [0]),
    ),
    'z',
    undefined,
  ],
  [
    'the last sequence there is on the way',
    sealAnyhow(contentOf([entryBytes(0, 'a', 2 ** 53 - 1 - BASE), SHORT[1]], [0])),
    'b',
    'here 1 101 79',
  ],
  [
    'a sequence beyond the last one on the way',
    sealAnyhow(contentOf([entryBytes(0, 'a', 2 ** 53 - BASE), SHORT[1]], [0])),
    'b',
    undefined,
  ],
] as const) {
  test(`a lookup in WebAssembly takes what is taken in TypeScript: ${what}`, () => {
    let wanted: string | undefined;
    try {
      wanted = findDecoded(sealed, 0, Buffer.from(key), 5000);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'STRATA_CORRUPTION');
    }
    assert.equal(wanted, answer);
    assert.equal(find(sealed, 0, Buffer.from(key), 5000), answer);
  });
}
