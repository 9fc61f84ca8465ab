/**
 * Ingestions into stores that are written to: what they cost comes in steps that do not grow with the load, and writers are not
 * held for them.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CompactionEvent, StallEvent, StorageEngine } from '../../src/main/index.ts';
import type { ForeignPool } from '../../src/main/store/open-request.ts';
import { MemtableArena } from '../../src/shared/memtable/arena.ts';
import { keyOf, openTiny, textsOf, until, valueFor } from '../helpers/engines.ts';
import { recordsOf } from '../helpers/loads.ts';

/** Some hundred tables a load. */
const STEPS = { writeBufferSize: 8192, maxFileSize: 4096, threads: 1, compression: 'none' } as const;
const LOADED = 'loaded'.padEnd(40);
/** Four write buffers are the level base: L0 gives up to eight at once, and meets up to sixteen bases. */
const MOST_INPUTS = (8 + 16 * 4) * 2;

function mergesOf(engine: StorageEngine): CompactionEvent[] {
  const merges: CompactionEvent[] = [];
  engine.on('compaction', (compaction) => {
    if (!compaction.isMove) merges.push(compaction);
  });
  return merges;
}

function areBounded(merges: readonly CompactionEvent[]): void {
  const [most] = merges.toSorted((a, b) => b.inputTables - a.inputTables);
  const { inputTables, reason, level, outputLevel } = most!;
  const what = `${inputTables} tables in one compaction, L${level} -> L${outputLevel} (${reason})`;
  assert.ok(inputTables <= MOST_INPUTS, what);
}

/** Writes all over the keys of the load until told to stop; returns what was written last. */
function writer(engine: StorageEngine, count: number): { stop(): Promise<Map<string, string>> } {
  const written = new Map<string, string>();
  let isDone = false;
  const writing = (async () => {
    for (let i = 0; !isDone; i++) {
      const key = `${keyOf((i * 31) % count)}w`;
      written.set(key, valueFor(i));
      await engine.put(key, valueFor(i));
      if (i % 8 === 0) await nextTurn();
    }
  })();
  return {
    stop: async () => {
      isDone = true;
      await writing;
      return written;
    },
  };
}

async function isSettled(engine: StorageEngine): Promise<void> {
  await until(() => engine.stats().jobs.running + engine.stats().jobs.queued === 0);
  await engine.flush();
  await until(() => engine.stats().jobs.running + engine.stats().jobs.queued === 0);
}

async function holds(engine: StorageEngine, count: number, written: Map<string, string>): Promise<void> {
  const found = new Map(textsOf(engine.scan()));
  for (let i = 0; i < count; i++) assert.equal(found.get(keyOf(i)), LOADED);
  for (const [key, value] of written) assert.equal(found.get(key), value);
  assert.equal(found.size, count + written.size);
  await engine.verify();
}

test('an ingestion over what is in memory is not merged in one compaction of everything', async (t: TestContext) => {
  const engine = await openTiny(t, STEPS);
  const count = 16_011;
  const merges = mergesOf(engine);
  for (let i = 0; i < 50; i++) await engine.put(`${keyOf(i * 300)}old`, 'old');
  const { tables } = await engine.ingest(recordsOf(count, LOADED));
  assert.ok(tables > MOST_INPUTS, `${tables} tables are enough to tell`);
  assert.ok(engine.stats().levels[0]!.files < tables / 2, 'it did not go to level 0');
  const writing = writer(engine, count);
  await until(() => merges.filter(({ level }) => level === 0).length > 5);
  const written = await writing.stop();
  await isSettled(engine);
  areBounded(merges);
  for (let i = 0; i < 50; i++) written.set(`${keyOf(i * 300)}old`, 'old');
  await holds(engine, count, written);
});

test('an ingestion over another one, into a store that is being written to: steps of bounded size', async (t) => {
  const engine = await openTiny(t, STEPS);
  const count = 13_011;
  const merges = mergesOf(engine);
  await engine.ingest(recordsOf(count, 'loaded before'.padEnd(40)));
  const writing = writer(engine, count);
  await until(() => merges.length > 3);
  await engine.ingest(recordsOf(count, LOADED));
  await until(() => engine.stats().levels[0]!.files < 30);
  const written = await writing.stop();
  await isSettled(engine);
  areBounded(merges);
  await holds(engine, count, written);
});

