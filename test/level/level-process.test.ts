/**
 * StrataLevel among processes and threads: who is refused, and with what words; programs that end with a database in any state;
 * several threads with one database.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { LevelError, StrataLevel } from '../../src/level/index.ts';
import { endLease, OwnerDoor, PortRequest } from '../../src/level/owner-door.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { runCommand } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

interface Failed extends Error {
  readonly code: string;
  readonly cause: Failed;
}

test('a database that this process has open is refused with its pid in the message that people see', async (t) => {
  const directory = temporaryDirectory(t);
  const db = new StrataLevel(directory);
  await db.open();
  const other = new StrataLevel(directory);
  await assert.rejects(other.open(), (error: Failed) => {
    assert.equal(error.code, 'LEVEL_DATABASE_NOT_OPEN');
    assert.match(error.message, new RegExp(`\\b${process.pid}\\b`));
    assert.equal(error.cause.code, 'LEVEL_LOCKED');
    assert.ok(error.cause instanceof LevelError);
    assert.equal(error.cause.cause.code, 'STRATA_LOCKED');
    return true;
  });
  // Nobody opened this one by a call of his own, and yet the first call says why it can't be done.
  const deferred = new StrataLevel(directory);
  await assert.rejects(deferred.get('a'), (error: Failed) => {
    assert.equal(error.code, 'LEVEL_DATABASE_NOT_OPEN');
    assert.match(error.message, /locked by/);
    assert.equal(error.cause.code, 'LEVEL_LOCKED');
    return true;
  });
  await assert.rejects(StrataLevel.destroy(directory), { code: 'LEVEL_LOCKED' });
  await db.close();
  await other.open();
  await other.close();
});

async function runChild(directory: string, steps: readonly string[]): Promise<unknown> {
  const path = join(import.meta.dirname, '..', 'helpers', 'level-child.js');
  const child = fork(path, [directory, ...steps], { execArgv: ['--unhandled-rejections=strict'] });
  const said = once(child, 'message');
  const [code, signal] = await once(child, 'exit');
  assert.deepEqual([code, signal], [0, null], steps.join(', '));
  return (await said)[0];
}

test('a database that another process has open is refused with the pid of that process', async (t) => {
  const directory = temporaryDirectory(t);
  const db = new StrataLevel(directory);
  await db.open();
  const said = (await runChild(directory, ['lock'])) as { code: string; cause: string; message: string };
  assert.equal(said.code, 'LEVEL_DATABASE_NOT_OPEN');
  assert.equal(said.cause, 'LEVEL_LOCKED');
  assert.match(said.message, new RegExp(`\\b${process.pid}\\b`));
  await db.close();
});

test('a program ends by itself, and well, whatever state its database is in', async (t) => {
  const states = [
    ['create'],
    ['create', 'open'],
    ['create', 'open', 'create-iterator'],
    ['create', 'open', 'create-iterator', 'close'],
    ['create', 'open', 'put', 'create-iterator', 'nexting'],
    ['create', 'open', 'put', 'create-iterator', 'nexting', 'close'],
    ['create', 'open', 'close'],
    ['create', 'open-error'],
  ];
  const home = temporaryDirectory(t);
  const said = await Promise.all(states.map((steps, i) => runChild(join(home, String(i)), steps)));
  assert.deepEqual(
    said,
    states.map((steps) => steps.at(-1)),
  );
  const db = new StrataLevel(join(home, '4'));
  assert.equal(await db.get('a'), '1');
  await db.close();
});

/** A thread with a database of its own over `directory`. */
class LevelThread {
  readonly #worker: Worker;

