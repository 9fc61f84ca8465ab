/**
 * The index of a block's entries, in WebAssembly against TypeScript: the same words for every block, wherever its content lies;
 * and of content that does not decode, none.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Block } from '../../../src/shared/table/block.ts';
import { viewBlock } from '../../../src/shared/table/block-codec.ts';
import {
  type BlockIndex,
  indexInWasm,
  indexLength,
  SlowBlockIndex,
} from '../../../src/shared/table/block-index.ts';
import { codecByName } from '../../../src/shared/table/compression.ts';
import { maxSealedLength, sealBlock } from '../../../src/shared/table/seal-block.ts';
import { BlockModule } from '../../../src/shared/wasm/block-module.ts';
import { sampleBlock } from '../../helpers/blocks.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const MAX_PREFIX = 64;
const slow = new SlowBlockIndex();

function reportedRandom(t: TestContext): Random {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  return random;
}

function told(index: BlockIndex): object {
  const { words, start, count, prefixLength } = index;
  return { count, prefixLength, words: [...words.subarray(start, start + indexLength(index))] };
}

function somePrefix(random: Random): string {
  return random.pick([
    '',
    'a',
    '\0',
    'abc',
    'user:',
    'x'.repeat(61),
    'x'.repeat(64),
    'y'.repeat(65),
    'z'.repeat(300),
  ]);
}

test('the index made in WebAssembly is the one made in TypeScript', (t) => {
  const random = reportedRandom(t);
  for (let round = 0; round < 600; round++) {
    const size = random.pick([0, 10, 200, 3000]);
    const { block } = sampleBlock(random, 1 + random.below(80), size, somePrefix(random));
    const index = indexInWasm(block, MAX_PREFIX);
    assert.ok(index !== undefined);
    assert.deepEqual(told(index), told(slow.make(block, MAX_PREFIX)));
  }
});

test('the content may lie where it was decoded, in the memory of WebAssembly itself', (t) => {
  const random = reportedRandom(t);
  const codec = codecByName('snappy');
  for (let round = 0; round < 100; round++) {
    const { block } = sampleBlock(random, 1 + random.below(60), 200, somePrefix(random));
    const sealed = new Uint8Array(maxSealedLength(codec, block.bytes.length));
    const length = sealBlock(block.bytes, codec, 7, 0, sealed);
    const content = viewBlock(sealed.subarray(0, length), 7, 0, 'file');
    const index = indexInWasm(new Block(content, block.baseSequence, 'file', 0), MAX_PREFIX);
    assert.ok(index !== undefined);
    assert.deepEqual(Buffer.from(content), Buffer.from(block.bytes), 'the content is as it was');
    assert.deepEqual(told(index), told(slow.make(block, MAX_PREFIX)));
  }
});

test('where memory ends soon behind the content there is no index, and the next block has one', () => {
  const { block } = sampleBlock(seededRandom(5), 30_000, 0, '');
  const compressed = new Uint8Array(2 * block.bytes.length);
  const length = new BlockModule().compress(block.bytes, compressed, 0);
  // One that has read nothing before has the memory for the content, and no more.
  const module = new BlockModule();
  module.load(compressed.subarray(0, length));
  const content = module.viewLoaded(0, length, block.bytes.length)!;
  assert.equal(module.index(content, Number.MAX_SAFE_INTEGER, MAX_PREFIX), false);
  assert.deepEqual(Buffer.from(content), Buffer.from(block.bytes), 'the content is as it was');
  assert.equal(module.index(block.bytes, Number.MAX_SAFE_INTEGER, MAX_PREFIX), true);
  assert.deepEqual(told(module.blockIndex), told(slow.make(block, MAX_PREFIX)));
});

test('keys of every length beside the prefix have heads that are padded with zeros', () => {
  for (let common = 0; common <= 70; common++) {
    const random = seededRandom(common);
    const { block } = sampleBlock(random, 1 + random.below(3), 3, 'p'.repeat(common));
    assert.deepEqual(told(indexInWasm(block, MAX_PREFIX)!), told(slow.make(block, MAX_PREFIX)), `${common}`);
    const limit = random.below(9);
    assert.deepEqual(told(indexInWasm(block, limit)!), told(slow.make(block, limit)), `at most ${limit}`);
  }
});

test('content that does not decode has no index, and none goes on behind its end', (t) => {
  const random = reportedRandom(t);
  let refused = 0;
  for (let round = 0; round < 6000; round++) {
    const { block } = sampleBlock(random, 1 + random.below(30), 30, somePrefix(random));
    const content = block.bytes.slice();
    for (let i = random.below(3); i >= 0; i--) content[random.below(content.length)] = random.below(256);
    let damaged: Block | undefined;
    let wanted: object | undefined;
    try {
      damaged = new Block(content, block.baseSequence, 'file', 0);
      wanted = told(slow.make(damaged, MAX_PREFIX));
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'STRATA_CORRUPTION');
    }
    const found = indexInWasm({ ...block, bytes: content } as Block, MAX_PREFIX);
    if (found === undefined) refused++;
    else if (wanted === undefined) assert.ok(found.count <= content.length / 5, `${found.count} entries`);
    else if (lastRestartIsEntry(damaged!, slow)) assert.deepEqual(told(found), wanted);
  }
  assert.ok(refused > 500, `${refused} blocks were refused`);
});

/** If not, what TypeScript takes for the last key, coming from there, is another than the one that all others lead to. */
function lastRestartIsEntry(block: Block, index: BlockIndex): boolean {
  const offsets = index.words.subarray(indexLength(index) - index.count, indexLength(index));
  return offsets.includes(block.restartOffset(block.restartCount - 1));
}
