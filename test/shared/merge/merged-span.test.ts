/**
 * Merges that take runs out of their sources' batches, against a sorted list: sources of every kind, read by loops and by
 * nextMany in turns, walked to and fro, written to meanwhile, damaged.
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
import { BlockBuilder } from '../../../src/workers/block-builder.ts';
import { keyMaker, randomSources } from '../../helpers/merge-sources.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { NO_READ_AHEAD, scanReader } from '../../helpers/scan-reader.ts';
import { compareRows, entryOf, put, type Row, rowOf } from '../../helpers/tables.ts';

const EVERYTHING: ScanLimits = {
  limit: Number.POSITIVE_INFINITY,
  keys: true,
  values: true,
  signal: undefined,
};

function scanOver(
  source: InternalIterator,
  range: KeyRange,
  sequence: number,
  limits: ScanLimits,
  reverse = false,
): Scan {
  const core = new ScanCore(
    scanReader(),
    NO_READ_AHEAD,
    () => new UserIterator(source, range, sequence, reverse),
    () => {},
  );
  return new Scan(core, limits);
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '-' : Buffer.from(bytes).toString('hex');
}

/** What the user sees of sorted rows. */
function visible(rows: readonly Row[], { start, end }: KeyRange, sequence: number): Row[] {
  const seen: Row[] = [];
  let decided: Row | undefined;
  for (const row of rows) {
    if (row.sequence > sequence) continue;
    if (decided !== undefined && compareKeys(decided.key, row.key) === 0) continue;
    decided = row;
    if (start !== undefined && compareKeys(row.key, start) < 0) continue;
    if (end !== undefined && compareKeys(row.key, end) >= 0) continue;
    if (row.kind === EntryKind.Put) seen.push(row);
  }
  return seen;
}

/** To the end: by loop, by nextMany, or by both in turns. */
function readAll(scan: Scan, random: Random, between: () => void): ScanEntry[] {
  const entries: ScanEntry[] = [];
  const loop = scan[Symbol.iterator]();
  const singles = random.pick([0, 0.5, 0.97, 1]);
  const counts = random.pick([[1, 2, 3], [7, 64, 65], [1000], [1, 5, 33, 300]]);
  for (;;) {
    if (random.chance(0.1)) between();
    if (random.chance(singles)) {
      const { done, value } = loop.next();
      if (done) return entries;
      entries.push(value);
      continue;
    }
    const count = random.pick(counts);
    const part = scan.nextMany(count);
    assert.ok(part.length <= count);
    entries.push(...part);
    if (part.length < count) return entries;
  }
}

test('a scan over a merge of any sources gives what a sorted list of all writes would', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 600; round++) {
    const sources = randomSources(random, random.between(1, 5));
    const makeKey = keyMaker(random);
    const bound = (): Uint8Array =>
      random.chance(0.5) ? makeKey() : random.pick([...sources.rows, put('', 1)]).key;
    const range: KeyRange = {
      start: random.chance(0.3) ? bound() : undefined,
      end: random.chance(0.3) ? bound() : undefined,
    };
    const highest = sources.highestSequence;
    const sequence = random.chance(0.5) ? highest : random.below(highest + 1);
    const limits: ScanLimits = {
      ...EVERYTHING,
      limit: random.chance(0.2) ? random.below(100) : Number.POSITIVE_INFINITY,
      keys: random.chance(0.85),
      values: random.chance(0.85),
    };
    const reverse = random.chance(0.1);
    const expected = isEmptyRange(range) ? [] : visible(sources.rows, range, sequence);
    if (reverse) expected.reverse();
    const scan = scanOver(new MergingIterator(sources.iterators), range, sequence, limits, reverse);
    const entries = readAll(scan, random, () => sources.disturb(random.below(4)));
    assert.deepEqual(
      entries.map(([key, value]) => `${hex(key)}=${hex(value)}`),
      expected
        .slice(0, limits.limit)
        .map((row) => `${limits.keys ? hex(row.key) : '-'}=${limits.values ? hex(row.value) : '-'}`),
      `round ${round}, seed ${random.seed}`,
    );
    scan.close();
  }
});

test('buffers of a merged scan share no byte', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 30; round++) {
    const sources = randomSources(random, random.between(1, 4));
    const source = new MergingIterator(sources.iterators);
    const buffers = scanOver(source, {}, sources.highestSequence, EVERYTHING).nextMany(10_000).flat();
    for (const buffer of buffers) assert.equal(Object.getPrototypeOf(buffer), Buffer.prototype);
    const taken = buffers
      .filter((buffer) => buffer.length > 0)
      .map((buffer) => ({
        memory: buffer.buffer,
        start: buffer.byteOffset,
        end: buffer.byteOffset + buffer.length,
      }));
    for (const spans of group(taken).values()) {
      spans.sort((a, b) => a.start - b.start);
      for (let i = 1; i < spans.length; i++)
        assert.ok(spans[i - 1]!.end <= spans[i]!.start, 'buffers overlap');
    }
  }
});

