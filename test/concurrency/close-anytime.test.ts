/**
 * close() in the middle of everything at once: every promise settles, with a StorageError if at all, nothing that was
 * acknowledged is lost, and nothing stays behind in the process. STRATA_CLOSE_ROUNDS rounds.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { type EngineOptions, StorageEngine, StorageError, WriteBatch } from '../../src/main/index.ts';
import { keyOf, until } from '../helpers/engines.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const KEYS = 60;
const CODES: readonly string[] = ['STRATA_CLOSED', 'STRATA_LOCKED'];

/** Per key, the versions handed in, and the highest one acknowledged. */
class Ledger {
  readonly #submitted = new Array<number>(KEYS).fill(0);
  readonly #acknowledged = new Array<number>(KEYS).fill(0);

  submit(key: number): string {
    return `${key}@${++this.#submitted[key]!}`.padEnd(80, '.');
  }

  /** To be called with what `submit` gave for `key`, once its write is acknowledged. */
  acknowledge(key: number, version: number): void {
    this.#acknowledged[key] = Math.max(this.#acknowledged[key]!, version);
  }

  versionOf(key: number): number {
    return this.#submitted[key]!;
  }

  check(engine: StorageEngine): void {
    for (let key = 0; key < KEYS; key++) {
      const found = engine.getSync(keyOf(key))?.toString().replaceAll('.', '') ?? `${key}@0`;
      const [owner, version] = found.split('@').map(Number);
      const [low, high] = [this.#acknowledged[key]!, this.#submitted[key]!];
      assert.equal(owner, key);
      assert.ok(version! >= low && version! <= high, `key ${key}: ${version} is not in ${low} to ${high}`);
    }
  }
}

interface Started {
  readonly all: readonly Promise<unknown>[];
  readonly writes: readonly Promise<void>[];
}

/** Starts forty things of all kinds at once; the promises of all of them, and of the writes among them. */
function startEverything(engine: StorageEngine, ledger: Ledger, random: Random): Started {
  const writes: Promise<void>[] = [];
  const put = (): Promise<void> => {
    const key = random.below(KEYS);
    const value = ledger.submit(key);
    const version = ledger.versionOf(key);
    const written = engine.put(keyOf(key), value, { sync: random.chance(0.1) });
    writes.push(written);
    return written.then(() => ledger.acknowledge(key, version));
  };
  const batch = (): Promise<void> => {
    const changes = new WriteBatch();
    const versions = Array.from({ length: KEYS }, (_, key) => {
      changes.put(keyOf(key), ledger.submit(key));
      return ledger.versionOf(key);
    });
    const written = engine.write(changes);
    writes.push(written);
    return written.then(() => versions.forEach((version, key) => void ledger.acknowledge(key, version)));
  };
  const scan = async (): Promise<void> => {
    for await (const _ of engine.scan({ reverse: random.chance(0.5) })) if (random.chance(0.1)) await null;
  };
  const kinds: readonly (() => Promise<unknown>)[] = [
    ...Array.from({ length: 8 }, () => put),
    // Enough for some to be held: each fills a memtable and a half.
    ...Array.from({ length: 6 }, () => batch),
    scan,
    () => engine.flush(),
    () => engine.compact(),
    () => engine.compact({ start: keyOf(5), end: keyOf(30) }),
    () => engine.verify(),
    () => engine.get(keyOf(random.below(KEYS))),
    () => engine.getMany([keyOf(1), keyOf(2)]),
    async () => engine.get(keyOf(3), { snapshot: engine.snapshot() }),
    async () => (await StorageEngine.open(engine.path)).close(),
  ];
  return { all: Array.from({ length: 40 }, () => random.pick(kinds)()), writes };
}

/** Nothing, some microtasks, some turns of the event loop, or some milliseconds. */
async function pause(random: Random): Promise<void> {
  const kind = random.below(4);
  if (kind === 1) for (let i = random.below(20); i >= 0; i--) await null;
  if (kind === 2)
    for (let i = random.below(20); i >= 0; i--) await new Promise((resolve) => setImmediate(resolve));
  if (kind === 3) await new Promise((resolve) => setTimeout(resolve, random.below(30)));
}

test('close in the middle of everything settles every promise and loses nothing', async (t) => {
  const random = seededRandom(runSeed(t));
  const path = storeDirectory(t);
  const ledger = new Ledger();
  const rounds = runBudget('STRATA_CLOSE_ROUNDS', 8);
  let promises = 0;
  for (let round = 0; round < rounds; round++) {
    const options: EngineOptions = {
      threads: random.pick([0, 0, 1, 2]),
      writeBufferSize: 4096,
      maxFileSize: 4096,
      blockSize: 256,
    };
    const engine = await StorageEngine.open(path, options);
    ledger.check(engine);
    const work = startEverything(engine, ledger, random);
    const outcomes = Promise.allSettled(work.all);
    await pause(random);
    const closing = [engine.close(), engine.close()];
    const late = startLate(engine);
    await Promise.all(closing);
    // They were accepted while the store was open: held or not, closing waits for them.
    await Promise.all(work.writes);
    assert.equal(engine.status, 'closed');
    for (const outcome of [...(await outcomes), ...(await late)]) {
      promises++;
      if (outcome.status === 'fulfilled') continue;
      const { reason } = outcome;
      assert.ok(reason instanceof StorageError && CODES.includes(reason.code), String(reason?.stack));
    }
  }
  t.diagnostic(`FIGURE closes=${rounds} promises=${promises} unsettled=0`);
});

/** What is asked of a store that is closing is refused. */
function startLate(engine: StorageEngine): Promise<PromiseSettledResult<unknown>[]> {
  return Promise.allSettled([engine.put('late', '1'), engine.flush(), engine.compact(), engine.verify()]);
}

interface Resources {
  readonly files: number;
  readonly threads: number;
  readonly active: number;
}

/** Zeros where the system has no /proc to ask. */
function resources(): Resources {
  const count = (folder: string): number => (existsSync(folder) ? readdirSync(folder).length : 0);
  return {
    files: count('/proc/self/fd'),
    threads: count('/proc/self/task'),
    active: process.getActiveResourcesInfo().length,
  };
}

async function cycle(path: string, index: number): Promise<void> {
  const threads = index % 10 === 0 ? 1 : 0;
  const engine = await StorageEngine.open(path, { threads, writeBufferSize: 8192, maxOpenFiles: 8 });
  await Promise.all([engine.put(keyOf(index), 'v'.repeat(200)), engine.put('count', String(index))]);
  const scan = engine.scan();
  scan.nextMany(2);
  engine.snapshot();
  if (index % 5 === 0) await Promise.all([engine.flush(), engine.verify()]);
  if (index % 50 === 0) await engine.compact();
  await engine.close();
}

test('100 times open and close leave no handle, no thread and no file open', async (t) => {
  const path = storeDirectory(t);
  // The first ones load modules and start libuv's threads, which stay.
  for (let i = 0; i < 11; i++) await cycle(path, i);
  const settled = resources();
  for (let i = 11; i < 111; i++) await cycle(path, i);
  await until(() => resources().threads <= settled.threads && resources().active <= settled.active);
  // Fewer than at first is no leak: then a thread or handle was still on its way out, with its files.
  const left = resources();
  assert.ok(left.files <= settled.files, `${left.files} files of ${settled.files}`);
  assert.ok(left.threads <= settled.threads, `${left.threads} threads of ${settled.threads}`);
  assert.ok(left.active <= settled.active, `${left.active} handles of ${settled.active}`);
  const engine = await StorageEngine.open(path, { threads: 0 });
  assert.equal(engine.getSync('count')?.toString(), '110');
  await engine.close();
});
