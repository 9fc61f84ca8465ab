/**
 * The door of an open store, from both sides: what it gives, and that nothing that comes through it does more than end its own
 * connection.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  DATA_BYTES,
  encodeFrame,
  encodeJson,
  encodeRecord,
  FrameKind,
  FrameReader,
  MAX_REQUEST_BYTES,
  parseRequest,
  RecordReader,
} from '../../../src/main/door/protocol.ts';
import { type Door, findDoor } from '../../../src/main/door/visit.ts';
import { type StorageEngine, StorageError } from '../../../src/main/index.ts';
import { failsWith, fill, keyOf, openTiny, textsOf, until, valueFor } from '../../helpers/engines.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runBudget, runSeed } from '../../helpers/run-budget.ts';

const IS_LINUX = process.platform === 'linux';
const LOCKED = new StorageError('STRATA_LOCKED', 'the store is locked by somebody');

function socketOf(path: string): string {
  const [name] = readdirSync(path).filter((file) => file.endsWith('.sock'));
  return join(path, name!);
}

function ownerOf(path: string): string {
  return (JSON.parse(readFileSync(join(path, 'LOCK'), 'utf8')) as { ownerId: string }).ownerId;
}

async function doorOf(t: TestContext, engine: StorageEngine): Promise<Door> {
  const door = await findDoor(engine.path, LOCKED);
  assert.ok(door !== undefined);
  t.after(() => door.close());
  return door;
}

/** A visitor that speaks for itself, and what it has been told when the connection ends. */
async function say(path: string, ...chunks: readonly Uint8Array[]): Promise<Buffer> {
  const socket = connect({ path: socketOf(path) });
  const heard: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => heard.push(chunk));
  socket.on('error', () => undefined);
  for (const chunk of chunks) socket.write(chunk);
  await new Promise((resolve) => socket.on('close', resolve));
  return Buffer.concat(heard);
}

async function connected(path: string): Promise<Socket> {
  const socket = connect({ path: socketOf(path) });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.on('connect', resolve));
  return socket;
}

function requestOf(path: string, command: string, args: object = {}, protocol = 1): Buffer {
  return encodeJson(FrameKind.Request, { protocol, owner: ownerOf(path), command, args });
}

/** The frames of an answer, without those that say that it goes on. */
function framesOf(heard: Buffer): { kind: number; text: string }[] {
  const frames = new FrameReader(2 ** 30).push(heard);
  assert.ok(frames !== undefined);
  return frames
    .filter(({ kind }) => kind !== FrameKind.Alive)
    .map(({ kind, bytes }) => ({ kind, text: bytes.toString() }));
}

test('what another process may ask for, it gets as the owner would', { skip: !IS_LINUX }, async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 500);
  const large = Buffer.alloc(3 * DATA_BYTES + 5, 'large');
  await engine.put('large', large);
  await engine.put('empty', '');
  const door = await doorOf(t, engine);
  assert.equal((await door.get(keyOf(3)))?.toString(), valueFor(3));
  assert.deepEqual(await door.get('large'), large);
  assert.equal((await door.get('empty'))?.length, 0);
  assert.equal(await door.get('absent'), undefined);
  const ranges = [
    {},
    { prefix: 'key-0001' },
    { gte: keyOf(5), lt: keyOf(9) },
    { reverse: true, limit: 7 },
    { lt: '' },
  ];
  for (const range of ranges) {
    const found: [string, string][] = [];
    for await (const [key, value] of door.scan(range)) found.push([key.toString(), value.toString()]);
    assert.deepEqual(found, textsOf(engine.scan(range)));
  }
  for await (const [key, value] of door.scan({ values: false, limit: 1 }))
    assert.deepEqual([key.toString(), value], ['empty', undefined]);
  await door.flush();
  assert.equal(engine.stats().memtables.bytes, 0);
  await door.compact();
  assert.deepEqual((await door.stats()).levels, engine.stats().levels);
  const levels = await door.levels();
  assert.equal(levels.isVerified, true);
  assert.deepEqual(
    levels.levels.map(({ files }) => files),
    engine.stats().levels.map(({ files }) => files),
  );
  const deepest = levels.levels.findLast(({ files }) => files > 0);
  assert.equal(Buffer.from(deepest?.smallestKey ?? []).toString(), 'empty');
  const report = await door.checkpoint(join(dirname(engine.path), 'copy'));
  assert.deepEqual(await engine.checkpoint(join(dirname(engine.path), 'copy 2')), report);
});