  constructor(t: TestContext, directory: string) {
    const path = join(import.meta.dirname, '..', 'helpers', 'level-worker.js');
    this.#worker = new Worker(path, { workerData: { directory } });
    t.after(() => this.#worker.terminate());
  }

  async call(...call: readonly string[]): Promise<unknown> {
    this.#worker.postMessage(call);
    const [answer] = (await once(this.#worker, 'message')) as [
      { result?: unknown; code?: string; message?: string },
    ];
    if ('result' in answer) return answer.result;
    throw Object.assign(new Error(answer.message), answer);
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

test('multithreading: databases of one thread share a store, and those without the option are refused', async (t) => {
  const directory = temporaryDirectory(t);
  const first = new StrataLevel(directory);
  await first.open();
  const second = new StrataLevel(directory);
  // Of another thread it would have to be asked; of this one it is known that the owner does not share.
  await assert.rejects(
    second.open({ multithreading: true }),
    (error: Failed) => error.cause.code === 'LEVEL_LOCKED',
  );
  await first.close();
  await first.open({ multithreading: true });
  await second.open({ multithreading: true });
  const third = new StrataLevel(directory, { multithreading: true });
  await third.open();
  const fourth = new StrataLevel(directory);
  await assert.rejects(
    fourth.open({ multithreading: false }),
    (error: Failed) => error.cause.code === 'LEVEL_LOCKED',
  );
  await first.put('a', '1');
  assert.equal(await second.get('a'), '1');
  await first.close();
  assert.equal(await third.get('a'), '1');
  await second.close();
  await third.close();
  await fourth.open({ multithreading: false });
  assert.equal(await fourth.get('a'), '1');
  await fourth.close();
});

test('multithreading: several threads read and write one database, and close it in any order', async (t) => {
  const directory = temporaryDirectory(t);
  const db = new StrataLevel(directory, { multithreading: true });
  await db.open();
  const threads = [new LevelThread(t, directory), new LevelThread(t, directory)];
  assert.deepEqual(await Promise.all(threads.map((thread) => thread.call('open'))), ['open', 'open']);
  await Promise.all([
    ...threads.map((thread, i) => thread.call('putMany', `t${i}-`, 'v')),
    ...Array.from({ length: 500 }, (_, i) => db.put(`m-${i}`, 'v')),
  ]);
  assert.equal((await db.keys().all()).length, 1500);
  assert.equal(await threads[0]!.call('count'), 1500);
  assert.equal(await threads[1]!.call('getSync', 't0-499'), 'v');
  // The owner's database closes first: the store stays for the others.
  await db.close();
  await threads[0]!.call('put', 'late', '1');
  assert.equal(await threads[1]!.call('get', 'late'), '1');
  await threads[0]!.call('close');
  await threads[1]!.terminate();
  const alone = new StrataLevel(directory);
  for (let attempt = 0; alone.status !== 'open'; attempt++)
    try {
      await alone.open();
    } catch (error) {
      // The owner hears of the thread's end in a turn of its event loop.
      if (attempt === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  assert.equal(await alone.get('late'), '1');
  await alone.close();
});

test('multithreading: a request is answered once, and an answer that comes late is taken', async (t) => {
  const path = temporaryDirectory(t);
  let shares = 0;
  const ends: MessagePort[] = [];
  const engine = {
    status: 'open',
    share: () => {
      shares++;
      const { port1, port2 } = new MessageChannel();
      ends.push(port1);
      return port2;
    },
  };
  const request = new PortRequest(path);
  t.after(() => request.close());
  assert.equal(await request.reply(1), undefined, 'nobody is there');
  const door = new OwnerDoor(path, engine as never, async () => undefined);
  t.after(() => door.close());
  const slow = request.reply(1);
  // The asker's timer has run out when its loop turns again; nobody has answered by then.
  for (const until = performance.now() + 20; performance.now() < until; );
  const ports = (await slow) ?? (await request.reply(60_000));
  assert.ok(ports !== undefined);
  await request.reply(50);
  assert.equal(shares, 1);
  assert.equal(door.leases, 1);
  ports.port.close();
  await endLease(ports.lease);
  assert.equal(door.leases, 0, 'heard when endLease() is through');
  for (const end of ends) end.close();
});

test('multithreading: when the thread that owns the store ends, the others fail, and open it again', async (t) => {
  const directory = temporaryDirectory(t);
  const [owner, other] = [new LevelThread(t, directory), new LevelThread(t, directory)];
  await owner.call('open');
  await owner.call('put', 'a', '1');
  await other.call('open');
  assert.equal(await other.call('get', 'a'), '1');
  await owner.terminate();
  for (let attempt = 0; ; attempt++)
    try {
      await other.call('get', 'a');
      assert.ok(attempt < 200, 'it goes on without its owner');
      await new Promise((resolve) => setTimeout(resolve, 20));
    } catch (error) {
      assert.equal((error as Failed).code, 'LEVEL_DATABASE_NOT_OPEN');
      break;
    }
  await other.call('close');
  assert.equal(await other.call('open'), 'open');
  assert.equal(await other.call('get', 'a'), '1');
  await other.call('put', 'b', '2');
  await other.call('close');
});

/** As much of classic-level as the command uses, for a database that is a JSON file. */
const FAKE_LEVEL = `
const { readFileSync } = require('node:fs');
exports.ClassicLevel = class {
  constructor(location, options) { Object.assign(this, { location, options }); }
  async open() {
    if (this.options.createIfMissing !== false) throw new Error('it would be created');
    try { this.entries = JSON.parse(readFileSync(this.location + '/data.json')); }
    catch (cause) { throw new Error('Database failed to open', { cause }); }
  }
  async close() { this.entries = undefined; }
  iterator() {
    const left = this.entries.map((entry) => entry.map((hex) => Buffer.from(hex, 'hex')));
    return { nextv: async (size) => left.splice(0, Math.min(size, 3)), close: async () => undefined };
  }
};
`;

test('import-level copies a database into an empty store, through the classic-level of the project it is run in', async (t) => {
  const home = temporaryDirectory(t);
  const before = process.cwd();
  process.chdir(home);
  t.after(() => process.chdir(before));
  const [source, target] = [join(home, 'level'), join(home, 'target')];
  mkdirSync(source);
  const absent = await runCommand(target, ['import-level', source]);
  assert.equal(absent.exitCode, 1);
  assert.match(absent.stderr, /classic-level, which is not installed here: run npm install classic-level/);
  const folder = join(home, 'node_modules', 'classic-level');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'index.js'), FAKE_LEVEL);
  const missing = await runCommand(target, ['import-level', source]);
  assert.equal(missing.exitCode, 1);
  assert.match(missing.stderr, /cannot open the database in .*level: ENOENT/);
  const entries = Array.from({ length: 10 }, (_, i) => [`ff0${i}`, i === 0 ? '' : `00${i}0`]);
  writeFileSync(join(source, 'data.json'), JSON.stringify(entries));
  const done = await runCommand(target, ['import-level', source]);
  assert.equal(done.exitCode, 0, done.stderr);
  assert.match(done.stderr, /imported 10 rows/);
  const engine = await StorageEngine.open(target);
  assert.deepEqual(
    engine
      .scan()
      .nextMany(100)
      .map(([key, value]) => [key.toString('hex'), value.toString('hex')]),
    entries,
  );
  await engine.close();
  const again = await runCommand(target, ['import-level', source]);
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, /is not empty/);
});