interface Span {
  readonly memory: ArrayBufferLike;
  readonly start: number;
  readonly end: number;
}

function group(spans: readonly Span[]): Map<ArrayBufferLike, Span[]> {
  const groups = new Map<ArrayBufferLike, Span[]>();
  for (const span of spans) groups.set(span.memory, [...(groups.get(span.memory) ?? []), span]);
  return groups;
}

test('a merge walks like a sorted list, to and fro over sources that read ahead', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 300; round++) {
    const sources = randomSources(random, random.between(1, 5));
    const { rows } = sources;
    const makeKey = keyMaker(random);
    const iterator = new MergingIterator(sources.iterators);
    const message = `round ${round}, seed ${random.seed}`;
    let at = -1;
    for (let step = 0; step < 40; step++) {
      if (random.chance(0.1)) sources.disturb(random.below(30));
      const key = random.chance(0.5) && rows.length > 0 ? random.pick(rows).key : makeKey();
      const stands = at >= 0 && at < rows.length;
      const from = rows.findIndex((row) => compareKeys(row.key, key) >= 0);
      const [move, to] = random.pick<[() => boolean, number]>([
        [() => iterator.seekToFirst(), 0],
        [() => iterator.seekToLast(), rows.length - 1],
        [() => iterator.seek(key), from < 0 ? rows.length : from],
        [() => iterator.seekBefore(key), from < 0 ? rows.length - 1 : from - 1],
      ]);
      if (!stands || random.chance(0.1)) {
        at = to;
        assert.equal(move(), at >= 0 && at < rows.length, message);
      }
      const direction = random.chance(0.6) ? 1 : -1;
      for (let i = random.pick([1, 2, 5, 30, 200]); i > 0 && at >= 0 && at < rows.length; i--) {
        assert.deepEqual(rowOf(iterator.entry), plain(rows[at]!), message);
        at += direction;
        const moved = direction === 1 ? iterator.next() : iterator.prev();
        assert.equal(moved, at >= 0 && at < rows.length, message);
      }
    }
    iterator.close();
  }
});

function plain({ key, sequence, kind, value }: Row): Row {
  return { key: new Uint8Array(key), sequence, kind, value: new Uint8Array(value) };
}

test('what lies in front of damage comes out of a merge before it throws, and nothing is left out', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 300; round++) {
    const makeKey = keyMaker(random);
    const parts: Row[][] = [[], []];
    for (let sequence = 1; sequence <= 80; sequence++)
      random.pick(parts).push(put(makeKey(), sequence, 'value'));
    const blocks = parts.map((part) => {
      const builder = new BlockBuilder(random.pick([1, 4, 16]), 1 << 20);
      for (const row of part.sort(compareRows)) builder.add(entryOf(row), 0, row.sequence);
      return builder.finish().slice();
    });
    const [damaged, sound] = blocks as [Uint8Array, Uint8Array];
    const offsets = entryOffsets(damaged);
    const victim = random.between(1, offsets.length - 1);
    damaged[offsets[victim]!.kindAt] = 9;
    const children = [new Block(damaged, 0, 'bad.sst', 7), new Block(sound, 0, 'file', 0)];
    const scan = scanOver(
      new MergingIterator(children.map((block) => new BlockIterator(block))),
      {},
      1000,
      EVERYTHING,
    );
    const all = visible(parts.flat().sort(compareRows), {}, 1000).map((row) => hex(row.key));
    const last = parts[0]![victim - 1]!.key;
    const safe = all.filter((key) => Buffer.compare(Buffer.from(key, 'hex'), last) <= 0);
    const seen: string[] = [];
    assert.throws(
      () => {
        for (const [key] of scan) seen.push(hex(key));
      },
      (error) =>
        error instanceof CorruptionError && /bad\.sst/.test(String(error.message) + String(error.file)),
      `round ${round}, seed ${random.seed}`,
    );
    assert.deepEqual(seen, all.slice(0, seen.length), `round ${round}, seed ${random.seed}`);
    assert.ok(
      seen.length >= safe.length,
      `${seen.length} of ${safe.length}, round ${round}, seed ${random.seed}`,
    );
  }
});

/** Where the entries of a block of one-byte lengths have their kinds. */
function entryOffsets(bytes: Uint8Array): { readonly kindAt: number }[] {
  const view = Buffer.from(bytes);
  const restarts = view.readUInt32LE(bytes.length - 4);
  const end = bytes.length - 4 - restarts * 4;
  const offsets: { readonly kindAt: number }[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < end) {
    varint();
    const diffLength = varint();
    const valueLength = varint();
    offsets.push({ kindAt: at++ });
    varint();
    at += diffLength + valueLength;
  }
  return offsets;
}
