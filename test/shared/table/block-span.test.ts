/**
 * Scans that take runs of entries out of blocks: the same entries as one by one, whatever the blocks hold and however the
 * sources interleave; buffers that are the caller's alone; and iterators that share what they reuse with nobody.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { EntryKind } from '../../../src/shared/base/entry.ts';
import { CorruptionError } from '../../../src/shared/base/errors.ts';
import type { InternalIterator, KeyRange } from '../../../src/shared/base/iterator.ts';
import { isEmptyRange } from '../../../src/shared/base/key-range.ts';
import { MergingIterator } from '../../../src/shared/merge/merging-iterator.ts';
import { Scan, type ScanEntry, type ScanLimits } from '../../../src/shared/read/scan.ts';
import { ScanCore } from '../../../src/shared/read/scan-core.ts';
import { UserIterator } from '../../../src/shared/read/user-iterator.ts';
import { Block } from '../../../src/shared/table/block.ts';
import { BlockIterator } from '../../../src/shared/table/block-iterator.ts';
import { TableIterator } from '../../../src/shared/table/table-iterator.ts';
import { BlockBuilder } from '../../../src/workers/block-builder.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { NO_READ_AHEAD, scanReader } from '../../helpers/scan-reader.ts';
import { buildTable, collect, compareRows, entryOf, openTable, put, type Row } from '../../helpers/tables.ts';

const HIGHEST_SEQUENCE = 60;
const EVERYTHING: ScanLimits = {
  limit: Number.POSITIVE_INFINITY,
  keys: true,
  values: true,
  signal: undefined,
};

/** Few different bytes, so that keys begin alike, repeat and are prefixes of each other; now and then a long one. */
function randomKey(random: Random): Uint8Array {
  const length = random.chance(0.02) ? random.pick([30, 120, 300, 2100]) : random.below(7);
  return Uint8Array.from({ length }, () => random.pick([0, 0x61, 0x62, 0xff]));
}

function randomRows(random: Random): Row[] {
  const rows = new Map<string, Row>();
  for (let i = random.between(1, 400); i > 0; i--) {
    const length = random.chance(0.03) ? random.pick([2047, 2048, 5000]) : random.below(40);
    const row = put(randomKey(random), 1 + random.below(HIGHEST_SEQUENCE), random.bytes(length));
    const kind = random.chance(0.15) ? EntryKind.Delete : EntryKind.Put;
    rows.set(
      `${Buffer.from(row.key).toString('hex')}@${row.sequence}`,
      kind === EntryKind.Put ? row : { ...row, kind, value: new Uint8Array(0) },
    );
  }
  return [...rows.values()].sort(compareRows);
}

function walkOver(rows: readonly Row[], random: Random): InternalIterator {
  const options = {
    blockSizeBytes: random.pick([64, 300, 4096]),
    restartInterval: random.pick([1, 2, 16, 256]),
  };
  return new TableIterator(openTable(buildTable(rows, options).bytes));
}

/** As the user sees it: `key=value`, in hex. */
function visible(rows: readonly Row[], { start, end }: KeyRange, sequence: number): string[] {
  const newest = new Map<string, Row>();
  for (const row of [...rows].sort(compareRows)) {
    if (row.sequence > sequence) continue;
    if (start !== undefined && compareKeys(row.key, start) < 0) continue;
    if (end !== undefined && compareKeys(row.key, end) >= 0) continue;
    const key = Buffer.from(row.key).toString('hex');
    if (!newest.has(key)) newest.set(key, row);
  }
  return [...newest.values()]
    .filter((row) => row.kind === EntryKind.Put)
    .map((row) => show(row.key, row.value));
}

function show(key: Uint8Array | undefined, value: Uint8Array | undefined): string {
  const hex = (bytes: Uint8Array | undefined): string =>
    bytes === undefined ? '-' : Buffer.from(bytes).toString('hex');
  return `${hex(key)}=${hex(value)}`;
}

function scanOver(source: InternalIterator, range: KeyRange, sequence: number, limits: ScanLimits): Scan {
  const core = new ScanCore(
    scanReader(),
    NO_READ_AHEAD,
    () => new UserIterator(source, range, sequence, false),
    () => {},
  );
  return new Scan(core, limits);
}

/** Reads to the end by nextMany, in parts of any size, and now and then by a single step. */
function readAll(scan: Scan, random: Random): ScanEntry[] {
  const entries: ScanEntry[] = [];
  const single = scan[Symbol.iterator]();
  for (;;) {
    if (random.chance(0.2)) {
      const { done, value } = single.next();
      if (done) return entries;
      entries.push(value);
    }
    const count = random.pick([1, 2, 3, 10, 100, 1000]);
    const part = scan.nextMany(count);
    assert.ok(part.length <= count);
    entries.push(...part);
    if (part.length < count) return entries;
  }
}

