/**
 * Snappy and XXH64 in WebAssembly. The checksum: against published values and a plain form of it. Snappy: against snappyjs and
 * the decoder in TypeScript: each reads what the other writes; a stream that is cut, changed or made up is refused by both, and
 * never reaches outside the output.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { type TestContext, test } from 'node:test';
import { blockChecksum, slowBlockChecksum } from '../../../src/shared/table/block-checksum.ts';
import { codecByName } from '../../../src/shared/table/compression.ts';
import { compressBlock, maxCompressedLength } from '../../../src/shared/table/seal-block.ts';
import { blockModule, MAX_WASM_BLOCK_BYTES } from '../../../src/shared/wasm/block-module.ts';
import { BLOCKS_WASM } from '../../../src/shared/wasm/blocks-binary.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const snappyjs = createRequire(import.meta.url)('snappyjs') as {
  compress(input: Uint8Array): Uint8Array;
  uncompress(input: Uint8Array): Uint8Array;
};
const codec = codecByName('snappy');

function randomOf(t: TestContext): () => number {
  const seed = freshSeed();
  reportSeed(t, seed);
  return seededRandom(seed).next;
}

function compress(input: Uint8Array): Uint8Array {
  const output = new Uint8Array(maxCompressedLength(codec, input.length));
  return output.slice(0, compressBlock(codec, input, output));
}

/** Runs, short patterns, repeats at all distances, and noise, in random proportion. */
function sample(random: () => number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const end = Math.min(length, at + 1 + Math.floor(random() ** 3 * 300));
    const distance = distanceOfRepeat(random, at);
    for (; at < end; at++)
      bytes[at] = distance > 0 && distance <= at ? bytes[at - distance]! : Math.floor(random() * 256);
  }
  return bytes;
}

/** How far back what comes at `at` was there before; 0: never. */
function distanceOfRepeat(random: () => number, at: number): number {
  const kind = random();
  if (kind < 0.3) return 1;
  if (kind < 0.5) return 2 + Math.floor(random() * 16);
  return kind < 0.75 ? Math.ceil(random() * at) : 0;
}

test('the committed module is what its sources compile to', async (t) => {
  const compile = await loadCompiler();
  if (compile === undefined) return t.skip('assemblyscript is not installed');
  assert.equal(await compile(), BLOCKS_WASM, 'npm run build:wasm');
});

/** undefined: the compiler, which only this needs, is not installed. */
async function loadCompiler(): Promise<(() => Promise<string>) | undefined> {
  const script = new URL('../../../../scripts/build-wasm.mjs', import.meta.url);
  try {
    return ((await import(script.href)) as { compileBlocks(): Promise<string> }).compileBlocks;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    assert.match((error as Error).message, /'assemblyscript'/);
    return undefined;
  }
}

test('snappy in WebAssembly and snappyjs read each other, at every length and kind of content', (t) => {
  const random = randomOf(t);
  const lengths = [...Array(80).keys(), 4096, 65535, 65536, 65537, 200_000, MAX_WASM_BLOCK_BYTES];
  for (let i = 0; i < 300; i++) lengths.push(Math.floor(random() ** 2 * 9000));
  for (const length of lengths) {
    const input = sample(random, length);
    const ours = compress(input);
    assert.deepEqual(new Uint8Array(snappyjs.uncompress(ours)), input, `snappyjs reads ours of ${length}`);
    const output = new Uint8Array(length);
    assert.ok(decode(ours, headerLength(ours), output), `ours of ${length}`);
    assert.deepEqual(output, input);
    const theirs = snappyjs.compress(input);
    assert.deepEqual(codec.decompress(new Uint8Array(theirs), length), input, `we read theirs of ${length}`);
  }
});

test('snappy in WebAssembly refuses what the decoder in TypeScript refuses, and stays inside the output', (t) => {
  const random = randomOf(t);
  for (let i = 0; i < 4000; i++) {
    const input = sample(random, 1 + Math.floor(random() * 600));
    const damaged = damage(compress(input), random);
    const room = new Uint8Array(input.length + 128).fill(0xa5);
    const isSound = decode(
      damaged,
      Math.min(headerLength(damaged), damaged.length),
      room.subarray(64, 64 + input.length),
    );
    assert.ok(
      room.subarray(0, 64).every((byte) => byte === 0xa5) &&
        room.subarray(64 + input.length).every((byte) => byte === 0xa5),
    );
    if (!isSound) continue;
    // A change may leave a valid stream of other content: then both decoders must agree on it.
    const expected = new Uint8Array(snappyjs.uncompress(withLength(damaged, input.length)));
    assert.deepEqual(room.subarray(64, 64 + input.length), expected);
  }
});

function decode(input: Uint8Array, start: number, output: Uint8Array): boolean {
  const module = blockModule()!;
  module.load(input);
  const view = module.viewLoaded(start, input.length, output.length);
  if (view !== undefined) output.set(view);
  return view !== undefined;
}

function headerLength(stream: Uint8Array): number {
  let length = 1;
  while (length < stream.length && stream[length - 1]! >= 128) length++;
  return length;
}

/** The stream with the length in its header put right: decode() takes the length from its output. */
function withLength(stream: Uint8Array, length: number): Uint8Array {
  const header: number[] = [];
  for (; length >= 128; length >>>= 7) header.push((length & 127) | 128);
  return new Uint8Array([...header, length, ...stream.subarray(headerLength(stream))]);
}

function damage(stream: Uint8Array, random: () => number): Uint8Array {
  const bytes = stream.slice(
    0,
    random() < 0.3 ? Math.max(1, Math.floor(random() * stream.length)) : stream.length,
  );
  const changes = Math.floor(random() * 4);
  for (let i = 0; i < changes; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
  return bytes;
}

test('the checksum of blocks is the low half of XXH64, as published', () => {
  const of = (text: string): number => blockChecksum(Buffer.from(text), 0, text.length, 0);
  assert.equal(of(''), 0x51d8e999);
  assert.equal(of('abc'), 0xad770999);
  assert.equal(of('Nobody inspects the spammish repetition'), 0x8a378bf1);
});

test('the checksum is the same with and without WebAssembly, at every length, place and seed', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const bytes = random.bytes(300_000);
  const lengths = [...Array(100).keys(), 4096, 65535, 65536, 65537, 65568, 131_072, 200_001];
  for (const length of lengths) {
    const start = random.below(1000);
    const seeded = random.pick([0, 1, 0xffffffff, random.below(2 ** 32)]);
    const expected = slowBlockChecksum(bytes, start, start + length, seeded);
    assert.equal(blockChecksum(bytes, start, start + length, seeded), expected, `${length} bytes`);
    if (length === 0) continue;
    const at = start + random.below(length);
    const flipped = bytes.slice();
    flipped[at]! ^= 1 << random.below(8);
    assert.notEqual(
      blockChecksum(flipped, start, start + length, seeded),
      expected,
      `byte ${at} of ${length}`,
    );
  }
});
