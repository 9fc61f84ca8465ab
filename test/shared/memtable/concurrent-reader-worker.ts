/**
 * A reader of a memtable that main is filling: lookups and walks in both directions, each checked against what the history
 * says of the moment it began at. Posts how much it read when everything is written; throws at the first wrong answer.
 */
import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { Entry } from '../../../src/shared/base/entry.ts';
import { MemtableArena } from '../../../src/shared/memtable/arena.ts';
import { ConcurrentMemtable } from '../../../src/shared/memtable/concurrent-memtable.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { SharedHistory, type SharedRun } from './concurrent-writes.ts';

const STEPS_MAX = 150;

const run = workerData as SharedRun;
const history = new SharedHistory(run.kind, run.seed, run.writes);
const arena = MemtableArena.attach(run.buffer);
const memtable = new ConcurrentMemtable(run.buffer);
const entry = new Entry();
const random: Random = seededRandom(run.readerSeed);
let lookups = 0;
let steps = 0;

function checkLookup(count: number): void {
  const key = random.below(history.keys.length);
  const found = memtable.lookup(history.keys[key]!, arena.firstSequence + count - 1, entry);
  const wanted = history.newest(key, count);
  assert.equal(found ? entry.sequence - arena.firstSequence : undefined, wanted, `key ${key} of ${count}`);
  if (found) checkEntry(entry, key);
  lookups++;
}

function checkEntry(found: Entry, key: number): void {
  const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd } = found;
  const write = found.sequence - arena.firstSequence;
  assert.deepEqual(keyBytes.slice(keyStart, keyEnd), history.keys[key]);
  assert.equal(Buffer.from(valueBytes.slice(valueStart, valueEnd)).toString(), `value ${write}`);
}

/** The writes of keys from `at` on, in the order of a walk, of the moment after `count` writes. */
function* expected(at: number, count: number, isForward: boolean): Generator<readonly [number, number]> {
  for (let key = at; key >= 0 && key < history.keys.length; key += isForward ? 1 : -1) {
    const writes = history.writesOf[key]!.filter((write) => write < count);
    if (isForward) writes.reverse();
    for (const write of writes) yield [key, write];
  }
}

function checkWalk(count: number): void {
  const iterator = memtable.iterator(arena.firstSequence + count - 1);
  const isForward = random.chance(0.5);
  const from = random.below(history.keys.length + 1);
  const bound = history.keys[from];
  let stands: boolean;
  if (isForward) stands = bound === undefined ? iterator.seekToFirst() : iterator.seek(bound);
  else stands = bound === undefined ? iterator.seekToLast() : iterator.seekBefore(bound);
  const start = isForward ? from % history.keys.length : from - 1;
  const wanted = expected(bound === undefined && isForward ? 0 : start, count, isForward);
  for (let left = random.below(STEPS_MAX); left >= 0; left--) {
    const next = wanted.next();
    assert.equal(stands, !next.done, `the walk ends ${next.done ? 'late' : 'early'} at ${count}`);
    if (next.done) break;
    const [key, write] = next.value;
    assert.equal(iterator.entry.sequence - arena.firstSequence, write, `key ${key} of ${count}`);
    checkEntry(iterator.entry, key);
    steps++;
    stands = isForward ? iterator.next() : iterator.prev();
  }
}

parentPort!.postMessage('ready');
for (let isLast = false; !isLast; ) {
  const count = arena.publishedCount;
  isLast = count === run.writes;
  for (let i = 0; i < 20; i++) checkLookup(count);
  checkWalk(count);
}
parentPort!.postMessage({ lookups, steps });
