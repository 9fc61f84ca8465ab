/**
 * "The store was read-only until it was reopened, although the disk had only been full for a moment": a new log that could not
 * be created, or of which nothing could be written, for want of room or descriptors.
 *
 * The writes of that moment are refused and leave nothing, not for reads, not for whoever crashes then; later ones work. The
 * disk is full for tables, too, so that memtables stay and each log names the one before it.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { type EngineOptions, StorageEngine, StorageError } from '../../src/main/index.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { Recorder } from '../helpers/recording-file-system.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const KIB = 1024;
const LARGE = 'v'.repeat(300 * KIB);
const OPTIONS: EngineOptions = { threads: 0, writeBufferSize: 8 * KIB };

interface Opened {
  readonly engine: StorageEngine;
  readonly recorder: Recorder;
  readonly directory: string;
  readonly told: string[];
}

async function open(t: TestContext, options: EngineOptions = {}): Promise<Opened> {
  const recorder = new Recorder();
  // Before the hook that removes the directory.
  t.after(async () => {
    recorder.calm();
    await engine.close();
  });
  const directory = join(temporaryDirectory(t), 'store');
  const engine = await openEngine(directory, { ...OPTIONS, ...options }, { fileSystem: recorder.spec });
  const told: string[] = [];
  engine.on('backgroundError', ({ operation }) => told.push(operation));
  return { engine, recorder, directory, told };
}

let copies = 0;

/** The keys that are there after a crash at this moment. */
async function keysAfterCrash(directory: string): Promise<string[]> {
  const copy = `${directory}-${copies++}`;
  copyOpenStore(directory, copy);
  const engine = await StorageEngine.open(copy, { threads: 0 });
  try {
    return [...engine.scan()].map(([key]) => key.toString());
  } finally {
    await engine.close();
  }
}

function keysOf(engine: StorageEngine): string[] {
  return [...engine.scan()].map(([key]) => key.toString());
}

function isTable(file: string): boolean {
  return file.endsWith('.sst');
}

/** Which step of a new log fails. */
type Moment = 'create' | 'write' | 'second part of the first write';
const MOMENTS: readonly (readonly [Moment, readonly string[]])[] = [
  ['create', ['EMFILE', 'ENFILE', 'ENOSPC', 'EDQUOT']],
  ['write', ['ENOSPC', 'EDQUOT', 'EFBIG']],
  ['second part of the first write', ['ENOSPC', 'EFBIG']],
];

/** From now on no table can be made, and no new log. */
function fill({ recorder, directory }: Opened, moment: Moment, code: string): void {
  const old = new Set(readdirSync(directory));
  const parts = new Map<string, number>();
  recorder.longestWrite = moment === 'second part of the first write' ? 100 : Number.POSITIVE_INFINITY;
  recorder.failWith = ({ kind, file }) => {
    if (kind === 'create' && isTable(file)) return 'ENOSPC';
    if (!file.endsWith('.log') || old.has(file)) return undefined;
    if (kind === 'create') return moment === 'create' ? code : undefined;
    if (kind !== 'write') return undefined;
    const part = (parts.get(file) ?? 0) + 1;
    // A file that is made anew under the same name begins anew.
    parts.set(file, moment === 'write' || part === 2 ? 0 : part);
    return moment === 'write' || part === 2 ? code : undefined;
  };
}

