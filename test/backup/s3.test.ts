/** The S3 target, with the real client and a server of the tests' own: conditions, faults, parts, pages, permission. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import { s3Target } from '../../src/backup/s3/index.ts';
import { TargetSession } from '../../src/backup/target-session.ts';
import { resolveTransfer } from '../../src/backup/transfer-options.ts';
import {
  type BackupTarget,
  backup,
  listBackups,
  purgeBackups,
  restore,
  verifyBackup,
} from '../../src/main/backup.ts';
import type { StorageEngine } from '../../src/main/index.ts';
import { newPath, openAt, openTiny } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { stubbedTarget } from '../helpers/s3-client.ts';
import type { S3Fault, S3Stub } from '../helpers/s3-stub.ts';

const code = (name: string): { readonly code: string } => ({ code: name });

async function fill(engine: StorageEngine, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await engine.put(`key ${i}`, `${'v'.repeat(i % 90)} ${i}`);
}

async function restoredContent(t: TestContext, target: BackupTarget): Promise<string[]> {
  const path = newPath(t);
  await restore(target, path);
  return contentOf(await openAt(t, path));
}

function contentOf(engine: StorageEngine): string[] {
  return [...engine.scan()].map(([key, value]) => `${key} ${value}`);
}

/** Each request may meet one of these; the same never twice in a row for one object, so that all get on. */
function meets(stub: S3Stub, seed: number, faults: readonly S3Fault[], chance: number): () => number {
  const random = seededRandom(seed);
  let count = 0;
  stub.fault = () => {
    if (!random.chance(chance)) return undefined;
    count++;
    return faults[random.below(faults.length)];
  };
  return () => count;
}

test('backup, list, verify, purge and restore, in one page or in many', async (t) => {
  const { stub, target } = await stubbedTarget(t);
  assert.equal(target.name, 's3://bucket/stores/one');
  const engine = await openTiny(t);
  await fill(engine, 0, 300);
  assert.deepEqual(await listBackups(target), []);
  const first = await backup(engine, target);
  assert.ok(stub.keys().every((key) => key.startsWith('stores/one/')));
  await engine.put('one', 'more');
  const second = await backup(engine, target);
  assert.ok(second.uploadedBytes < first.bytes / 2);
  stub.pageSize = 3;
  assert.deepEqual(await listBackups(target), [first, second]);
  assert.equal((await verifyBackup(target)).backups, 2);
  assert.deepEqual((await purgeBackups(target, { keep: 1 })).kept, [second.id]);
  assert.deepEqual(await restoredContent(t, target), contentOf(engine));
  assert.deepEqual(stub.keys('stores/one/probes'), []);
  assert.deepEqual(stub.keys('stores/one/uploads'), []);
});

const RECOVERABLE: readonly S3Fault[] = [
  'error',
  'slow-down',
  'reset',
  'lost-answer',
  'slow',
  'cut-short',
  'garbled',
];

test('of requests that fail, are lost, cut short or garbled nothing is seen but the time', async (t) => {
  const seed = runSeed(t);
  const { stub, target } = await stubbedTarget(t);
  const engine = await openTiny(t);
  await fill(engine, 0, 300);
  const faults = meets(stub, seed, RECOVERABLE, 0.2);
  for (let i = 0; i < 4; i++) {
    await fill(engine, i * 20, i * 20 + 30);
    await backup(engine, target);
  }
  assert.equal((await listBackups(target)).length, 4);
  await purgeBackups(target, { keep: 2 });
  await verifyBackup(target);
  assert.deepEqual(await restoredContent(t, target), contentOf(engine));
  stub.fault = () => undefined;
  assert.equal((await verifyBackup(target)).backups, 2);
  assert.equal(stub.uploads.size, 0);
  assert.ok(faults() > 8, `${faults()} faults`);
  t.diagnostic(`FIGURE s3-faults=${faults()}`);
});

