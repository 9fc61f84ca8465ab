/**
 * changes(): every write once, in order, whole, across whatever becomes of the files it is read from; or a refusal.
 * Long: the contract of one call, case by case.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { StorageClient } from '../../src/client/index.ts';
import { type ChangeBatch, type StorageEngine, type StorageError, WriteBatch } from '../../src/main/index.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { failsWith, newPath, openWith } from '../helpers/engines.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

const RETAIN = { retainChanges: { bytes: 64 << 20 } } as const;

type Iterator = AsyncIterableIterator<ChangeBatch, undefined>;

/** A batch as text: its operations, without the position. */
function textOf({ changes, more }: ChangeBatch): string {
  const texts = changes.map((change) => {
    if (change.type === 'put')
      return `${change.key}=${change.value}${change.expiresAt === undefined ? '' : `@${change.expiresAt}`}`;
    return change.type === 'delete' ? `-${change.key}` : `[${change.start},${change.end ?? ''})`;
  });
  return texts.join(' ') + (more === true ? ' ..' : '');
}

async function take(iterator: Iterator, count: number): Promise<ChangeBatch[]> {
  const batches: ChangeBatch[] = [];
  while (batches.length < count) {
    const { value, done } = await iterator.next();
    assert.notEqual(done, true);
    batches.push(value!);
  }
  return batches;
}

/** All from `after` to what is there now. */
async function takeAll(engine: StorageEngine, after: string): Promise<ChangeBatch[]> {
  const { position } = engine;
  const batches: ChangeBatch[] = [];
  if (after === position) return batches;
  for await (const batch of engine.changes({ after })) {
    batches.push(batch);
    if (batch.position === position) break;
  }
  return batches;
}

async function open(t: TestContext, path = newPath(t), options = {}): Promise<StorageEngine> {
  return await openWith(t, path, { threads: 0, ...RETAIN, ...options }, {});
}

test('each write is a batch with its operations in order, duplicates included; empty ones make none', async (t) => {
  const engine = await openWith(t, newPath(t), { threads: 0, ...RETAIN }, { clock: new SettableClock(5000) });
  const start = engine.position;
  await engine.put('a', '1');
  await engine.put('a', '1');
  await engine.delete('missing');
  await engine.write(new WriteBatch().put('b', '1').put('b', '2').delete('b').deleteRange({ prefix: 'c' }));
  await engine.write(new WriteBatch());
  await engine.put('t', 'short', { ttl: 10 });
  await engine.deleteRange({ gte: 'x' });
  await engine.update('n', (current) => String(Number(current ?? 0) + 1));
  await engine.transaction((tx) => {
    tx.put('y', '1');
    tx.put('z', '1');
  });
  await engine.transaction((tx) => void tx.getSync('y'));
  const batches = await takeAll(engine, start);
  assert.deepEqual(batches.map(textOf), [
    'a=1',
    'a=1',
    '-missing',
    'b=1 b=2 -b [c,d)',
    't=short@5010',
    '[x,)',
    'n=1',
    'y=1 z=1',
  ]);
  assert.equal(batches.at(-1)!.position, engine.position);
  for (const [i, { position }] of batches.entries())
    assert.deepEqual((await takeAll(engine, position)).map(textOf), batches.slice(i + 1).map(textOf));
});

test('without a position they begin with the next write; an iterator waits for news', async (t) => {
  const engine = await open(t);
  await engine.put('before', '1');
  const iterator = engine.changes();
  const waiting = iterator.next();
  await engine.put('after', '1');
  assert.equal(textOf((await waiting).value!), 'after=1');
  const [first, second] = [iterator.next(), iterator.next()];
  await Promise.all([engine.put('c', '1'), engine.put('d', '1')]);
  assert.deepEqual([textOf((await first).value!), textOf((await second).value!)], ['c=1', 'd=1']);
  await iterator.return!();
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
});