for (const [moment, codes] of MOMENTS)
  for (const code of codes)
    for (const value of ['v'.repeat(500), LARGE])
      test(`${code} at the ${moment} of a new log refuses ${value.length > KIB ? 'large' : 'small'} writes of that moment only`, async (t) => {
        const opened = await open(t);
        const { engine, recorder, directory, told } = opened;
        await engine.put('a', '1', { sync: true });
        fill(opened, moment, code);
        const acknowledged = ['a'];
        const refused: StorageError[] = [];
        for (let i = 0; refused.length < 3 && i < 60; i++) {
          const key = `b${String(i).padStart(3, '0')}`;
          await engine.put(key, value).then(
            () => acknowledged.push(key),
            (error: unknown) => {
              assert.ok(error instanceof StorageError);
              refused.push(error);
            },
          );
        }
        assert.equal(refused.length, 3);
        for (const error of refused) assert.equal(error.code, 'STRATA_IO');
        assert.equal(systemErrorCode(refused[0]), code);
        assert.equal(engine.status, 'open');
        assert.equal(told.includes('log'), false);
        const files = readdirSync(directory).filter((name) => name.endsWith('.log'));
        assert.deepEqual(keysOf(engine), acknowledged);
        assert.deepEqual(await keysAfterCrash(directory), acknowledged);
        recorder.failWith = ({ kind, file }) => (kind === 'create' && isTable(file) ? 'ENOSPC' : undefined);
        await engine.put('c', '1', { sync: true });
        assert.ok(files.length < 3, `${files.join()} are left`);
        acknowledged.push('c');
        assert.deepEqual(keysOf(engine), acknowledged);
        assert.deepEqual(await keysAfterCrash(directory), acknowledged);
        recorder.calm();
        await engine.flush();
        await engine.put('d', '1');
        acknowledged.push('d');
        assert.equal(engine.stats().sequence, acknowledged.length, 'refused writes take no sequence');
        await engine.close();
        const again = await StorageEngine.open(directory, { threads: 0 });
        assert.deepEqual(keysOf(again), acknowledged);
        await again.verify();
        await again.close();
      });

test('whole writes in the part of a new log that came to the disk do not come back after a crash', async (t) => {
  const { engine, recorder, directory } = await open(t, { writeBufferSize: 64 * KIB });
  const release = recorder.hold('write');
  // A memtable of its own, whose log write is under way while the next log's first writes queue up.
  const large = engine.put('a', LARGE);
  const later: Promise<unknown>[] = [];
  for (let i = 0; i < 5; i++) {
    const told = (error: unknown): unknown => {
      recorder.mark('told');
      return error;
    };
    later.push(engine.put(`b${i}`, 'v'.repeat(5000)).catch(told));
    await new Promise((resolve) => setImmediate(resolve));
  }
  let parts = 0;
  recorder.failWith = ({ kind, file }) => {
    if (kind !== 'write' || file !== '000002.log') return undefined;
    recorder.longestWrite = 6000;
    return ++parts === 2 ? 'ENOSPC' : undefined;
  };
  release();
  await large;
  for (const outcome of await Promise.all(later))
    assert.equal((outcome as StorageError | undefined)?.code, 'STRATA_IO');
  assert.equal(parts, 2, 'all of them were one write');
  const [unlinked, told] = ['unlink 000002.log', 'told'].map((note) => recorder.notes.indexOf(note));
  assert.ok(unlinked! >= 0 && recorder.notes.slice(unlinked, told).includes('syncDirectory .'));
  assert.deepEqual(keysOf(engine), ['a']);
  assert.deepEqual(await keysAfterCrash(directory), ['a']);
  recorder.calm();
  await engine.put('c', '1');
  assert.deepEqual(await keysAfterCrash(directory), ['a', 'c']);
});

test('a part of a new log that cannot be deleted durably makes the store read-only, and the writes indeterminate', async (t) => {
  for (const step of ['unlink', 'syncDirectory'] as const) {
    const { engine, recorder, told } = await open(t);
    recorder.longestWrite = 50;
    let parts = 0;
    recorder.failWith = ({ kind, file }) => {
      if (kind === step) return 'EIO';
      return kind === 'write' && file.endsWith('.log') && ++parts === 2 ? 'ENOSPC' : undefined;
    };
    const error = await engine.put('a', 'v'.repeat(100)).catch((reason: unknown) => reason);
    assert.equal((error as StorageError).code, 'STRATA_IO');
    assert.equal(engine.status, 'read-only');
    assert.equal(told.filter((operation) => operation === 'log').length, 1);
    await assert.rejects(engine.put('b', '1'), { code: 'STRATA_READ_ONLY' });
    assert.deepEqual(keysOf(engine), []);
  }
});

