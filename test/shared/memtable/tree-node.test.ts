/**
 * The search within a node, against a scan of the same node.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headOf } from '../../../src/shared/base/bytes.ts';
import { encodedEntryBytes, encodeEntry } from '../../../src/shared/log/entry-codec.ts';
import {
  FILLER,
  HEADS,
  keyHead,
  NODE_CAPACITY,
  NODE_COUNT,
  NODE_REFS,
  PREFIX_CHECK,
  PREFIX_LENGTH,
  searchNode,
} from '../../../src/shared/memtable/tree-node.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';

const NODE = 8;
const NEWEST = 0xffffffff;
const ROUNDS = 300;
const PROBES = 40;

/** Keys that begin with `prefix` and go on with few different bytes, the extremes among them. */
function randomKey(random: Random, prefix: Uint8Array): Buffer {
  const alphabet = random.pick([
    [0, 1],
    [0xfe, 0xff],
    [0, 0x7f, 0x80, 0xff],
    [0x30, 0x31, 0x32, 0x33],
  ]);
  const rest = Array.from({ length: random.below(8) }, () => random.pick(alphabet));
  return Buffer.concat([prefix, Buffer.from(rest)]);
}

/** A node as the tree would make it: by key, and of equal keys the largest ref first. */
function makeNode(random: Random, prefix: Uint8Array, isChecked: boolean) {
  const count = random.pick([
    0,
    1,
    2,
    7,
    8,
    9,
    NODE_CAPACITY - 1,
    NODE_CAPACITY,
    random.below(NODE_CAPACITY),
  ]);
  const bytes = new Uint8Array(8192);
  let end = 1;
  const entries = Array.from({ length: isChecked ? Math.max(1, count) : count }, () => {
    const key = randomKey(random, prefix);
    const ref = end;
    end += encodedEntryBytes(key.length, 0);
    encodeEntry(bytes, ref, 1, key, 0, key.length, key, 0, 0);
    return { key, ref };
  }).sort((a, b) => Buffer.compare(a.key, b.key) || b.ref - a.ref);
  const words = new Uint32Array(512);
  words.fill(FILLER, NODE + HEADS, NODE + HEADS + NODE_CAPACITY);
  words[NODE + NODE_COUNT] = entries.length;
  words[NODE + PREFIX_LENGTH] = prefix.length;
  words[NODE + PREFIX_CHECK] = isChecked ? 1 : 0;
  entries.forEach(({ key, ref }, i) => {
    words[NODE + HEADS + i] = headOf(key, prefix.length, key.length);
    words[NODE + NODE_REFS + i] = ref;
  });
  return { entries, words, bytes };
}

for (const isChecked of [false, true]) {
  const what = isChecked ? 'compares the prefix of an edge node' : 'takes the prefix for granted';
  test(`searchNode finds the first entry that is not smaller, and ${what}`, (t) => {
    const random = seededRandom(runSeed(t));
    for (let round = 0; round < ROUNDS; round++) {
      const prefix = random.bytes(random.below(5));
      const { entries, words, bytes } = makeNode(random, prefix, isChecked);
      for (let i = 0; i < PROBES; i++) {
        const start =
          isChecked && random.chance(0.5) ? prefix.subarray(0, random.below(prefix.length + 1)) : prefix;
        const known = entries.length > 0 && random.chance(0.3) ? random.pick(entries) : undefined;
        const key = known?.key ?? randomKey(random, start);
        const bound = random.chance(0.5) && known !== undefined ? known.ref : NEWEST;
        const expected = entries.filter((entry) => {
          const order = Buffer.compare(entry.key, key) || bound - entry.ref;
          return order < 0;
        }).length;
        assert.equal(searchNode(words, bytes, NODE, key, 0, key.length, bound), expected);
      }
    }
  });
}

test('the head of a key is that of bytes.ts, however short the key', () => {
  const bytes = Uint8Array.of(0, 0xff, 0x80, 1, 0xfe, 7, 0xff, 0xff, 0xff, 0xff);
  for (let start = 0; start <= bytes.length; start++)
    for (let end = start; end <= bytes.length; end++)
      assert.equal(keyHead(bytes, start, end), headOf(bytes, start, end), `[${start}, ${end})`);
});
