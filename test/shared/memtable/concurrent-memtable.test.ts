/**
 * Readers in other threads on a memtable that is being written: every lookup and every step is exactly what the history
 * says of the moment, in trees that split, grow and overwrite under them. STRATA_SHARED_WRITES writes per kind of keys.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Entry, EntryKind } from '../../../src/shared/base/entry.ts';
import { RECORD_HEADER_BYTES } from '../../../src/shared/log/log-format.ts';
import { INDEX_VERSION, LEAF_COUNT, MemtableArena } from '../../../src/shared/memtable/arena.ts';
import { ConcurrentMemtable } from '../../../src/shared/memtable/concurrent-memtable.ts';
import { ConcurrentTree, Step } from '../../../src/shared/memtable/concurrent-tree.ts';
import { Memtable } from '../../../src/shared/memtable/memtable.ts';
import { NEWEST } from '../../../src/shared/memtable/tree.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runBudget, runSeed } from '../../helpers/run-budget.ts';
import { HISTORY_KINDS, SharedHistory, type SharedRun } from './concurrent-writes.ts';

const READERS = 2;
const FIRST_SEQUENCE = 1000;
const writes = runBudget('STRATA_SHARED_WRITES', 30_000);

function put(memtable: Memtable, key: Uint8Array, value: string): void {
  const bytes = Buffer.from(value);
  memtable.append(EntryKind.Put, key, 0, key.length, bytes, 0, bytes.length);
}

async function startReader(t: TestContext, run: SharedRun): Promise<Worker> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./concurrent-reader-worker.${extension}`, import.meta.url), {
    workerData: run,
  });
  t.after(() => worker.terminate());
  await once(worker, 'message');
  return worker;
}

/** Publishes after every few writes, as a group commit does. */
function writeAll(memtable: Memtable, history: SharedHistory, random: Random): void {
  let publishAt = 0;
  for (const [write, key] of history.order.entries()) {
    put(memtable, history.keys[key]!, `value ${write}`);
    if (write < publishAt && write + 1 < history.order.length) continue;
    memtable.arena.publish(write + 1);
    // The header of the next group's record.
    memtable.arena.reserve(RECORD_HEADER_BYTES);
    publishAt = write + random.below(20);
  }
}

for (const kind of HISTORY_KINDS) {
  test(`readers beside the writer see exactly their moment: ${kind}`, async (t) => {
    const seed = runSeed(t);
    const history = new SharedHistory(kind, seed, writes);
    const memtable = new Memtable(MemtableArena.create(writes * 400 + 65_536, FIRST_SEQUENCE));
    const run = { buffer: memtable.arena.buffer, kind, seed, writes };
    const workers = await Promise.all(
      Array.from({ length: READERS }, (_, i) => startReader(t, { ...run, readerSeed: seed + i + 1 })),
    );
    const ends = workers.map((worker) => once(worker, 'message'));
    writeAll(memtable, history, seededRandom(seed));
    const reports = (await Promise.all(ends)).map(([report]) => report as { lookups: number; steps: number });
    for (const { lookups, steps } of reports) assert.ok(lookups > 0 && steps > 0, 'a reader did nothing');
    const total = reports.reduce((sum, { lookups, steps }) => sum + lookups + steps, 0);
    t.diagnostic(`FIGURE shared-reads=${total} wrong=0`);
  });
}

test('a shared memtable that is empty, or newer than the moment, holds nothing', () => {
  const memtable = new Memtable(MemtableArena.create(65_536, FIRST_SEQUENCE));
  const shared = new ConcurrentMemtable(memtable.arena.buffer);
  const key = Buffer.from('key');
  const check = (sequence: number): void => {
    assert.equal(shared.lookup(key, sequence, new Entry()), false);
    const iterator = shared.iterator(sequence);
    assert.equal(iterator.seekToFirst() || iterator.seek(key), false);
    assert.equal(iterator.seekToLast() || iterator.seekBefore(key), false);
  };
  check(FIRST_SEQUENCE);
  for (let i = 0; i < 200; i++) put(memtable, key, `value ${i}`);
  check(FIRST_SEQUENCE - 1);
  assert.equal(shared.lookup(key, FIRST_SEQUENCE, new Entry()), true);
});

test('a split is seen by whoever stands on the leaf behind, and a new root by whoever comes from the old one', () => {
  const memtable = new Memtable(MemtableArena.create(1 << 20, FIRST_SEQUENCE));
  const { words } = memtable.arena;
  const keyOf = (i: number): Buffer => Buffer.from(String(i).padStart(6, '0'));
  put(memtable, keyOf(0), 'v');
  const rootVersion = words[INDEX_VERSION]!;
  for (let i = 10; i < 1000; i += 10) put(memtable, keyOf(i), 'v');
  assert.notEqual(words[INDEX_VERSION], rootVersion);
  const [tree, last] = [new ConcurrentTree(memtable.arena), keyOf(990)];
  assert.equal(tree.descend(last, 0, last.length, NEWEST), Step.Found);
  const [leaves, behind] = [words[LEAF_COUNT]!, tree.leaf];
  // All of them come into the leaf before.
  for (let i = 1; words[LEAF_COUNT] === leaves; i++) {
    assert.ok(tree.holds(), 'an insert into another leaf moves this one');
    put(memtable, keyOf(i), 'v');
  }
  assert.equal(tree.leaf, behind);
  assert.equal(tree.holds(), false);
  for (const step of [tree.toPrevious(), tree.toNext()]) assert.equal(step, Step.Moved);
});

test('a walk turns round anywhere, while entries come in between', () => {
  const memtable = new Memtable(MemtableArena.create(1 << 20, FIRST_SEQUENCE));
  const keyOf = (i: number): Buffer => Buffer.from(String(i).padStart(6, '0'));
  for (let i = 0; i < 400; i += 2) put(memtable, keyOf(i), 'old');
  const iterator = new ConcurrentMemtable(memtable.arena.buffer).iterator(memtable.nextSequence - 1);
  const random = seededRandom(7);
  const keyAt = (): string =>
    Buffer.from(iterator.entry.keyBytes.slice(iterator.entry.keyStart, iterator.entry.keyEnd)).toString();
  assert.ok(iterator.seek(keyOf(200)));
  for (let at = 200, i = 0; i < 4000; i++) {
    if (i < 2000) put(memtable, keyOf(random.below(200) * 2 + 1), 'new');
    const isForward = at <= 4 || (at < 390 && random.chance(0.5));
    assert.ok(isForward ? iterator.next() : iterator.prev());
    at += isForward ? 2 : -2;
    assert.equal(keyAt(), keyOf(at).toString());
  }
});