test('what fails there fails here, with its code', { skip: !IS_LINUX }, async (t) => {
  const engine = await openTiny(t);
  const door = await doorOf(t, engine);
  await failsWith('STRATA_EXISTS', door.checkpoint(engine.path));
  await failsWith('STRATA_INVALID_ARGUMENT', door.checkpoint('relative'));
  await failsWith('STRATA_INVALID_ARGUMENT', async () => {
    for await (const _ of door.scan({ limit: 1.5 })) assert.fail();
  });
  for (const [command, args] of [
    ['constructor', {}],
    ['get', {}],
    ['get', { key: 5 }],
    ['scan', { reverse: 1, values: true }],
    ['checkpoint', {}],
  ] as const)
    await failsWith('STRATA_INVALID_ARGUMENT', async () => {
      for await (const _ of door.ask(command, args)) assert.fail();
    });
  const [refused] = framesOf(await say(engine.path, requestOf(engine.path, 'stats', {}, 2)));
  assert.equal(refused?.kind, FrameKind.Error);
  assert.match(refused.text, /STRATA_UNSUPPORTED/);
  assert.doesNotMatch(refused.text, /node:|\.ts:/, 'no stack');
});

test('only the user of the store may come in', { skip: !IS_LINUX }, async (t) => {
  const engine = await openTiny(t);
  assert.equal(statSync(socketOf(engine.path)).mode & 0o777, 0o600);
  assert.equal(statSync(join(engine.path, 'LOCK')).mode & 0o777, 0o600);
  assert.equal(socketOf(engine.path).includes(ownerOf(engine.path)), false, 'the id is not in a name');
  const stranger = { protocol: 1, owner: '0123456789abcdef', command: 'stats', args: {} };
  assert.equal((await say(engine.path, encodeJson(FrameKind.Request, stranger))).length, 0);
});

test('what is no request ends its connection, and nothing else', { skip: !IS_LINUX }, async (t) => {
  const random = seededRandom(runSeed(t));
  const engine = await openTiny(t);
  await fill(engine, 50);
  const { path } = engine;
  const tooLong = Buffer.alloc(5);
  tooLong.writeUInt32LE(MAX_REQUEST_BYTES + 2, 0);
  const malformed: Uint8Array[][] = [
    [Buffer.alloc(4)],
    [tooLong],
    [Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    [encodeFrame(FrameKind.Request, Buffer.from('{'))],
    [encodeFrame(FrameKind.Request, Buffer.from('null'))],
    [encodeFrame(FrameKind.Result, Buffer.from('{}'))],
    [requestOf(path, 'stats').subarray(1)],
    [Buffer.concat([requestOf(path, 'stats'), requestOf(path, 'stats')])],
  ];
  for (const chunks of malformed) assert.equal((await say(path, ...chunks)).length, 0, String(chunks[0]));
  const sound = requestOf(path, 'get', { key: Buffer.from(keyOf(1)).toString('base64') });
  for (let i = runBudget('STRATA_VISITORS', 60); i > 0; i--) {
    const bytes = Buffer.from(sound);
    for (let flips = random.between(1, 4); flips > 0; flips--)
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
    // One that waits for the rest of what it has announced goes by itself.
    const socket = await connected(path);
    socket.write(bytes.subarray(0, random.between(1, bytes.length)));
    setTimeout(() => socket.destroy(), 5);
    await new Promise((resolve) => socket.on('close', resolve));
  }
  // In pieces of a byte a request is one as well.
  const pieces = Array.from(sound, (byte) => Uint8Array.of(byte));
  const frames = framesOf(await say(path, ...pieces));
  assert.deepEqual(frames, [
    { kind: FrameKind.Data, text: valueFor(1) },
    { kind: FrameKind.Result, text: '{"found":true}' },
  ]);
  assert.equal(engine.status, 'open');
});

test('there are only so many at once', { skip: !IS_LINUX }, async (t) => {
  const engine = await openTiny(t);
  const crowd = await Promise.all(Array.from({ length: 80 }, () => connected(engine.path)));
  await until(() => crowd.filter(({ destroyed }) => destroyed).length >= 48);
  assert.equal(crowd.filter(({ destroyed }) => !destroyed).length, 32);
  for (const socket of crowd) socket.destroy();
  await until(() => true);
  const door = await doorOf(t, engine);
  let stats: unknown;
  while (stats === undefined) stats = await door.stats().catch(() => undefined);
});

test('a visitor who goes, or whose signal is aborted, ends its command', { skip: !IS_LINUX }, async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  for (let i = 0; i < 400; i++) await engine.put(keyOf(i), Buffer.alloc(8000, i));
  const door = await doorOf(t, engine);
  const abort = new AbortController();
  const reason = new Error('enough');
  for (const how of ['break', 'abort']) {
    const seen = (async () => {
      for await (const _ of door.scan({ signal: abort.signal })) {
        await until(() => engine.stats().openScans === 1);
        if (how === 'break') break;
        abort.abort(reason);
      }
    })();
    if (how === 'break') await seen;
    else await assert.rejects(seen, reason);
    await until(() => engine.stats().openScans === 0);
  }
  const slow = await connected(engine.path);
  slow.pause();
  slow.write(requestOf(engine.path, 'scan', { values: true, reverse: false }));
  await until(() => engine.stats().openScans === 1);
  slow.destroy();
  await until(() => engine.stats().openScans === 0);
});

