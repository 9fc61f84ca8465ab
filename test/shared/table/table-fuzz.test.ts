/**
 * Decoders against structured garbage whose checksums are right: only CorruptionError, bounded time, no endless loop.
 * FUZZ_SECONDS lengthens the run.
 */

import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { CorruptionError } from '../../../src/shared/base/errors.ts';
import type { InternalIterator } from '../../../src/shared/base/iterator.ts';
import { Block, findInBlock } from '../../../src/shared/table/block.ts';
import { openBlock } from '../../../src/shared/table/block-codec.ts';
import { BlockIterator } from '../../../src/shared/table/block-iterator.ts';
import { codecByName } from '../../../src/shared/table/compression.ts';
import { compressBlock, maxCompressedLength } from '../../../src/shared/table/seal-block.ts';
import { TableIterator } from '../../../src/shared/table/table-iterator.ts';
import { BlockBuilder } from '../../../src/workers/block-builder.ts';
import { mutate } from '../../helpers/fuzz.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { metaOf, sealedAs, withMeta } from '../../helpers/table-surgery.ts';
import { buildTable, entryOf, openTable, put, type Row } from '../../helpers/tables.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 1);

function rowsOf(random: Random): Row[] {
  const step = random.between(1, 50);
  return Array.from({ length: random.between(1, 60) }, (_, i) =>
    put(`k${String(1000 + i * step)}`, 100 + random.below(100), random.bytes(random.below(30))),
  );
}

/** Every move there is. The steps are counted, so that a walk that never ends fails. */
function exercise(iterator: InternalIterator, random: Random, maxEntries: number): void {
  const key = new TextEncoder().encode(`k${random.below(5000)}`);
  const walks: readonly [start: () => boolean, step: () => boolean][] = [
    [() => iterator.seekToFirst(), () => iterator.next()],
    [() => iterator.seekToLast(), () => iterator.prev()],
    [() => iterator.seek(key), () => iterator.next()],
    [() => iterator.seekBefore(key), () => iterator.prev()],
    [() => iterator.seek(key), () => iterator.prev()],
  ];
  for (const [start, step] of walks) {
    onlyCorruption(() => {
      let count = 0;
      for (let on = start(); on; on = step()) {
        assert.ok(++count <= maxEntries, 'the walk does not end');
        const { keyStart, keyEnd, keyBytes, valueStart, valueEnd, valueBytes } = iterator.entry;
        assert.ok(keyStart <= keyEnd && keyEnd <= keyBytes.length);
        assert.ok(valueStart <= valueEnd && valueEnd <= valueBytes.length);
      }
    });
  }
}

function onlyCorruption(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
  }
}

/** Runs `once` for SECONDS and reports how often, and how long the slowest took. */
function fuzz(report: (line: string) => void, once: () => void): void {
  const end = performance.now() + SECONDS * 1000;
  let executions = 0;
  let slowestMs = 0;
  for (let now = performance.now(); now < end; executions++) {
    const before = now;
    once();
    now = performance.now();
    slowestMs = Math.max(slowestMs, now - before);
  }
  report(`FIGURE executions=${executions} slowest-ms=${slowestMs.toFixed(1)} failures=0`);
  assert.ok(slowestMs < 1000, `an input took ${slowestMs} ms`);
}

test('Block, BlockIterator and findInBlock meet damaged contents with CorruptionError only', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const into = new Entry();
  fuzz(
    (line) => t.diagnostic(line),
    () => {
      const builder = new BlockBuilder(random.pick([1, 4, 16]), 4096);
      for (const row of rowsOf(random)) builder.add(entryOf(row), 0, row.sequence);
      const content = mutate(builder.finish(), random);
      onlyCorruption(() => {
        const block = new Block(content, 0, 'file', 0);
        exercise(new BlockIterator(block), random, content.length);
        const key = new TextEncoder().encode(`k${random.below(5000)}`);
        onlyCorruption(() => void findInBlock(block, key, random.below(300), into));
      });
    },
  );
});

test('openBlock meets damaged payloads with CorruptionError only, checksums being right', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const codec = codecByName('snappy');
  fuzz(
    (line) => t.diagnostic(line),
    () => {
      const content = new Uint8Array(random.between(1, 800)).map((_, i) =>
        i % 20 < 15 ? i % 5 : random.below(256),
      );
      const payload = new Uint8Array(maxCompressedLength(codec, content.length));
      const mutant = mutate(payload.slice(0, compressBlock(codec, content, payload)), random);
      const codecByte = random.chance(0.9) ? codec.id : random.below(256);
      const length = random.chance(0.9) ? content.length : random.pick([0, content.length + 1, 0xffffffff]);
      const sealed = sealedAs(codecByte, mutant, length, 7, 0);
      onlyCorruption(() => void openBlock(sealed, 7, 0, 'file'));
    },
  );
});

test('TableReader meets damaged meta blocks with CorruptionError only, checksums being right', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const tables = Array.from({ length: 10 }, () => buildTable(rowsOf(random), { blockSizeBytes: 200 }).bytes);
  fuzz(
    (line) => t.diagnostic(line),
    () => {
      const table = random.pick(tables);
      const mutant = withMeta(table, mutate(metaOf(table), random));
      onlyCorruption(() => exercise(new TableIterator(openTable(mutant)), random, 100));
    },
  );
});

test('a meta block with sections and properties of the future is read', () => {
  const { bytes } = buildTable([put('a', 5), put('b', 6)]);
  const meta = metaOf(bytes);
  const future = withMeta(bytes, Uint8Array.from([200, 3, 0, 0, 0, 1, 2, 3, ...meta, 201, 0, 0, 0, 0]));
  assert.equal(openTable(future).properties.entryCount, 2);
  // One more property, of tag 99 and two bytes, at the end of the first section.
  const length = meta[1]! + meta[2]! * 256;
  const extended = [...meta.subarray(0, 5 + length), 99, 2, 7, 7, ...meta.subarray(5 + length)];
  extended[1] = (length + 4) & 255;
  assert.equal(openTable(withMeta(bytes, Uint8Array.from(extended))).properties.entryCount, 2);
});
