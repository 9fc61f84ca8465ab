/**
 * What tables are made of: block building, sealing, opening, seeking and walking; the bloom filter.
 */

import { sharedPrefixLength } from '../../src/shared/base/bytes.ts';
import { Entry } from '../../src/shared/base/entry.ts';
import { Block, findInBlock } from '../../src/shared/table/block.ts';
import { openBlock } from '../../src/shared/table/block-codec.ts';
import { BlockIterator } from '../../src/shared/table/block-iterator.ts';
import { BloomFilter, BloomFilterBuilder, hashKey } from '../../src/shared/table/bloom-filter.ts';
import { codecByName, isCodecAvailable } from '../../src/shared/table/compression.ts';
import { maxSealedLength, sealBlock } from '../../src/shared/table/seal-block.ts';
import { BlockBuilder } from '../../src/workers/block-builder.ts';
import { type Micro, makeDataset, randomOrder, standOn } from './micro.ts';

const BLOCK_BYTES = 4096;
const RESTART_INTERVAL = 16;
/** 116 bytes each fill a block. */
const ENTRIES = 33;
const FILTER_KEYS = 100_000;
const PROBES = 1000;
const FILE_NUMBER = 5;
const data = makeDataset(FILTER_KEYS);
const keys: readonly Buffer[] = Array.from({ length: ENTRIES }, (_, record) => data.key(record));
const entry = new Entry();

function buildBlock(builder: BlockBuilder): Uint8Array {
  for (let i = 0; i < ENTRIES; i++) {
    const key = keys[i]!;
    const before = i === 0 ? undefined : keys[i - 1]!;
    const shared =
      before === undefined ? 0 : sharedPrefixLength(before, 0, before.length, key, 0, key.length);
    builder.add(standOn(entry, key, data.value(i), i + 1), shared, i + 1);
  }
  return builder.finish();
}

function content(): Uint8Array {
  return buildBlock(new BlockBuilder(RESTART_INTERVAL, BLOCK_BYTES)).slice();
}

function seals(name: 'none' | 'snappy' | 'lz4'): Micro[] {
  if (!isCodecAvailable(name)) return [];
  const codec = codecByName(name);
  const make = (): { readonly block: Uint8Array; readonly sealed: Uint8Array } => {
    const block = content();
    const output = new Uint8Array(maxSealedLength(codec, block.length));
    return { block, sealed: output.slice(0, sealBlock(block, codec, FILE_NUMBER, 0, output)) };
  };
  return [
    {
      name: `block seal, ${name} and checksum, 4 KiB`,
      operationsPerCall: 1,
      make: () => {
        const { block } = make();
        const output = new Uint8Array(maxSealedLength(codec, block.length));
        return () => sealBlock(block, codec, FILE_NUMBER, 0, output);
      },
    },
    {
      name: `block open, ${name} and checksum, 4 KiB`,
      operationsPerCall: 1,
      make: () => {
        const { sealed } = make();
        return () => openBlock(sealed, FILE_NUMBER, 0, 'micro').length;
      },
    },
  ];
}

export const BLOCK_MICROS: readonly Micro[] = [
  {
    name: 'block build, an entry',
    operationsPerCall: ENTRIES,
    make: () => {
      const builder = new BlockBuilder(RESTART_INTERVAL, BLOCK_BYTES);
      return () => buildBlock(builder).length;
    },
  },
  {
    name: 'block seek, an entry',
    operationsPerCall: ENTRIES,
    make: () => {
      const block = new Block(content(), 0, 'micro', 0);
      const order = randomOrder(ENTRIES);
      return () => {
        let found = 0;
        for (const record of order) found += findInBlock(block, keys[record]!, ENTRIES + 1, entry);
        return found;
      };
    },
  },
  {
    name: 'block walk, an entry',
    operationsPerCall: ENTRIES,
    make: () => {
      const block = new Block(content(), 0, 'micro', 0);
      return () => {
        const iterator = new BlockIterator(block);
        let steps = 0;
        for (let stands = iterator.seekToFirst(); stands; stands = iterator.next()) steps++;
        return steps;
      };
    },
  },
  ...seals('none'),
  ...seals('snappy'),
  ...seals('lz4'),
];

export const BLOOM_MICROS: readonly Micro[] = [
  {
    name: 'bloom hash, a key of 16 bytes',
    operationsPerCall: ENTRIES,
    make: () => () => {
      let mixed = 0;
      for (const key of keys) mixed ^= hashKey(key, 0, key.length);
      return mixed;
    },
  },
  {
    name: `bloom probe, ${FILTER_KEYS.toLocaleString('en')} keys, half absent`,
    operationsPerCall: PROBES,
    make: () => {
      const builder = new BloomFilterBuilder(10);
      for (let record = 0; record < FILTER_KEYS; record += 2) builder.add(hashOf(record));
      const filter = BloomFilter.decode(builder.encode())!;
      const hashes = Uint32Array.from(randomOrder(PROBES), (_, i) => hashOf(i * 97));
      return () => {
        let found = 0;
        for (const hash of hashes) if (filter.mayContain(hash)) found++;
        return found;
      };
    },
  },
];

function hashOf(record: number): number {
  const key = data.key(record);
  return hashKey(key, 0, key.length);
}