test('flush, compaction and reopening change nothing of what is retained', async (t) => {
  const path = newPath(t);
  let engine = await open(t, path);
  const start = engine.position;
  const expected: string[] = [];
  for (let i = 0; i < 30; i++) {
    if (i % 3 === 0) {
      await engine.write(new WriteBatch().put(`k${i}`, 'v').delete(`k${i - 1}`));
      expected.push(`k${i}=v -k${i - 1}`);
    } else {
      await engine.put(`k${i}`, 'v');
      expected.push(`k${i}=v`);
    }
    if (i % 7 === 6) await engine.flush();
    if (i === 15) await engine.compact();
    if (i % 10 === 9) {
      const { position } = engine;
      await engine.close();
      engine = await open(t, path);
      assert.equal(engine.position, position);
    }
  }
  const batches = await takeAll(engine, start);
  assert.deepEqual(batches.map(textOf), expected);
  await engine.verify();
});

test('an ingestion comes in pieces, with what was before and after it around them', async (t) => {
  const engine = await open(t);
  const start = engine.position;
  await engine.put('before', '1');
  const count = 20_000;
  await engine.ingest(
    Array.from({ length: count }, (_, i) => [`key${String(i).padStart(6, '0')}`, 'v'.repeat(40)]),
  );
  await engine.put('after', '1');
  await engine.compact();
  await engine.ingest([['one', 'more']]);
  const batches = await takeAll(engine, start);
  const [first, ...rest] = batches;
  assert.equal(textOf(first!), 'before=1');
  const pieces = rest.slice(0, -2);
  assert.deepEqual(rest.slice(-2).map(textOf), ['after=1', 'one=more']);
  assert.ok(pieces.length > 2, `${pieces.length} pieces`);
  assert.deepEqual(
    pieces.map(({ more }) => more),
    pieces.map((_, i) => (i < pieces.length - 1 ? true : undefined)),
  );
  const keys = pieces.flatMap(({ changes }) =>
    changes.map((change) => (change.type === 'put' ? `${change.key}` : '')),
  );
  assert.deepEqual(
    keys,
    Array.from({ length: count }, (_, i) => `key${String(i).padStart(6, '0')}`),
  );
  await failsWith('STRATA_POSITION_LOST', engine.changes({ after: pieces[0]!.position }).next());
  assert.deepEqual((await takeAll(engine, pieces.at(-1)!.position)).map(textOf), ['after=1', 'one=more']);
});

test('what can not be given is refused: malformed, of another store, ahead, forked, lost', async (t) => {
  const path = newPath(t);
  const engine = await open(t, path);
  await engine.put('a', '1');
  const { position } = engine;
  for (const after of ['', 'p1', 7, null, position.slice(1), `${position}x`])
    assert.throws(() => engine.changes({ after: after as string }), { code: 'STRATA_INVALID_ARGUMENT' });
  assert.throws(() => engine.changes({ from: position } as object), { code: 'STRATA_INVALID_ARGUMENT' });
  assert.throws(() => engine.changes({ signal: {} as AbortSignal }), { code: 'STRATA_INVALID_ARGUMENT' });
  const other = await open(t);
  await other.put('a', '1');
  await failsWith('STRATA_POSITION_LOST', other.changes({ after: position }).next());
  // A copy takes what was before the fork, neither side the other's later ones.
  await engine.flush();
  const copy = newPath(t);
  copyOpenStore(path, copy);
  const fork = await open(t, copy);
  await fork.put('b', 'of the fork');
  await engine.put('b', 'of the trunk');
  assert.deepEqual((await takeAll(fork, position)).map(textOf), ['b=of the fork']);
  await failsWith('STRATA_POSITION_LOST', fork.changes({ after: engine.position }).next());
  await failsWith('STRATA_POSITION_LOST', engine.changes({ after: fork.position }).next());
  const within = engine.changes({ after: fork.position });
  await failsWith('STRATA_POSITION_LOST', within.next());
  assert.deepEqual(await within.next(), { done: true, value: undefined });
  await engine.close();
  assert.throws(() => engine.changes(), { code: 'STRATA_CLOSED' });
});