test('close() waits for no visitor; one whose answer it cuts short is told', {
  skip: !IS_LINUX,
}, async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  for (let i = 0; i < 400; i++) await engine.put(keyOf(i), Buffer.alloc(8000, i));
  const door = await doorOf(t, engine);
  const idle = await connected(engine.path);
  const stuck = await connected(engine.path);
  stuck.pause();
  stuck.write(requestOf(engine.path, 'scan', { values: true, reverse: false }));
  const scan = door.scan({})[Symbol.asyncIterator]();
  await scan.next();
  await until(() => engine.stats().openScans === 2);
  await engine.close();
  assert.equal(existsSync(join(engine.path, 'LOCK')), true);
  assert.deepEqual(
    readdirSync(engine.path).filter((name) => name.endsWith('.sock')),
    [],
  );
  // What it had been sent before it gets; that there is no more, it is not left to guess.
  await failsWith('STRATA_LOCKED', async () => {
    for (;;) if ((await scan.next()).done === true) return;
  });
  await failsWith('STRATA_LOCKED', door.stats());
  idle.destroy();
  stuck.destroy();
});

test('frames and records come together from pieces of any size', (t) => {
  const random = seededRandom(runSeed(t));
  for (let round = 0; round < 50; round++) {
    const records = Array.from({ length: random.between(0, 20) }, (): [Buffer, Buffer | undefined] => [
      Buffer.from(random.bytes(random.below(40))),
      random.chance(0.2) ? undefined : Buffer.from(random.bytes(random.below(500))),
    ]);
    const data = Buffer.concat(records.map(([key, value]) => encodeRecord(key, value)));
    const stream = Buffer.concat([encodeFrame(FrameKind.Data, data), encodeFrame(FrameKind.Alive)]);
    const frames = new FrameReader(data.length);
    const reader = new RecordReader();
    const found: [Buffer, Buffer | undefined][] = [];
    let alive = 0;
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + random.between(1, 200));
      for (const { kind, bytes } of frames.push(stream.subarray(at, end)) ?? assert.fail()) {
        if (kind === FrameKind.Alive) alive++;
        for (let from = 0; from < bytes.length; from += 37)
          found.push(...reader.push(bytes.subarray(from, from + 37)));
      }
      at = end;
    }
    assert.deepEqual(found, records);
    assert.deepEqual([alive, reader.isAtEnd], [1, true]);
    if (data.length > 0)
      assert.equal(new FrameReader(data.length - 1).push(encodeFrame(FrameKind.Data, data)), undefined);
  }
  assert.equal(parseRequest(Buffer.from('{"protocol":1,"owner":"a","command":"b","args":[]}')), undefined);
});
