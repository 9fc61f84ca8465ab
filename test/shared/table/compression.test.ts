/** Codecs: round trips, hostile payloads, claims of more than a payload can hold. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Codec,
  CodecError,
  type CodecName,
  codecById,
  codecByName,
  isCodecAvailable,
  requireCodec,
} from '../../../src/shared/table/compression.ts';
import { compressBlock, maxCompressedLength } from '../../../src/shared/table/seal-block.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const NAMES: readonly CodecName[] = ['none', 'snappy', 'lz4'];
const MIB = 1024 * 1024;

function compress(codec: Codec, input: Uint8Array): Uint8Array {
  const output = new Uint8Array(maxCompressedLength(codec, input.length));
  return output.slice(0, compressBlock(codec, input, output));
}

/** Half noise, half repetition. */
function compressible(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i > 50 && i % 100 >= 50 ? bytes[i - 50]! : random.below(256);
  return bytes;
}

/** Applies random damage; decompression must give CodecError or exactly `length` bytes. */
function attack(codec: Codec, payload: Uint8Array, length: number, random: Random): void {
  const mutant = payload.slice(0, random.chance(0.3) ? random.below(payload.length + 1) : payload.length);
  for (let n = random.between(1, 6); n > 0 && mutant.length > 0; n--) {
    const position = random.below(Math.min(mutant.length, random.pick([4, 40, mutant.length])));
    mutant[position] = random.pick([0, 0xff, 0x80, 0xfc, 0xf8, random.below(256)]);
  }
  try {
    assert.equal(codec.decompress(mutant, length).length, length);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
}

for (const name of NAMES) {
  describe(`codec ${name}`, { skip: isCodecAvailable(name) ? false : `${name} is not installed` }, () => {
    const codec = codecByName(name);

    test('is found by the byte on disk', () => {
      assert.equal(codec.name, name);
      assert.equal(codecById(codec.id), codec);
      assert.equal(codec.id, NAMES.indexOf(name));
    });

    test('gives back what was compressed', (t) => {
      const random = seededRandom(freshSeed());
      reportSeed(t, random.seed);
      for (const length of [1, 2, 14, 15, 16, 100, 4096, 65535, 65536, 65537, 300_000]) {
        for (const input of [compressible(random, length), random.bytes(length), new Uint8Array(length)]) {
          const copy = codec.decompress(compress(codec, input), length);
          assert.ok(Buffer.compare(copy, input) === 0, `length ${length}`);
          assert.equal(copy.constructor, Uint8Array);
        }
      }
    });

    test('refuses a payload that yields another length', () => {
      const payload = compress(codec, new Uint8Array(1000));
      for (const wrong of [0, 1, 999, 1001]) {
        assert.throws(() => codec.decompress(payload, wrong), CodecError);
      }
    });

    test('meets damaged payloads with CodecError or the right length', (t) => {
      const random = seededRandom(freshSeed());
      reportSeed(t, random.seed);
      for (let i = 0; i < 20_000; i++) {
        const length = random.between(1, 700);
        attack(codec, compress(codec, compressible(random, length)), length, random);
      }
    });

    test('refuses a small block that claims gigabytes, without allocating them', () => {
      const before = process.memoryUsage().rss;
      for (const claim of [2 ** 32 - 1, 2 ** 31, 2 ** 30, 256 * MIB, 2 * MIB]) {
        const payload = compress(codec, new Uint8Array(4096)).slice();
        if (name === 'snappy') payload.set([0xff, 0xff, 0xff, 0xff, 0x0f]);
        if (name === 'lz4') new DataView(payload.buffer).setUint32(0, claim, true);
        assert.throws(() => codec.decompress(payload, claim), CodecError);
      }
      assert.ok(process.memoryUsage().rss - before < 16 * MIB);
    });
  });
}

describe('snappy payloads that snappyjs alone would mishandle', () => {
  const cases: readonly [what: string, payload: number[], length: number][] = [
    ['a negative literal length (an endless loop)', [8, 0xfc, 0xfa, 0xff, 0xff, 0xff, 0, 0, 0, 0], 8],
    [
      'a negative copy offset (reads ahead of itself)',
      [8, 0x0c, 1, 2, 3, 4, 0x0f, 0xff, 0xff, 0xff, 0xff],
      8,
    ],
    ['too few bytes (zeros at the end)', [9, 0x0c, 1, 2, 3, 4], 9],
    ['too many bytes (cut off)', [3, 0x0c, 1, 2, 3, 4], 3],
    ['a copy without its offset', [8, 0x0c, 1, 2, 3, 4, 0x01], 8],
    ['a copy from before the start', [8, 0x0c, 1, 2, 3, 4, 0x0e, 5, 0], 8],
    ['a copy with offset 0', [8, 0x0c, 1, 2, 3, 4, 0x0e, 0, 0], 8],
    ['no length', [], 1],
    ['an endless length', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1],
  ];
  for (const [what, payload, length] of cases) {
    test(`${what} is a CodecError`, () => {
      assert.throws(() => codecByName('snappy').decompress(Uint8Array.from(payload), length), CodecError);
    });
  }
});

test('codecById knows no other byte', () => {
  for (const id of [3, 4, 127, 255]) assert.equal(codecById(id), undefined);
});

test('isCodecAvailable and requireCodec always accept none and snappy', () => {
  assert.ok(isCodecAvailable('none') && isCodecAvailable('snappy'));
  requireCodec('none');
  requireCodec('snappy');
});