test('by default what is in no log in use is refused, and nothing is left out', async (t) => {
  const engine = await openWith(t, newPath(t), { threads: 0 }, {});
  const start = engine.position;
  await engine.put('a', '1');
  const behind = engine.changes({ after: start });
  const caughtUp = engine.changes({ after: start });
  assert.equal(textOf((await caughtUp.next()).value!), 'a=1');
  await engine.flush();
  await engine.put('b', '1');
  await failsWith('STRATA_POSITION_LOST', behind.next());
  assert.equal(textOf((await caughtUp.next()).value!), 'b=1');
  await caughtUp.return!();
});

test('one who has kept up is given an ingestion by default, until the next flush', async (t) => {
  const path = newPath(t);
  const engine = await openWith(t, path, { threads: 0 }, {});
  await engine.put('a', '1');
  const [quick, slow] = [engine.changes(), engine.changes()];
  await engine.ingest([['b', '1']]);
  await engine.ingest([['c', '1']]);
  const first = engine.changes({ after: engine.position });
  assert.equal(textOf((await quick.next()).value!), 'b=1');
  assert.equal(textOf((await quick.next()).value!), 'c=1');
  await engine.put('d', '1');
  assert.equal(textOf((await first.next()).value!), 'd=1');
  await engine.flush();
  await failsWith('STRATA_POSITION_LOST', slow.next());
  for (const one of [quick, first]) await one.return!();
  await engine.compact();
  await until(() => engine.stats().files.pinnedVersions === 0);
});

test('retention keeps at least its bytes, and at most a log more; less at the next opening drops the rest', async (t) => {
  const path = newPath(t);
  const bytes = 200_000;
  let engine = await open(t, path, { retainChanges: { bytes } });
  const positions: string[] = [engine.position];
  const value = 'v'.repeat(1000);
  for (let log = 0; log < 12; log++) {
    for (let i = 0; i < 40; i++) await engine.put(`${log}.${i}`, value);
    positions.push(engine.position);
    await engine.flush();
  }
  const { changes } = engine.stats();
  assert.ok(
    changes.keptLogBytes >= bytes && changes.keptLogBytes < bytes + 50_000,
    `${changes.keptLogBytes}`,
  );
  assert.equal(changes.oldestPosition, positions[12 - changes.keptLogs]);
  const oldest = positions.indexOf(changes.oldestPosition);
  for (const [i, after] of positions.entries())
    if (i < oldest) await failsWith('STRATA_POSITION_LOST', engine.changes({ after }).next());
    else assert.equal((await takeAll(engine, after)).length, 40 * (12 - i));
  assert.equal(logsIn(path), changes.keptLogs);
  await engine.verify();
  await engine.close();
  engine = await open(t, path, { retainChanges: { bytes: 50_000 } });
  await engine.put('last', '1');
  await until(() => logsIn(path) === 3);
  assert.equal((await takeAll(engine, positions[10]!)).length, 81);
  await failsWith('STRATA_POSITION_LOST', engine.changes({ after: positions[9]! }).next());
  await engine.close();
  engine = await openWith(t, path, { threads: 0 }, {});
  await until(() => logsIn(path) === 1);
  await engine.close();
});

test('what is older than ms goes, whatever the bytes are', async (t) => {
  const clock = new SettableClock();
  const path = newPath(t);
  const engine = await openWith(t, path, { threads: 0, retainChanges: { ms: 1000 } }, { clock });
  const positions: string[] = [];
  for (let log = 0; log < 5; log++) {
    positions.push(engine.position);
    await engine.put(`k${log}`, 'v');
    await engine.flush();
    clock.pass(400);
  }
  assert.equal(engine.stats().changes.keptLogs, 4);
  await failsWith('STRATA_POSITION_LOST', engine.changes({ after: positions[0]! }).next());
  assert.equal((await takeAll(engine, positions[1]!)).length, 4);
});

