/** Blocks of random entries, and answers of lookups in a form that can be compared. */
import { sharedPrefixLength } from '../../src/shared/base/bytes.ts';
import { Entry } from '../../src/shared/base/entry.ts';
import { Block, Found } from '../../src/shared/table/block.ts';
import { BlockBuilder } from '../../src/workers/block-builder.ts';
import type { Random } from './rng.ts';

export interface Sample {
  readonly block: Block;
  readonly keys: readonly Buffer[];
}

/** `entries` keys, some of them in two versions, some deleted; sequences count from 100. */
export function sampleBlock(random: Random, entries: number, valueBytes: number, prefix: string): Sample {
  const builder = new BlockBuilder(random.pick([1, 4, 16]), 4096);
  const keys = new Set<string>();
  while (keys.size < entries) keys.add(prefix + random.below(100_000).toString(36));
  const sorted = [...keys].map((key) => Buffer.from(key)).sort(Buffer.compare);
  const entry = new Entry();
  let before: Uint8Array = Buffer.alloc(0);
  for (const key of sorted) {
    const versions = random.below(10) === 0 ? 2 : 1;
    for (let version = versions; version >= 1; version--) {
      const value = Buffer.alloc(random.below(valueBytes + 1), version);
      entry.keyBytes = key;
      entry.keyStart = 0;
      entry.keyEnd = key.length;
      entry.valueBytes = value;
      entry.valueStart = 0;
      entry.valueEnd = value.length;
      entry.kind = random.below(8) === 0 ? 0 : 1;
      const shared = sharedPrefixLength(before, 0, before.length, key, 0, key.length);
      builder.add(entry, shared, version === 1 ? 1 : random.pick([2, 1000]));
      before = key;
    }
  }
  return { block: new Block(builder.finish().slice(), 100, 'file', 0), keys: sorted };
}

/** What a lookup said, and of an entry that is there everything. */
export function told(found: Found, entry: Entry): string {
  if (found !== Found.Here) return `found ${found}`;
  const value = Buffer.from(entry.valueBytes.subarray(entry.valueStart, entry.valueEnd));
  return `here ${entry.kind} ${entry.sequence} ${value.toString('hex')}`;
}
