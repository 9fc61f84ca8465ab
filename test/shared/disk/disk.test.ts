/**
 * Reads off the thread: by whom they are made, what becomes of them when a thread or the disk fails, and that the log does not
 * wait for them.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  openSync,
  read,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { StorageError } from '../../../src/shared/base/errors.ts';
import { Disk, MAX_IN_FLIGHT, POOL_SLOTS } from '../../../src/shared/disk/disk.ts';
import { type FileSystem, type StorageFile, writeFully } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { openSource, PreadSource } from '../../../src/shared/table/block-source.ts';
import { FaultControl } from '../../helpers/fault/fault-control.ts';
import { createFileSystem } from '../../helpers/fault/faulty-file-system.ts';
import { MemoryFile } from '../../helpers/memory-file.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const CONTENT: Buffer = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));

function fileOf(t: TestContext): string {
  const path = join(temporaryDirectory(t), '000001.sst');
  writeFileSync(path, CONTENT);
  return path;
}

function diskOf(t: TestContext, options: ConstructorParameters<typeof Disk>[1] = {}): Disk {
  const disk = new Disk(nodeFileSystem, options);
  t.after(() => disk.close());
  return disk;
}

function opened(t: TestContext, path: string): StorageFile {
  const file = nodeFileSystem.openRead(path);
  t.after(() => file.close());
  return file;
}

/** Until a reader thread is idle: it takes as long as it takes. */
async function oneThread(disk: Disk): Promise<void> {
  disk.threads.start();
  while (disk.threads.idleCount === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A thread that misbehaves, in the place of reader-thread.ts. */
function odd(code: string): URL {
  const text = `import { parentPort } from 'node:worker_threads'; ${code}`;
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}

const NEVER_STARTS: URL = odd('process.exit(1);');
const DIES_OF_READS: URL = odd(
  "parentPort.on('message', () => process.exit(1)); parentPort.postMessage('ready');",
);
const HANGS: URL = odd("parentPort.on('message', () => undefined); parentPort.postMessage('ready');");

/** Its clock says that every read takes a second. */
function slowClock(): () => number {
  let time = 0;
  return () => (time += 1000);
}

test('a reader thread reads what the pool reads, and tells how long it took', async (t) => {
  const disk = diskOf(t);
  const file = opened(t, fileOf(t));
  await oneThread(disk);
  const calls = t.mock.method(file as Required<StorageFile>, 'readAtAsync');
  const bytes = await disk.readLater(file, 1000, 5000, true);
  assert.deepEqual(Buffer.from(bytes), CONTENT.subarray(1000, 6000));
  assert.equal(calls.mock.callCount(), 0, 'nothing for the pool');
  assert.equal(disk.threads.idleCount, 1);
});

test('close(): what waits and what comes later is told so, what is under way has its answer, and threads end', async (t) => {
  const disk = diskOf(t);
  const file = opened(t, fileOf(t));
  const reads = Array.from({ length: 1000 }, (_, i) => disk.readLater(file, i, 3, i % 2 === 0));
  const open = disk.queue.run(() => nodeFileSystem.openReadAsync!(file.path), true);
  const outcomes = Promise.allSettled(reads);
  disk.close();
  disk.close();
  const closed = { code: 'STRATA_CLOSED' };
  await Promise.all([assert.rejects(open, closed), assert.rejects(disk.readLater(file, 0, 3, true), closed)]);
  const landed = (await outcomes).filter(({ status }) => status === 'fulfilled');
  assert.equal(landed.length, POOL_SLOTS);
  for (const read of reads)
    await read.catch((error: unknown) => assert.equal((error as StorageError).code, closed.code));
  assert.deepEqual([disk.queue.inFlight, disk.queue.waiting, disk.threads.count], [0, 0, 0]);
});

for (const habit of ['thread', 'pool'] as const)
  test(`a file that is shorter than it was, or closed, is told of: by the ${habit}`, async (t) => {
    const disk = diskOf(t);
    const path = fileOf(t);
    const file = opened(t, path);
    if (habit === 'thread') await oneThread(disk);
    unlinkSync(path);
    const whole = await disk.readLater(file, 0, CONTENT.length, true);
    assert.deepEqual(Buffer.from(whole), CONTENT, 'a file without a name is read as before');
    const other = fileOf(t);
    const cut = opened(t, other);
    truncateSync(other, 50_000);
    await assert.rejects(disk.readLater(cut, 49_999, 2, true), {
      code: 'STRATA_CORRUPTION',
      file: other,
      offset: 49_999,
    });
    await assert.rejects(disk.readLater(descriptorOf('/', t), 0, 10, true), (error) => {
      const { code, cause } = error as { code?: string; cause?: { code?: string } };
      return code === 'STRATA_IO' && cause?.code === 'EISDIR';
    });
    assert.equal(disk.queue.inFlight, 0);
  });

/** An open directory taken for a file: every read of it is an error of the system. */
function descriptorOf(path: string, t: TestContext): StorageFile {
  const fd = openSync(path, 'r');
  t.after(() => closeSync(fd));
  const file = new MemoryFile(path);
  return Object.defineProperties(file, {
    descriptor: { value: fd },
    readAtAsync: {
      value: (into: Uint8Array, position: number): Promise<number> =>
        new Promise((resolve, reject) => {
          read(fd, into, 0, into.length, position, (error, count) => {
            if (error === null) resolve(count);
            else reject(Object.assign(new Error('STRATA_IO', { cause: error }), { code: 'STRATA_IO' }));
          });
        }),
    },
  }) as StorageFile;
}

test('a read whose thread dies is made by the pool; after three deaths no more threads are started', async (t) => {
  const disk = diskOf(t, { threadUrl: DIES_OF_READS });
  const file = opened(t, fileOf(t));
  for (let deaths = 1; deaths <= 3; deaths++) {
    await oneThread(disk);
    const bytes = await disk.readLater(file, 10, 20, true);
    assert.deepEqual(Buffer.from(bytes), CONTENT.subarray(10, 30));
    assert.equal(disk.threads.count, 0);
  }
  disk.threads.start();
  assert.equal(disk.threads.count, 0);
  assert.deepEqual([disk.queue.inFlight, disk.queue.waiting], [0, 0]);
});

test('where threads die as they start, or there is no code for them, the pool reads alone', async (t) => {
  const file = opened(t, fileOf(t));
  for (const threadUrl of [NEVER_STARTS, new URL('./nothing.js', import.meta.url)]) {
    const disk = diskOf(t, { threadUrl, clock: slowClock() });
    const reads = Array.from({ length: 200 }, (_, i) => disk.readLater(file, i, 4, true));
    for (const [i, bytes] of (await Promise.all(reads)).entries())
      assert.deepEqual(Buffer.from(bytes), CONTENT.subarray(i, i + 4));
    while (disk.threads.count > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    disk.threads.start();
    assert.equal(disk.threads.count, 0, 'it is not tried again');
  }
});

test('threads are started one by one, when slow reads leave others waiting, and not by quick ones', async (t) => {
  const path = fileOf(t);
  const file = opened(t, path);
  const counts = async (clock: () => number): Promise<number> => {
    const disk = diskOf(t, { clock });
    let most = 0;
    const reads = Array.from({ length: 300 }, async (_, i) => {
      await disk.readLater(file, i, 4, true);
      most = Math.max(most, disk.threads.count - disk.threads.idleCount);
    });
    await Promise.all(reads);
    const { count } = disk.threads;
    disk.close();
    return count;
  };
  assert.equal(await counts(() => 0), 0);
  assert.ok((await counts(slowClock())) >= 1);
});

test('of libuv at most two reads are under way, and log writes go on while all that can read hangs', {
  skip: process.platform === 'win32' ? 'needs a named pipe' : false,
}, async (t) => {
  const directory = temporaryDirectory(t);
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const fd = openSync(pipe, constants.O_RDWR);
  t.after(() => closeSync(fd));
  const disk = diskOf(t, { threadUrl: HANGS });
  for (let count = 1; count <= 3; count++) {
    disk.threads.start();
    while (disk.threads.idleCount < count) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  let begun = 0;
  const hanging = Object.defineProperties(new MemoryFile(pipe), {
    descriptor: { value: fd },
    readAtAsync: {
      value: (into: Uint8Array): Promise<number> => {
        begun++;
        return new Promise((resolve) => read(fd, into, 0, 1, null, (_, count) => resolve(count)));
      },
    },
  }) as StorageFile;
  for (let i = 0; i < 3; i++) void disk.readLater(hanging, 0, 1, true);
  const landed = Array.from({ length: 20 }, () => disk.readLater(hanging, 0, 1, true));
  const opens = Array.from({ length: 5 }, () =>
    disk.queue.run(() => nodeFileSystem.openReadAsync!(fileOf(t)), true),
  );
  assert.deepEqual([begun, disk.queue.inFlight, disk.queue.waiting], [POOL_SLOTS, 5, 23]);
  const log = nodeFileSystem.createExclusive(join(directory, '000002.log'));
  for (let i = 0; i < 20; i++) {
    await log.writeAtAsync(Buffer.from('x'), i);
    await log.datasyncAsync();
  }
  assert.equal(log.size(), 20);
  assert.equal(begun, POOL_SLOTS, 'and still nothing has come of the reads');
  log.close();
  writeSync(fd, Buffer.alloc(20, 1));
  assert.equal((await Promise.all(landed)).length, 20);
  for (const file of await Promise.all(opens)) file.close();
});

test('a file system of a test is read with as many reads at a time as there are at most', async (t) => {
  const path = fileOf(t);
  const control = new FaultControl();
  const fs: FileSystem = createFileSystem({ control: control.buffer });
  const disk = new Disk(fs);
  t.after(() => disk.close());
  const source = openSource(await fs.openReadAsync!(path), true, disk);
  assert.equal(source.readNow(0, 10), undefined, 'nobody knows how quick it is');
  control.arm({ fault: 'hang', at: 0, lasting: true, kinds: ['read'] });
  const reads = Array.from({ length: 30 }, (_, i) => source.readLater(i, 10, true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([disk.queue.inFlight, control.injectedCount], [MAX_IN_FLIGHT, MAX_IN_FLIGHT]);
  control.disarm();
  for (const [i, bytes] of (await Promise.all(reads)).entries())
    assert.deepEqual(Buffer.from(bytes), CONTENT.subarray(i, i + 10));
  for (const [fault, code] of [
    ['EIO', 'STRATA_IO'],
    ['ESTALE', 'STRATA_IO'],
    ['truncated', 'STRATA_CORRUPTION'],
  ] as const) {
    control.arm({ fault, at: 0, kinds: ['read'] });
    await assert.rejects(source.readLater(0, 10, true), { code });
  }
  control.arm({ fault: 'short-read', at: 0, lasting: true, kinds: ['read'] });
  assert.deepEqual(Buffer.from(await source.readLater(7, 1000, true)), CONTENT.subarray(7, 1007));
  assert.deepEqual([disk.queue.inFlight, disk.queue.waiting], [0, 0]);
  source.close();
});

test('without a word from the system reads go off the thread until they were quick, then in the call until one is not', async () => {
  let time = 0;
  let readMs = 0.1;
  const memory = new MemoryFile('000001.sst', CONTENT);
  const file: StorageFile = Object.assign(memory, {
    readAt: (into: Uint8Array, position: number): number => {
      time += readMs;
      into.set(CONTENT.subarray(position, position + into.length));
      return into.length;
    },
  });
  const disk = new Disk({ spec: { module: 'a test' } }, { clock: () => time, systemTells: false });
  const source = new PreadSource(file, disk);
  for (let i = 0; i < 64; i++) {
    assert.equal(source.readNow(i, 4), undefined);
    await source.readLater(i, 4, true);
  }
  disk.withoutWaiting(() => assert.deepEqual(Buffer.from(source.readNow(3, 4)!), CONTENT.subarray(3, 7)));
  assert.ok(disk.withoutWaiting(() => disk.mayOpen));
  readMs = 3;
  disk.withoutWaiting(() => assert.ok(source.readNow(3, 4), 'the one that it learns from'));
  assert.equal(source.readNow(3, 4), undefined);
  assert.ok(!disk.withoutWaiting(() => disk.mayOpen));
  assert.ok(disk.mayOpen, 'whoever may wait may open');
  disk.close();
});

test('a read of which a busy loop heard late is neither quick nor slow', async () => {
  let time = 0;
  let idleMs = 0;
  const disk = new Disk({ spec: { module: 'a test' } }, { clock: () => time, idleClock: () => idleMs });
  /** A file whose reads are reported 5 ms late; the event loop was idle for `waitedMs` of them. */
  const late = (waitedMs: number): StorageFile =>
    Object.assign(new MemoryFile('000001.sst', CONTENT), {
      readAtAsync: async (into: Uint8Array): Promise<number> => {
        time += 5;
        idleMs += waitedMs;
        return into.length;
      },
    });
  for (let i = 0; i < 63; i++) disk.judge.landed(0.1);
  await disk.readLater(late(0.4), 0, 10, true);
  assert.ok(!disk.judge.isTrusting);
  disk.judge.landed(0.1);
  assert.ok(disk.judge.isTrusting, 'the row went on');
  disk.judge.inCall(2);
  for (let i = 0; i < 127; i++) disk.judge.landed(0.1);
  await disk.readLater(late(4), 0, 10, true);
  disk.judge.landed(0.1);
  assert.ok(!disk.judge.isTrusting, 'the row has begun again');
  disk.close();
});

test('a slow read in the call is excused while the process reads from no disk', () => {
  let time = 0;
  let blocks = 100;
  const disk = new Disk(undefined, { clock: () => time, countBlocks: () => blocks });
  const slow = (): boolean => {
    disk.withoutWaiting(() => disk.timed(() => (time += 2)));
    return !disk.judge.isTrusting;
  };
  for (let i = 0; i < 64; i++) disk.judge.landed(0.1);
  assert.ok(slow(), 'nobody knows what was read before');
  for (let i = 0; i < 128; i++) disk.judge.landed(0.1);
  assert.ok(!slow());
  for (let i = 0; i < 64; i++) disk.judge.inCall(0);
  blocks++;
  assert.ok(slow());
  disk.close();
});

test('where it is not known what the process reads, no slow read is excused', () => {
  let time = 0;
  const disk = new Disk(undefined, { clock: () => time, countBlocks: () => undefined });
  for (let i = 0; i < 64; i++) disk.judge.landed(0.1);
  disk.withoutWaiting(() => disk.timed(() => (time += 2)));
  assert.ok(!disk.judge.isTrusting);
  disk.close();
});

test('reader threads get nothing of the environment and the command line of the process', async (t) => {
  const code =
    'if (Object.keys(process.env).length + process.execArgv.length + process.argv.length > 2) process.exit(1);';
  const disk = diskOf(t, {
    threadUrl: odd(`${code} parentPort.on('message', () => undefined); parentPort.postMessage('ready');`),
  });
  disk.threads.start();
  while (disk.threads.count > disk.threads.idleCount) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(disk.threads.idleCount, 1);
});

test('a source of a job reads in the call, whatever it is asked', async () => {
  const source = new PreadSource(new MemoryFile('000001.sst', CONTENT));
  assert.deepEqual(Buffer.from(source.readNow(1, 2)!), CONTENT.subarray(1, 3));
  assert.deepEqual(Buffer.from(await source.readLater(1, 2, true)), CONTENT.subarray(1, 3));
  await assert.rejects(source.readLater(CONTENT.length - 1, 2, true), { code: 'STRATA_CORRUPTION' });
});

test('openReadAsync() and readAtAsync() of the real disk behave as their other halves', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'file');
  const made = nodeFileSystem.createExclusive(path);
  writeFully(made, CONTENT, 0);
  made.close();
  const file = await nodeFileSystem.openReadAsync!(path);
  const into = Buffer.alloc(10);
  assert.equal(await file.readAtAsync!(into, 5), 10);
  assert.deepEqual(into, CONTENT.subarray(5, 15));
  assert.equal(await file.readAtAsync!(into, CONTENT.length), 0);
  const resident = file.readResident?.(into, 50);
  if (resident !== undefined)
    assert.deepEqual(into.subarray(0, resident), CONTENT.subarray(50, 50 + resident));
  file.close();
  await assert.rejects(file.readAtAsync!(into, 0), { code: 'STRATA_IO' });
  for (const [name, code] of [
    [directory, undefined],
    [join(directory, 'none'), 'ENOENT'],
  ] as const)
    await assert.rejects(nodeFileSystem.openReadAsync!(name), (error) => {
      const {
        code: own,
        file: named,
        cause,
      } = error as {
        code?: string;
        file?: string;
        cause?: { code?: string };
      };
      return own === 'STRATA_IO' && named === name && cause?.code === code;
    });
});