test('tables of an ingestion stay for it when they are compacted away, and go with it', async (t) => {
  const path = newPath(t);
  const engine = await open(t, path, { retainChanges: { bytes: 100_000 } });
  const start = engine.position;
  const rows = Array.from({ length: 500 }, (_, i): [string, string] => [`key${i}`, `${i}`]);
  await engine.ingest(rows);
  const { position } = engine;
  const tables = tablesIn(path);
  for (const [key] of rows) await engine.put(key, 'newer');
  await engine.compact();
  assert.ok(tables.every((name) => tablesIn(path).includes(name)));
  assert.equal(engine.stats().changes.keptTables, tables.length);
  assert.equal((await takeAll(engine, start)).length, 501);
  await engine.verify();
  for (let i = 0; i < 4; i++) {
    await engine.put(`more${i}`, 'v'.repeat(60_000));
    await engine.flush();
  }
  await until(() => tables.every((name) => !tablesIn(path).includes(name)));
  await failsWith('STRATA_POSITION_LOST', engine.changes({ after: start }).next());
  await failsWith('STRATA_POSITION_LOST', engine.changes({ after: position }).next());
  await engine.close();
  const again = await open(t, path);
  await again.verify();
});

test('a prefix leaves out what is about other keys', async (t) => {
  const engine = await open(t);
  const iterator = engine.changes({ prefix: 'b' });
  await engine.put('a', '1');
  await engine.write(new WriteBatch().put('a', '2').put('b1', '1').put('c', '1').delete('b2'));
  await engine.write(new WriteBatch().put('a', '2').put('c', '1'));
  for (const range of [
    { gte: 'a', lt: 'b' },
    { gte: 'a', lt: 'b\0' },
    { gte: 'bz' },
    { gte: 'c' },
    { all: true },
  ] as const)
    await engine.deleteRange(range);
  await engine.ingest([
    ['a', '1'],
    ['b3', '1'],
  ]);
  await engine.put('b', 'last');
  const texts = (await take(iterator, 6)).map(textOf);
  assert.deepEqual(texts, ['b1=1 -b2', '[a,b\0)', '[bz,)', '[,)', 'b3=1', 'b=last']);
  await iterator.return!();
});

test('abort, return and close end an iterator at once, whatever it waits for', async (t) => {
  const engine = await open(t);
  const abort = new AbortController();
  const [aborted, returned, closed] = [
    engine.changes({ signal: abort.signal }),
    engine.changes(),
    engine.changes(),
  ];
  const waiting = [aborted.next(), returned.next(), closed.next(), closed.next()];
  const reason = new Error('enough');
  abort.abort(reason);
  await assert.rejects(waiting[0]!, reason);
  assert.deepEqual(await returned.return!(), { done: true, value: undefined });
  assert.deepEqual(await waiting[1], { done: true, value: undefined });
  await assert.rejects(engine.changes({ signal: abort.signal }).next(), reason);
  assert.equal(engine.stats().changes.consumers, 1);
  const closing = engine.close();
  await failsWith('STRATA_CLOSED', waiting[2]!);
  assert.deepEqual(await waiting[3], { done: true, value: undefined });
  await closing;
});