test('a scan gives the same entries whether it takes them in runs or not', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 400; round++) {
    const rows = randomRows(random);
    const tables = random.pick([1, 1, 2, 3]);
    const parts: Row[][] = Array.from({ length: tables }, () => []);
    // Neighbours often lie in the same table, so that one leads for a while.
    let part = 0;
    for (const row of rows) {
      if (random.chance(0.2)) part = random.below(tables);
      parts[part]!.push(row);
    }
    const children = parts.filter((own) => own.length > 0).map((own) => walkOver(own, random));
    const source = children.length === 1 ? children[0]! : new MergingIterator(children);
    const range: KeyRange = {
      start: random.chance(0.4) ? randomKey(random) : undefined,
      end: random.chance(0.4) ? randomKey(random) : undefined,
    };
    const sequence = random.chance(0.5) ? HIGHEST_SEQUENCE : random.below(HIGHEST_SEQUENCE);
    const expected = isEmptyRange(range) ? [] : visible(rows, range, sequence);
    const limits: ScanLimits = {
      ...EVERYTHING,
      limit: random.chance(0.3) ? random.below(30) : Number.POSITIVE_INFINITY,
      keys: random.chance(0.8),
      values: random.chance(0.8),
    };
    const entries = readAll(scanOver(source, range, sequence, limits), random);
    assert.deepEqual(
      entries.map(([key, value]) => show(key, value)),
      expected
        .slice(0, limits.limit)
        .map((line) => line.split('='))
        .map(([key, value]) => `${limits.keys ? key : '-'}=${limits.values ? value : '-'}`),
      `round ${round}, seed ${random.seed}`,
    );
  }
});

test('a seek in a block lands on the first key that is not below the target', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 200; round++) {
    const rows = randomRows(random);
    const iterator = new TableIterator(openTable(buildTable(rows, { blockSizeBytes: 1 << 22 }).bytes));
    for (let i = 0; i < 30; i++) {
      const key = random.chance(0.5) ? randomKey(random) : random.pick(rows).key;
      const from = rows.findIndex((row) => compareKeys(row.key, key) >= 0);
      const message = `round ${round}, seed ${random.seed}`;
      assert.equal(iterator.seek(key), from >= 0, message);
      for (let at = from; at >= 0 && at < Math.min(from + 5, rows.length); at++) {
        const { entry } = iterator;
        const found = entry.keyBytes.subarray(entry.keyStart, entry.keyEnd);
        assert.deepEqual([...found], [...rows[at]!.key], message);
        assert.equal(entry.sequence, rows[at]!.sequence, message);
        assert.equal(iterator.next(), at + 1 < rows.length, message);
      }
    }
  }
});

test('buffers of a scan share no byte, and a large value does not cost a slab', () => {
  const rows = Array.from({ length: 600 }, (_, i) =>
    put(`key-${String(i).padStart(5, '0')}`, 1, new Uint8Array(i % 50 === 0 ? 3000 : 60).fill(i)),
  );
  const scan = scanOver(new TableIterator(openTable(buildTable(rows).bytes)), {}, 1, EVERYTHING);
  const buffers = scan.nextMany(1000).flat();
  assert.equal(buffers.length, 1200);
  const slabs = new Set<ArrayBufferLike>();
  const spans = new Map<ArrayBufferLike, [start: number, end: number][]>();
  for (const buffer of buffers) {
    assert.ok(Buffer.isBuffer(buffer));
    assert.equal(Object.getPrototypeOf(buffer), Buffer.prototype);
    if (buffer.length < 2048) slabs.add(buffer.buffer);
    const taken = spans.get(buffer.buffer) ?? [];
    taken.push([buffer.byteOffset, buffer.byteOffset + buffer.length]);
    spans.set(buffer.buffer, taken);
  }
  for (const taken of spans.values()) {
    taken.sort(([a], [b]) => a - b);
    for (let i = 1; i < taken.length; i++) assert.ok(taken[i - 1]![1] <= taken[i]![0], 'buffers overlap');
  }
  // 588 small entries of less than 80 bytes.
  assert.ok(slabs.size <= 5, `${slabs.size} slabs`);
});

test('damaged blocks end a scan with CorruptionError only', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 3000; round++) {
    const builder = new BlockBuilder(random.pick([1, 4, 16]), 4096);
    const rows = randomRows(random).slice(0, 60);
    for (const row of rows) builder.add(entryOf(row), 0, row.sequence);
    const content = builder.finish().slice();
    for (let i = random.between(1, 5); i > 0; i--) content[random.below(content.length)] = random.below(256);
    try {
      const source = new BlockIterator(new Block(content, 0, 'file', 0));
      const range: KeyRange = { end: random.chance(0.5) ? randomKey(random) : undefined };
      const entries = scanOver(source, range, HIGHEST_SEQUENCE, EVERYTHING).nextMany(10_000);
      assert.ok(entries.length <= content.length);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
    }
  }
});

test('a closed table iterator stands nowhere, and closing it again does not disturb the next one', () => {
  const rows = Array.from({ length: 300 }, (_, i) => put(String(1000 + i), 1, `value ${i}`));
  const reader = openTable(buildTable(rows).bytes);
  const first = new TableIterator(reader);
  assert.ok(first.seekToFirst());
  first.close();
  first.close();
  assert.equal(first.entry.valueBytes.length, 0);
  assert.throws(() => first.next(), /closed/);
  assert.throws(() => first.seekToFirst(), /closed/);
  const second = new TableIterator(reader);
  assert.ok(second.seek(rows[150]!.key));
  first.close();
  const third = new TableIterator(reader);
  assert.equal(collect(third).length, rows.length);
  assert.deepEqual(
    Buffer.from(second.entry.keyBytes.subarray(0, second.entry.keyEnd)),
    Buffer.from(rows[150]!.key),
  );
  assert.ok(second.next());
});