test('flush(), close() and held writes settle when the memtable that they wait for is given up', async (t) => {
  const { engine, recorder, directory } = await open(t);
  const release = recorder.hold('write');
  let failures = 0;
  recorder.failWith = ({ kind, file }) =>
    kind === 'write' && file.endsWith('.log') && ++failures === 1 ? 'ENOSPC' : undefined;
  const first = engine.put('a', LARGE).catch((error: unknown) => error);
  const writes = Array.from({ length: 60 }, (_, i) =>
    engine.put(`b${i}`, 'v'.repeat(500)).catch((error: unknown) => error),
  );
  assert.ok(engine.stats().stalls.heldWrites > 0);
  const flushed = engine.flush();
  release();
  assert.equal(((await first) as StorageError).code, 'STRATA_IO');
  const outcomes = await Promise.all(writes);
  const kept = outcomes.flatMap((outcome, i) => (outcome === undefined ? [`b${i}`] : []));
  for (const outcome of outcomes)
    if (outcome !== undefined) assert.equal((outcome as StorageError).code, 'STRATA_IO');
  await flushed;
  assert.ok(kept.length > 0 && kept.length < 60, 'those that were held got in when there was room');
  assert.deepEqual(keysOf(engine), kept.toSorted());
  await engine.close();
  assert.equal(failures > 1, true);
  const again = await StorageEngine.open(directory, { threads: 0 });
  assert.deepEqual(keysOf(again), kept.toSorted());
  await again.close();
});

test('no descriptor to sync the directory with: the writer hears, the store stays open, the next sync makes up', async (t) => {
  const { engine, recorder, directory } = await open(t);
  recorder.failWith = ({ kind }) => (kind === 'syncDirectory' ? 'EMFILE' : undefined);
  await assert.rejects(engine.put('a', '1', { sync: true }), { code: 'STRATA_IO' });
  assert.equal(engine.status, 'open');
  recorder.calm();
  await engine.put('b', '1', { sync: true });
  assert.deepEqual(recorder.find(/^syncDirectory/).slice(-1), ['syncDirectory .']);
  assert.deepEqual(await keysAfterCrash(directory), ['a', 'b']);
});

test('no memory for a memtable refuses the writes that needed it, held ones too, and no others', async (t) => {
  const { engine, recorder } = await open(t);
  const Real = globalThis.SharedArrayBuffer;
  t.after(() => {
    globalThis.SharedArrayBuffer = Real;
  });
  await engine.put('a', '1');
  // What scans read can't be used again: there is no memory but new one.
  const scans = [engine.scan()];
  const scarce = class extends Real {
    constructor(length: number) {
      if (length >= 8 * KIB) throw new RangeError('Array buffer allocation failed');
      super(length);
    }
  };
  globalThis.SharedArrayBuffer = scarce as unknown as SharedArrayBufferConstructor;
  await assert.rejects(engine.put('b', LARGE), { code: 'STRATA_IO' });
  assert.equal(engine.status, 'open');
  assert.equal(recorder.find(/^create .*log/).length, recorder.find(/^unlink .*log/).length + 1);
  globalThis.SharedArrayBuffer = Real;
  await engine.put('c', '1');
  recorder.failWith = ({ kind, file }) => (kind === 'create' && isTable(file) ? 'ENOSPC' : undefined);
  const writes = Array.from({ length: 60 }, (_, i) => engine.put(`d${i}`, 'v'.repeat(500)));
  const outcomes = Promise.allSettled(writes);
  const held = engine.stats().stalls.heldWrites;
  assert.ok(held > 0);
  scans.push(engine.scan());
  globalThis.SharedArrayBuffer = scarce as unknown as SharedArrayBufferConstructor;
  recorder.calm();
  await engine.flush();
  const refused = (await outcomes).filter((outcome) => outcome.status === 'rejected');
  assert.equal(refused.length, held);
  for (const { reason } of refused) assert.equal((reason as StorageError).code, 'STRATA_IO');
  for (const scan of scans) assert.ok([...scan].length > 0);
  globalThis.SharedArrayBuffer = Real;
  await engine.put('e', '1');
  assert.equal(keysOf(engine).length, 60 - held + 3);
});
