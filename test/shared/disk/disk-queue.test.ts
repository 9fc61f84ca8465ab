/**
 * The queue before the disk: order, bounds, and slots that come back whatever happens.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Carrier, DiskQueue, QueueTicket, WITHDRAWN } from '../../../src/shared/disk/disk-queue.ts';

interface Held {
  readonly name: string;
  readonly carrier: Carrier;
  readonly resolve: (value: string) => void;
  readonly reject: (error: unknown) => void;
}

/** A queue whose work ends when the test says so. */
class Scene {
  idleThreads = 0;
  time = 0;
  waitingSeen = 0;
  readonly started: Held[] = [];
  readonly queue: DiskQueue;

  constructor(poolSlots: number) {
    this.queue = new DiskQueue({
      poolSlots,
      idleThreads: () => this.idleThreads,
      onWaiting: () => this.waitingSeen++,
      clock: () => this.time,
    });
  }

  #hold(name: string, carrier: Carrier): Promise<string> {
    if (carrier === 'thread') this.idleThreads--;
    return new Promise((resolve, reject) => this.started.push({ name, carrier, resolve, reject }));
  }

  read(name: string, isUrgent = true, ticket?: QueueTicket): Promise<string> {
    return this.queue.read((carrier) => this.#hold(name, carrier), isUrgent, ticket);
  }

  open(name: string, isUrgent = true): Promise<string> {
    return this.queue.run(() => this.#hold(name, 'pool'), isUrgent);
  }

  get names(): string {
    return this.started.map(({ name }) => name).join(' ');
  }

  async end(name: string, error?: unknown): Promise<void> {
    const held = this.started.find((entry) => entry.name === name)!;
    if (held.carrier === 'thread') this.idleThreads++;
    if (error === undefined) held.resolve(`${name} read`);
    else held.reject(error);
    await turn();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what somebody waits for comes first, and in each class what came first; never more than the slots', async () => {
  const scene = new Scene(2);
  const reads = [
    scene.read('a', false),
    scene.read('b', false),
    scene.read('c', false),
    scene.read('d'),
    scene.open('e'),
    scene.read('f'),
  ];
  assert.equal(scene.names, 'a b');
  assert.deepEqual([scene.queue.inFlight, scene.queue.waiting, scene.queue.waitingUrgent], [2, 4, 3]);
  for (const [name, names] of [
    ['b', 'a b d'],
    ['a', 'a b d e'],
    ['e', 'a b d e f'],
    ['d', 'a b d e f c'],
  ] as const) {
    await scene.end(name);
    assert.equal(scene.names, names);
    assert.ok(scene.queue.inFlight <= 2);
  }
  await scene.end('f');
  await scene.end('c');
  assert.deepEqual(
    await Promise.all(reads),
    ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name} read`),
  );
  assert.deepEqual([scene.queue.inFlight, scene.queue.waiting, scene.queue.total], [0, 0, 6]);
});

test('every slot is given back after an error, thrown or rejected', async () => {
  const scene = new Scene(2);
  for (let round = 0; round < 20; round++) {
    const broken = new Error(`broken ${round}`);
    const rejected = scene.read(`r${round}`);
    const thrown = scene.queue.read(() => {
      throw broken;
    }, true);
    await Promise.all([
      assert.rejects(rejected, broken),
      assert.rejects(thrown, broken),
      scene.end(`r${round}`, broken),
    ]);
    assert.equal(scene.queue.inFlight, 0);
  }
  const last = [scene.read('x'), scene.read('y')];
  await scene.end('x');
  await scene.end('y');
  assert.deepEqual(await Promise.all(last), ['x read', 'y read']);
});

test('idle threads are used before the pool, and opening never takes more of the pool than its slots', async () => {
  const scene = new Scene(2);
  scene.idleThreads = 3;
  for (const name of ['o1', 'o2', 'o3', 'o4']) void scene.open(name);
  assert.equal(scene.names, 'o1 o2');
  for (const name of ['r1', 'r2', 'r3', 'r4']) void scene.read(name);
  assert.equal(scene.names, 'o1 o2 r1 r2 r3');
  assert.deepEqual(
    scene.started.map(({ carrier }) => carrier),
    ['pool', 'pool', 'thread', 'thread', 'thread'],
  );
  await scene.end('r2');
  assert.equal(scene.names, 'o1 o2 r1 r2 r3 r4', 'a thread takes a read past what waits for the pool');
  await scene.end('o1');
  assert.equal(scene.names, 'o1 o2 r1 r2 r3 r4 o3');
});

test('a thread that becomes idle is used when the queue is told', () => {
  const scene = new Scene(1);
  void scene.read('a');
  void scene.read('b');
  assert.equal(scene.names, 'a');
  assert.equal(scene.waitingSeen, 1, 'whoever could start a thread heard of it');
  scene.idleThreads = 1;
  scene.queue.startNext();
  assert.equal(scene.names, 'a b');
});

test('what waits can be hurried, or withdrawn; what is under way can not', async () => {
  const scene = new Scene(1);
  const tickets = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, new QueueTicket()]));
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => scene.read(name, false, tickets[name]));
  tickets['a']!.withdraw();
  tickets['b']!.withdraw();
  tickets['b']!.withdraw();
  tickets['d']!.hurry();
  await assert.rejects(b!, (error) => error === WITHDRAWN);
  assert.equal(scene.queue.waiting, 2);
  await scene.end('a');
  assert.equal(scene.names, 'a d');
  tickets['d']!.hurry();
  await scene.end('d');
  await scene.end('c');
  tickets['c']!.withdraw();
  assert.deepEqual(await Promise.all([a, c, d]), ['a read', 'c read', 'd read']);
  assert.deepEqual([scene.queue.inFlight, scene.queue.waiting], [0, 0]);
});

test('it tells for how long the oldest read under way has been so', async () => {
  const scene = new Scene(2);
  assert.equal(scene.queue.longestMs, 0);
  void scene.read('a');
  scene.time = 10;
  void scene.read('b');
  scene.time = 25;
  assert.equal(scene.queue.longestMs, 25);
  await scene.end('a');
  assert.equal(scene.queue.longestMs, 15);
});