test('a damaged log that is kept is named, with the offset, and nothing of it is passed over', async (t) => {
  const path = newPath(t);
  let engine = await open(t, path);
  const start = engine.position;
  for (let i = 0; i < 50; i++) await engine.put(`key${i}`, 'v'.repeat(100));
  await engine.flush();
  await engine.put('in use', '1');
  await engine.close();
  const file = join(path, '000001.log');
  const bytes = readFileSync(file);
  for (const at of [3, 30, 1000, bytes.length - 1]) {
    const damaged = Uint8Array.from(bytes);
    damaged[at]! ^= 0x10;
    writeFileSync(file, damaged);
    engine = await open(t, path);
    const seen: string[] = [];
    const error = await collect(engine, start, seen).then(
      () => assert.fail(),
      (cause: unknown) => cause as StorageError,
    );
    assert.equal(error.code, 'STRATA_CORRUPTION');
    assert.ok(
      error.file?.endsWith('000001.log') && error.offset !== undefined && error.offset <= at,
      error.message,
    );
    assert.deepEqual(
      seen,
      seen.map((_, i) => `key${i}=${'v'.repeat(100)}`),
    );
    await failsWith('STRATA_CORRUPTION', engine.verify());
    // What is in use is sound.
    assert.equal(engine.getSync('key7')?.length, 100);
    await engine.close();
  }
  writeFileSync(file, bytes.subarray(0, 500));
  engine = await open(t, path);
  await failsWith('STRATA_CORRUPTION', collect(engine, start, []));
  await engine.close();
  unlinkSync(file);
  engine = await open(t, path);
  const missing = await collect(engine, start, []).catch((cause: unknown) => cause as StorageError);
  assert.equal((missing as StorageError).code, 'STRATA_CORRUPTION');
  assert.match((missing as StorageError).message, /000001\.log/);
});

test('a slow consumer neither keeps writers waiting nor files or memory, and gets all that is retained', async (t) => {
  const path = newPath(t);
  const engine = await open(t, path, { writeBufferSize: 256 * 1024 });
  const iterator = engine.changes();
  const value = 'v'.repeat(1000);
  const count = 1500;
  const first = iterator.next();
  for (let i = 0; i < count; i++) await engine.put(`${i}`, value);
  await engine.flush();
  const texts = [textOf((await first).value!), ...(await take(iterator, count - 1)).map(textOf)];
  assert.deepEqual(
    texts,
    texts.map((_, i) => `${i}=${value}`),
  );
  await iterator.return!();
  if (existsSync('/proc/self/fd')) {
    const open = readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        // Of the listing itself.
        return [];
      }
    });
    assert.deepEqual(
      open.filter((name) => name.startsWith(path) && name.includes('.log') && name.includes('deleted')),
      [],
    );
  }
});

test('a client follows the changes in its own thread, and ends them by itself', async (t) => {
  const engine = await open(t);
  const start = engine.position;
  const client = await StorageClient.attach(engine.share());
  assert.equal(client.position, start);
  const iterator = client.changes();
  const waiting = iterator.next();
  await engine.put('a', '1');
  await client.write(new WriteBatch().put('b', '1').put('c', '1'));
  assert.equal(client.position, engine.position);
  assert.equal(textOf((await waiting).value!), 'a=1');
  assert.equal(textOf((await iterator.next()).value!), 'b=1 c=1');
  const [pending, more] = [iterator.next(), client.changes({ after: start, prefix: 'c' })];
  assert.deepEqual(await iterator.return!(), { done: true, value: undefined });
  assert.deepEqual(await pending, { done: true, value: undefined });
  const { value } = await more.next();
  assert.equal(textOf(value!), 'c=1');
  assert.equal(value!.position, engine.position);
  assert.throws(() => client.changes({ after: 'x' }), { code: 'STRATA_INVALID_ARGUMENT' });
  const other = await open(t);
  await failsWith('STRATA_POSITION_LOST', client.changes({ after: other.position }).next());
  const last = failsWith('STRATA_CLOSED', more.next());
  await client.close();
  await last;
  await until(() => engine.stats().changes.consumers === 0);
});

async function collect(engine: StorageEngine, after: string, into: string[]): Promise<void> {
  for await (const batch of engine.changes({ after })) into.push(textOf(batch));
}

function logsIn(path: string): number {
  return readdirSync(path).filter((name) => name.endsWith('.log')).length;
}

function tablesIn(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith('.sst'));
}

/** What happens in the background, soon. */
async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !isSo(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(isSo());
}
