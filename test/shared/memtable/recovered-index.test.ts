/**
 * The index that is built over a recovered log, against a sorted list of its writes, and against inserting one by one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { RECORD_HEADER_BYTES, RecordType, sealRecord } from '../../../src/shared/log/log-format.ts';
import { capacityFor, MemtableArena, NODE_START } from '../../../src/shared/memtable/arena.ts';
import { Memtable } from '../../../src/shared/memtable/memtable.ts';
import { memtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import { indexRecovered } from '../../../src/shared/memtable/recovered-index.ts';
import { builtNodeBytes } from '../../../src/shared/memtable/tree-builder.ts';
import { type NextKey, SHAPES } from '../../helpers/key-shapes.ts';
import { assertIterates, inOrder, MemtableModel, toWrite } from '../../helpers/memtable-model.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';
import { toBytes } from '../../helpers/sorted-model.ts';

const FIRST = 1_000_000_000_000;

/** `count` writes in groups of random size, and here and there a note, as a log's bytes. */
function written(count: number, next: NextKey, random: Random): MemtableModel {
  const model = new MemtableModel(16 << 20, FIRST);
  const { arena } = model.memtable;
  const record = (type: number, fill: () => void): void => {
    const start = arena.reserve(RECORD_HEADER_BYTES);
    const firstSequence = model.memtable.nextSequence;
    fill();
    const payloadLength = arena.dataEnd - start - RECORD_HEADER_BYTES;
    sealRecord(arena.bytes, start, { type, logNumber: 7, firstSequence, syncedUpTo: 0, payloadLength });
  };
  for (let i = 0; i < count; ) {
    const end = Math.min(count, i + random.between(1, random.chance(0.1) ? 300 : 3));
    record(RecordType.Group, () => {
      for (; i < end; i++) model.append(next(i), random.chance(0.2) ? undefined : `v${i}`);
    });
    if (random.chance(0.05)) record(RecordType.Note, () => arena.reserve(2));
  }
  return model;
}

/** The bytes of `logs`, each from the start of a bucket on, in an arena that has room for them and for the index alone. */
function recovered(logs: readonly MemtableModel[]): Memtable {
  const count = logs.reduce((sum, { writes }) => sum + writes.length, 0);
  const parts = logs.map(({ memtable: { arena } }) => arena.bytes.slice(arena.dataStart, arena.dataEnd));
  const dataBytes = parts.reduce((sum, part) => sum + Math.ceil(part.length / 1024) * 1024, 0);
  const arena = MemtableArena.create(capacityFor(dataBytes + builtNodeBytes(count)), FIRST);
  const regions = parts.map((part) => {
    const start = Math.ceil(arena.dataEnd / 1024) * 1024;
    arena.reserve(start + part.length - arena.dataEnd);
    arena.bytes.set(part, start);
    return { start, end: start + part.length };
  });
  indexRecovered(arena, regions, count);
  arena.publish(count);
  return new Memtable(arena);
}

/** Neighbours of keys that are there, too. */
function assertLookups(
  memtable: Memtable,
  inserted: Memtable,
  keys: readonly string[],
  random: Random,
): void {
  const found = new Entry();
  const expected = new Entry();
  for (let i = 0; i < 500; i++) {
    const key = toBytes(`${random.pick(keys)}${random.pick(['', '', '', '\x00', 'a', '\xff'])}`);
    const max = random.chance(0.5) ? Number.MAX_SAFE_INTEGER : FIRST + random.below(keys.length);
    const isThere = inserted.lookup(key, max, expected);
    assert.equal(memtable.lookup(key, max, found), isThere);
    if (isThere) assert.deepEqual(toWrite(found), toWrite(expected));
  }
}

for (const { name, keys } of SHAPES) {
  test(`keys: ${name}: the index that is built finds what inserting one by one finds`, (t) => {
    const random = seededRandom(runSeed(t));
    for (const count of [1, random.between(2, 64), 65, random.between(66, 1000), 64 * 66 + 1, 9000]) {
      const log = written(count, keys(random), random);
      const memtable = recovered([log]);
      const { arena } = memtable;
      const inserted = log.memtable.arena;
      assertIterates(memtableIterator(arena.buffer), log.sorted());
      assert.deepEqual(
        [arena.entryCount, arena.tombstoneCount, arena.rawBytes],
        [inserted.entryCount, inserted.tombstoneCount, inserted.rawBytes],
      );
      assert.equal(arena.capacityBytes - arena.words[NODE_START]!, builtNodeBytes(count));
      const texts = log.writes.map(({ key }) => key);
      assertLookups(memtable, log.memtable, texts, random);
    }
  });
}

test('several logs in one memtable: the later ones are newer, whatever their keys are', (t) => {
  const random = seededRandom(runSeed(t));
  for (let round = 0; round < 20; round++) {
    const { keys } = random.pick(SHAPES);
    const logs = Array.from({ length: 3 }, () => written(random.between(1, 500), keys(random), random));
    let before = 0;
    const expected = logs.flatMap(({ writes }) => {
      const shifted = writes.map((write) => ({ ...write, sequence: write.sequence + before }));
      before += writes.length;
      return shifted;
    });
    assertIterates(memtableIterator(recovered(logs).arena.buffer), expected.sort(inOrder));
  }
});

test('keys of which each is the beginning of the next, thousands of bytes long, are put in order', (t) => {
  const random = seededRandom(runSeed(t));
  const lengths = Array.from({ length: 3000 }, () => random.below(3000));
  const log = written(lengths.length, (i) => 'k'.repeat(lengths[i]!), random);
  assertIterates(memtableIterator(recovered([log]).arena.buffer), log.sorted());
});