test('large objects go in parts; a body that breaks is read on, with ranges and without', async (t) => {
  const seed = runSeed(t);
  const { stub, target } = await stubbedTarget(t);
  const session = new TargetSession(target, resolveTransfer({}, 'options'));
  t.after(() => session.close());
  const bytes = randomBytes(11 * 1024 * 1024 + 17);
  const key = 'tables/large';
  let largest = 0;
  const upload = async (): Promise<void> =>
    await session.upload(key, bytes.length, async (position, length) => {
      largest = Math.max(largest, length);
      return bytes.subarray(position, position + length);
    });
  await upload();
  assert.ok(largest <= 5 * 1024 * 1024, `${largest}`);
  assert.ok(stub.objects.get(`stores/one/${key}`)?.bytes.equals(bytes));
  meets(stub, seed, ['error', 'reset', 'lost-answer', 'slow-down'], 0.25);
  await upload();
  assert.ok(stub.objects.get(`stores/one/${key}`)?.bytes.equals(bytes));
  for (const knowsRange of [true, false]) {
    stub.knowsRange = knowsRange;
    let breaks = 3;
    stub.fault = (line) => (line.startsWith('GET') && breaks-- > 0 ? 'cut-short' : undefined);
    const parts: Uint8Array[] = [];
    await session.download(key, bytes.length, {
      begin: () => void parts.splice(0),
      write: (part) => void parts.push(Buffer.from(part)),
      end: () => (Buffer.concat(parts).equals(bytes) ? undefined : 'other bytes'),
    });
    assert.ok(breaks < 0, 'it was broken');
  }
});

test('an upload in parts that fails for good is taken back', async (t) => {
  const { stub, target } = await stubbedTarget(t);
  const session = new TargetSession(target, resolveTransfer({}, 'options'));
  t.after(() => session.close());
  stub.fault = (line) => (line.startsWith('COMPLETE') ? 'denied' : undefined);
  const part = Buffer.alloc(5 * 1024 * 1024);
  await assert.rejects(
    session.upload('tables/large', 6 * 1024 * 1024, async (_position, length) => part.subarray(0, length)),
    code('STRATA_IO'),
  );
  assert.equal(stub.uploads.size, 0);
  assert.deepEqual(stub.keys(), []);
});

test('a server that ignores conditions is found out before anything is written', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', 'b');
  for (const [header, property] of [
    ['If-None-Match', 'ignoresIfNoneMatch'],
    ['If-Match', 'ignoresIfMatch'],
  ] as const) {
    const { stub, target } = await stubbedTarget(t);
    stub[property] = true;
    await assert.rejects(backup(engine, target), (error: Error) => {
      assert.equal((error as { code?: string }).code, 'STRATA_UNSUPPORTED');
      assert.ok(error.message.includes(`header ${header}:`), error.message);
      return true;
    });
    assert.deepEqual(stub.keys(), []);
  }
});

test('without permission, or a bucket, every call says so at once, and nothing is half-made', async (t) => {
  const { stub, target } = await stubbedTarget(t);
  const engine = await openTiny(t);
  await fill(engine, 0, 100);
  for (const denied of ['PUT', 'GET', 'LIST', 'PUT stores/one/backups']) {
    stub.fault = (line) => (line.startsWith(denied) ? 'denied' : undefined);
    await assert.rejects(backup(engine, target), (error: Error) => {
      assert.equal((error as { code?: string }).code, 'STRATA_IO', error.message);
      assert.match(error.message, /AccessDenied.*HTTP 403/);
      return true;
    });
    stub.fault = () => undefined;
    assert.deepEqual(await listBackups(target), []);
  }
  await backup(engine, target);
  // To read takes no permission to write.
  stub.fault = (line) => (/^(?:GET|LIST|HEAD)/.test(line) ? undefined : 'denied');
  await verifyBackup(target);
  assert.deepEqual(await restoredContent(t, target), contentOf(engine));
});