test('an ingestion waits for no compaction, and holds writers once', { timeout: 60_000 }, async (t) => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  t.after(() => release());
  let begun = 0;
  const pool: ForeignPool = {
    run: async (job: { kind: string }, { filename }: { filename: string }) => {
      if (job.kind === 'compact') {
        begun++;
        await held;
      }
      const worker = (await import(filename)) as { default: (job: unknown) => unknown };
      return await worker.default(job);
    },
  };
  // Tables so large that the merge is worth two parts: two of the threads are left for the load.
  const engine = await openTiny(t, { pool, threads: 4, maxFileSize: 65536, writeBufferSize: 1024 * 1024 });
  for (const half of [0, 1]) {
    for (let i = half; i < 6000; i += 2) void engine.put(`a${keyOf(i)}`, valueFor(i));
    await engine.flush();
  }
  const stalls: StallEvent[] = [];
  engine.on('stall', (stall) => stalls.push(stall));
  let hasEnded = false;
  const compacting = engine.compact().then(() => {
    hasEnded = true;
  });
  await until(() => begun > 0);
  await engine.ingest([['m', 'loaded']]);
  assert.equal(hasEnded, false, 'the load has not waited for it');
  release();
  await compacting;
  assert.deepEqual(
    stalls.map(({ state, reason }) => [state, reason]),
    [
      ['closed', 'ingest'],
      ['open', undefined],
    ],
  );
  assert.equal(textsOf(engine.scan()).length, 6001);
  await engine.verify();
});

test('writers wait for the flush of a megabyte when a load enters, if more comes in during each before', async (t) => {
  const flushed: number[] = [];
  let size = 8 * 1024 * 1024;
  const writes: Promise<void>[] = [];
  const pool: ForeignPool = {
    run: async (job: { kind: string; memtable?: SharedArrayBuffer }, { filename }: { filename: string }) => {
      if (job.kind === 'flush') {
        // As of a writer that is nearly as fast as flushes are: four fifths of what came in during the one before.
        size *= 0.8;
        flushed.push(MemtableArena.attach(job.memtable!).rawBytes);
        writes.push(engine.put('hot', new Uint8Array(Math.ceil(size))));
      }
      const worker = (await import(filename)) as { default: (job: unknown) => unknown };
      return await worker.default(job);
    },
  };
  const engine = await openTiny(t, { pool, threads: 1, writeBufferSize: 16 * 1024 * 1024 });
  await engine.put('hot', new Uint8Array(size));
  let heldAfter = -1;
  let isSlowed = false;
  engine.on('stall', ({ state, reason }: StallEvent) => {
    isSlowed ||= state === 'slow' && reason === 'ingest';
    if (state === 'closed' && reason === 'ingest') heldAfter = flushed.length;
  });
  await engine.ingest([['m', 'loaded']]);
  await Promise.all(writes);
  t.diagnostic(`flushes of ${flushed.join(', ')} bytes, held after ${heldAfter}`);
  assert.ok(isSlowed, 'no more enters meanwhile than half of what is flushed');
  assert.equal(engine.stats().stalls.state, 'open');
  assert.ok(heldAfter >= 4, `writers were held after ${heldAfter} flushes`);
  assert.ok(flushed[heldAfter]! <= 1.1 * 1024 * 1024, `they waited for ${flushed[heldAfter]} bytes`);
});

test('an ingestion that enters does not fill level 0 with small tables while a compaction takes long', async (t) => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  t.after(() => release());
  let size = 0;
  const pool: ForeignPool = {
    run: async (job: { kind: string }, { filename }: { filename: string }) => {
      if (job.kind === 'compact') await held;
      // While the load enters, each flush finds four fifths of what the one before had.
      size *= 0.8;
      if (job.kind === 'flush' && size > 0) void engine.put('hot', new Uint8Array(Math.ceil(size)));
      const worker = (await import(filename)) as { default: (job: unknown) => unknown };
      return await worker.default(job);
    },
  };
  const engine = await openTiny(t, { pool, threads: 2, writeBufferSize: 64 * 1024 * 1024 });
  for (let i = 0; i < 11; i++) {
    await engine.put('hot', `${i}`);
    await engine.flush();
  }
  const reasons: string[] = [];
  engine.on('stall', ({ state, reason }: StallEvent) => {
    reasons.push(`${state} ${reason}`);
    // Or nobody would go on.
    if (state === 'closed' && reason === 'level0') release();
  });
  size = 16 * 1024 * 1024;
  await engine.put('hot', new Uint8Array(size));
  await engine.ingest([['m', 'loaded']]);
  const files = engine.stats().levels[0]!.files;
  t.diagnostic(`${files} tables in level 0; ${reasons.join(', ')}`);
  assert.ok(!reasons.includes('closed level0'), reasons.join(', '));
  assert.ok(files >= 16, 'less would not have filled it');
  size = 0;
  release();
});

test('an ingestion spends sequence numbers in proportion to its records', async (t) => {
  const engine = await openTiny(t);
  const spent = async (count: number): Promise<number> => {
    const before = engine.stats().sequence;
    await engine.ingest(recordsOf(count, 'loaded'));
    return engine.stats().sequence - before;
  };
  assert.ok((await spent(1)) < 5000);
  assert.ok((await spent(10_007)) < 5000 + 20 * 10_007);
});
