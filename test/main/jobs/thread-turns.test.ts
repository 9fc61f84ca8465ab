/**
 * ThreadTurns: whose job is next, by stores that are nothing but counters.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ThreadShare,
  ThreadTurns,
  type ThreadUser,
  type Turn,
  type TurnKind,
} from '../../../src/main/jobs/thread-turns.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

/** A store: jobs that wait, and turns that they were given. `log` tells the order over all stores. */
class FakeStore implements ThreadUser {
  readonly running: { readonly kind: TurnKind; readonly turn: Turn }[] = [];
  readonly share: ThreadShare;
  readonly #name: string;
  readonly #log: string[];
  readonly mostThreads: number;
  readonly waiting: Record<TurnKind, number> = { urgent: 0, ordinary: 0 };

  constructor(turns: ThreadTurns, name: string, log: string[], mostThreads = 1) {
    this.#name = name;
    this.#log = log;
    this.mostThreads = mostThreads;
    this.share = turns.join(this);
  }

  start(kind: TurnKind, turn: Turn): boolean {
    // As WorkerPool: one urgent job beyond its threads.
    const ordinary = this.running.filter((job) => job.kind === 'ordinary').length;
    const urgent = this.running.length - ordinary;
    const may = this.running.length < this.mostThreads || (kind === 'urgent' && urgent === 0);
    if (!may || this.waiting[kind] === 0) return false;
    this.waiting[kind]--;
    this.running.push({ kind, turn });
    this.#log.push(kind === 'urgent' ? this.#name.toUpperCase() : this.#name);
    return true;
  }

  add(kind: TurnKind, count = 1): void {
    this.waiting[kind] += count;
    this.share.want(kind);
  }

  endOne(): boolean {
    const job = this.running.shift();
    if (job === undefined) return false;
    job.turn.end();
    this.#wantMore();
    return true;
  }

  #wantMore(): void {
    for (const kind of ['urgent', 'ordinary'] as const) if (this.waiting[kind] > 0) this.share.want(kind);
  }
}

function storesOf(
  turns: ThreadTurns,
  names: string,
  mostThreads = 1,
): { stores: FakeStore[]; log: string[] } {
  const log: string[] = [];
  return { stores: [...names].map((name) => new FakeStore(turns, name, log, mostThreads)), log };
}

/** Ends jobs, the oldest of each store in turn, until none runs. */
function runOut(stores: readonly FakeStore[]): void {
  while (stores.some((store) => store.endOne()));
}

test('stores run no more jobs at once than there are processors, two at least, however many stores there are', () => {
  for (const processors of [1, 2, 3, 8]) {
    const turns = new ThreadTurns(processors);
    const { stores, log } = storesOf(turns, 'abcdefghijklmnopqrst', 2);
    for (const store of stores) store.add('ordinary', 2);
    assert.equal(turns.running, Math.max(2, processors));
    runOut(stores);
    assert.equal(log.length, 40, 'everything ran');
    assert.equal(turns.running, 0);
  }
});

test('a store with jobs without end has one turn for each that others have', () => {
  const { stores, log } = storesOf(new ThreadTurns(2), 'xab', 2);
  const [endless, a, b] = stores as [FakeStore, FakeStore, FakeStore];
  endless.add('ordinary', 1000);
  a.add('ordinary', 3);
  b.add('ordinary', 3);
  for (let i = 0; i < 8; i++) assert.ok([endless, a, b].some((store) => store.endOne()));
  // Its third job was there before those of the others.
  assert.equal(log.join(''), 'xxxabxabxa');
});

test('urgent jobs of all stores come before ordinary ones of any, and one has a thread when long jobs have all others', () => {
  const turns = new ThreadTurns(2);
  const { stores, log } = storesOf(turns, 'abcd');
  const [a, b, c, d] = stores as [FakeStore, FakeStore, FakeStore, FakeStore];
  for (const store of [a, b, c]) store.add('ordinary');
  for (const store of [c, d, a]) store.add('urgent');
  assert.equal(log.join(''), 'abC', 'one urgent job beyond the two threads');
  b.endOne();
  assert.equal(log.join(''), 'abCD', 'the free thread is for the next urgent one');
  b.add('ordinary');
  assert.equal(log.join(''), 'abCD', 'an ordinary one waits for the urgent ones');
  runOut(stores);
  assert.equal(log.join(''), 'abCDAbc');
});

test('the store that may run the most says how many run, as long as it is open', () => {
  const turns = new ThreadTurns(2);
  const { stores } = storesOf(turns, 'ab');
  const wide = new FakeStore(turns, 'w', [], 5);
  assert.equal(turns.limit, 5);
  wide.add('ordinary', 9);
  assert.equal(wide.running.length, 5);
  wide.share.leave();
  assert.equal(turns.limit, 2);
  stores[1]!.add('urgent');
  assert.equal(stores[1]!.running.length, 1, 'an urgent one has a thread all the same');
  stores[1]!.endOne();
  stores[0]!.add('ordinary');
  assert.equal(stores[0]!.running.length, 0, 'jobs of one that has left count until they end');
  for (let i = 0; i < 5; i++) wide.running.shift()!.turn.end();
  assert.equal(stores[0]!.running.length, 1);
});

test('a store that has left is given no turn', () => {
  const turns = new ThreadTurns(2);
  const { stores, log } = storesOf(turns, 'abc');
  for (const store of stores) store.add('ordinary', 2);
  stores[2]!.share.leave();
  stores[2]!.share.want('ordinary');
  runOut(stores);
  assert.equal(log.join(''), 'abab');
});

test('a job without a sign of life gives its place to others, once', () => {
  const turns = new ThreadTurns(2);
  const { stores, log } = storesOf(turns, 'abc');
  const [a, b, c] = stores as [FakeStore, FakeStore, FakeStore];
  for (const store of stores) store.add('ordinary', 2);
  assert.equal(log.join(''), 'ab');
  a.running[0]!.turn.noteSilence();
  assert.equal(log.join(''), 'abc');
  a.running[0]!.turn.noteSilence();
  assert.equal(turns.running, 2);
  a.endOne();
  assert.equal(turns.running, 2, 'its end gives no second place');
  b.endOne();
  runOut(stores);
  assert.equal(c.waiting.ordinary + log.length, 6);
  assert.equal(turns.running, 0);
});

test('whatever comes and goes, the bound holds and everything runs', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const turns = new ThreadTurns(3);
  const { stores, log } = storesOf(turns, 'abcdef', 2);
  let added = 0;
  for (let step = 0; step < 5000; step++) {
    const store = random.pick(stores);
    if (random.chance(0.5)) {
      store.add(random.chance(0.3) ? 'urgent' : 'ordinary');
      added++;
    } else store.endOne();
    const running = stores.reduce((sum, { running: jobs }) => sum + jobs.length, 0);
    assert.equal(turns.running, running, `seed ${seed}`);
    assert.ok(running <= 4, `seed ${seed}: ${running} at once`);
  }
  runOut(stores);
  assert.equal(log.length, added, `seed ${seed}`);
  assert.equal(stores[0]!.share.endedCount, added);
});