test('a client without a region says so at once', async (t) => {
  const client = new S3Client({
    region: (): Promise<string> => Promise.reject(new Error('Region is missing')),
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
  const target = s3Target({ client, bucket: 'bucket', prefix: '' });
  await assert.rejects(listBackups(target, { timeoutMs: 600_000 }), {
    code: 'STRATA_IO',
    message: /Region is missing/,
  });
  t.after(() => client.destroy());
});

test('a call gives up after its time without progress, and one that gets on does not', async (t) => {
  const { stub, target } = await stubbedTarget(t);
  const engine = await openTiny(t);
  await fill(engine, 0, 100);
  for (const fault of ['error', 'hang', 'reset'] as const) {
    stub.fault = (line) => (line.includes('/tables/') ? fault : undefined);
    await assert.rejects(backup(engine, target, { timeoutMs: 300 }), (error: Error) => {
      assert.equal((error as { code?: string }).code, 'STRATA_IO', error.message);
      assert.match(error.message, /no progress with s3:\/\/bucket\/stores\/one for 300 ms/);
      return true;
    });
  }
  stub.fault = () => undefined;
  await backup(engine, target);
  // What hangs when it is read is asked for again.
  let hung = 0;
  stub.fault = (line) => (line.startsWith('GET stores/one/tables') && hung++ === 0 ? 'hang' : undefined);
  await verifyBackup(target, { timeoutMs: 3000 });
  assert.ok(hung > 1);
  // So is what hangs when it is written, if it is small.
  for (const line of ['PUT stores/one/uploads', 'PUT stores/one/backups', 'DELETE stores/one/uploads']) {
    hung = 0;
    stub.fault = (found) => (found.startsWith(line) && hung++ === 0 ? 'hang' : undefined);
    await backup(engine, target, { timeoutMs: 3000 });
    assert.ok(hung > 1, line);
  }
});

test('an aborted backup, and one at a bounded rate', async (t) => {
  const { stub, target } = await stubbedTarget(t);
  const engine = await openTiny(t);
  await fill(engine, 0, 300);
  const stop = new AbortController();
  stub.fault = (line) => {
    if (!line.startsWith('PUT stores/one/tables')) return undefined;
    stop.abort(new Error('enough'));
    return 'hang';
  };
  await assert.rejects(backup(engine, target, { signal: stop.signal }), /enough/);
  stub.fault = () => undefined;
  assert.deepEqual(await listBackups(target), []);
  const { uploadedBytes } = await backup(engine, target, { bytesPerSecond: 1_000_000, concurrency: 2 });
  assert.ok(uploadedBytes > 0);
});

test('a flipped byte or a missing object is damage, whatever the server says of it', async (t) => {
  const { stub, target } = await stubbedTarget(t);
  const engine = await openTiny(t);
  await fill(engine, 0, 100);
  await backup(engine, target);
  for (const key of stub.keys()) {
    const object = stub.objects.get(key)!;
    const sound = object.bytes;
    object.bytes = Buffer.from(sound);
    object.bytes[sound.length >> 1]! ^= 4;
    await assert.rejects(verifyBackup(target), code('STRATA_CORRUPTION'), key);
    object.bytes = sound.subarray(0, sound.length - 2);
    await assert.rejects(verifyBackup(target), code('STRATA_CORRUPTION'), key);
    object.bytes = sound;
    if (!key.includes('/tables/')) continue;
    stub.objects.delete(key);
    await assert.rejects(verifyBackup(target), code('STRATA_CORRUPTION'), key);
    await assert.rejects(restore(target, newPath(t)), code('STRATA_CORRUPTION'), key);
    stub.objects.set(key, object);
  }
  await verifyBackup(target);
});

test('options of s3Target are checked', () => {
  const client = { send: async () => ({}) };
  for (const options of [
    undefined,
    {},
    { client },
    { client, bucket: '' },
    { client, bucket: 'b', region: 'x' },
  ])
    assert.throws(() => s3Target(options as never), code('STRATA_INVALID_ARGUMENT'));
  assert.equal(s3Target({ client, bucket: 'b', prefix: '/a/b/' }).name, 's3://b/a/b');
  assert.equal(s3Target({ client, bucket: 'b' }).name, 's3://b');
});
