/**
 * Series of keys that are hard on an index: for the tests of the memtable's tree, inserted into or built at once.
 */
import { KeyGenerator, MANY_VERSIONS, MIXED_KEYS } from './key-generator.ts';
import type { Random } from './rng.ts';

export type NextKey = (i: number) => string;

export const SHAPES: readonly { readonly name: string; readonly keys: (random: Random) => NextKey }[] = [
  { name: 'rising', keys: () => (i) => String(i).padStart(8, '0') },
  { name: 'falling', keys: () => (i) => String(1_000_000 - i).padStart(8, '0') },
  { name: 'one key', keys: () => () => 'the same' },
  { name: 'the empty key', keys: () => () => '' },
  { name: 'two keys in turn', keys: () => (i) => (i % 2 === 0 ? 'a' : 'b') },
  { name: 'runs of zero bytes', keys: (random) => () => '\x00'.repeat(random.below(200)) },
  { name: 'runs of 0xff', keys: (random) => () => '\xff'.repeat(random.below(200)) },
  { name: 'many series in step', keys: () => (i) => `series ${i % 61}/${String(i).padStart(7, '0')}` },
  { name: 'long shared prefixes', keys: (random) => () => `${'p'.repeat(300)}${random.below(3000)}` },
  { name: 'shared prefixes that get shorter', keys: (random) => withShrinkingPrefix(random) },
  {
    name: 'heads that differ in one bit',
    keys: (random) => () => `${random.pick(['ab', 'b'])}${'@A'[random.below(2)]}${random.below(500)}`,
  },
  { name: 'random', keys: (random) => () => Buffer.from(random.bytes(random.below(10))).toString('latin1') },
  { name: 'mixed', keys: (random) => withGenerator(new KeyGenerator(random, MIXED_KEYS)) },
  { name: 'many versions', keys: (random) => withGenerator(new KeyGenerator(random, MANY_VERSIONS)) },
];

/** What all keys have in common loses a byte now and then, on either side of those before. */
function withShrinkingPrefix(random: Random): NextKey {
  return (i) => {
    const length = Math.max(0, 20 - Math.floor(i / 250));
    const stranger = random.chance(0.01) ? random.pick(['a', 'z', '']) : 'm';
    return `${'m'.repeat(length)}${stranger}${random.below(100_000)}`;
  };
}

function withGenerator(generator: KeyGenerator): NextKey {
  return () => generator.next();
}
