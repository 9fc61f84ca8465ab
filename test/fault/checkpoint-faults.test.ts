/**
 * checkpoint() on a disk that fails, is full, loses its power, and in a process that is killed: at the target there is a whole
 * store or nothing, and the store itself goes on.
 *
 * A disk on which everything fails from one operation on shows what a kill before that operation leaves: nothing is tidied up.
 * STRATA_SWEEP=full: each operation, else every third.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openEngine, type StorageEngine } from '../../src/main/engine.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';
import { failsWith, fill, newPath, openOn, TINY, textsOf } from '../helpers/engines.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { FaultControl, type FaultPlan } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { Trace, type TraceRecord } from '../helpers/fault/trace.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const STEP: number = process.env['STRATA_SWEEP'] === 'full' ? 1 : 3;
/** Far above what a checkpoint does. */
const MOST_OPERATIONS = 1000;

async function contentOf(path: string): Promise<[string, string][]> {
  const copy = await openEngine(path, { ...TINY, threads: 0, createIfMissing: false }, {});
  await copy.verify();
  const texts = textsOf(copy.scan());
  await copy.close();
  return texts;
}

/** Leaves of the directory that are not the store's. */
function others(engine: StorageEngine): string[] {
  return readdirSync(dirname(engine.path)).filter((name) => name !== basename(engine.path));
}

const PLANS: readonly Pick<FaultPlan, 'fault' | 'lasting'>[] = [
  { fault: 'EIO' },
  { fault: 'ENOSPC' },
  { fault: 'EMFILE' },
  { fault: 'EIO', lasting: true },
];

for (const plan of PLANS) {
  for (const isLinked of [true, false]) {
    const how = `${plan.fault} ${plan.lasting ? 'from each operation on' : 'at each operation'}`;
    test(`${how}: a whole store or nothing, of ${isLinked ? 'links' : 'copies'}`, async (t) => {
      const control = new FaultControl();
      const engine = await openOn(t, faultySpec({ control: control.buffer }), { threads: 0 });
      await fill(engine, 150);
      await engine.compact();
      const texts = textsOf(engine.scan());
      const other = isLinked ? dirname(engine.path) : dirname(storeDirectory(t));
      let failed = 0;
      for (let at = 0; at < MOST_OPERATIONS; at += STEP) {
        const target = join(other, 'a', 'b', 'copy');
        control.arm({ ...plan, at });
        const outcome = await engine.checkpoint(target).then(
          () => 'made',
          (error: unknown) => error,
        );
        const injected = control.injectedCount;
        control.disarm();
        const where = `operation ${at} (${control.injectedPlaces().slice(0, 1)})`;
        if (outcome !== 'made') {
          failed++;
          assert.equal(systemErrorCode(outcome), plan.fault, where);
          if (plan.lasting !== true) assert.deepEqual(existsSync(join(other, 'a')), false, where);
        }
        // Of a kill: a copy that is not finished is told by its name, and a finished one is whole.
        if (existsSync(target)) assert.deepEqual(await contentOf(target), texts, where);
        else assert.notEqual(outcome, 'made', where);
        if (existsSync(dirname(target)))
          for (const name of readdirSync(dirname(target)))
            assert.match(name, /^copy($|\.partial-[0-9a-f]{8}$)/);
        rmSync(join(other, 'a'), { recursive: true, force: true });
        if (injected === 0) break;
      }
      assert.ok(failed > 3, `${failed} failed`);
      assert.equal(engine.status, 'open');
      await engine.put('goes', 'on');
      await engine.flush();
      assert.deepEqual(control.openHandles().table ?? 0, engine.stats().openTables);
      await engine.close();
      assert.deepEqual(control.openHandles(), {});
      assert.deepEqual((await contentOf(engine.path)).length, 151);
    });
  }
}

test('what it has said to be done survives a power loss: everything is synced, in order', async (t) => {
  for (const isLinked of [true, false]) {
    const trace = new Trace(8 * 1024 * 1024);
    const spec = faultySpec({ control: new FaultControl().buffer, trace: trace.buffer });
    const engine = await openOn(t, spec, { threads: 0 });
    await fill(engine, 150);
    await engine.flush();
    const other = isLinked ? dirname(engine.path) : dirname(dirname(storeDirectory(t)));
    mkdirSync(other, { recursive: true });
    const begin = trace.tick();
    const target = join(other, 'new', 'copy');
    await engine.checkpoint(target);
    const records = trace.records().filter(({ start }) => start > begin);
    checkOrder(records, target, isLinked);
    await engine.close();
  }
});

function checkOrder(records: readonly TraceRecord[], target: string, isLinked: boolean): void {
  const find = (wanted: (record: TraceRecord) => boolean): TraceRecord => {
    const found = records.find(wanted);
    assert.ok(found !== undefined);
    return found;
  };
  const named = find(({ kind, to }) => kind === 'rename' && to === target);
  const partial = named.path;
  const isIn = (path: string | undefined): boolean => path !== undefined && dirname(path) === partial;
  const syncOf = (path: string, after: TraceRecord): TraceRecord =>
    find((one) => one.kind === 'syncDirectory' && one.path === path && one.start > after.end);
  const manifest = find((one) => one.kind === 'rename' && isIn(one.to));
  const files = records.filter(
    ({ kind, path, to }) => (kind === 'create' && isIn(path)) || (kind === 'link' && isIn(to)),
  );
  const tables = files.filter(({ path }) => path.endsWith('.sst'));
  assert.ok(tables.length > 1);
  for (const { kind } of tables) assert.equal(kind, isLinked ? 'link' : 'create');
  for (const file of files.filter(({ kind }) => kind === 'create')) {
    const writes = records.filter(({ kind, handle }) => kind === 'write' && handle === file.handle);
    const sync = find((one) => one.kind === 'datasync' && one.handle === file.handle);
    assert.ok(
      writes.every(({ end }) => end < sync.start),
      `${file.path} is synced when it is written`,
    );
    assert.ok(sync.end < manifest.start);
  }
  const staged = find((one) => one.kind === 'create' && isIn(one.path) && one.path.endsWith('.tmp'));
  assert.ok(
    syncOf(partial, tables.at(-1)!).end < staged.start,
    'names of tables are there before the manifest',
  );
  assert.ok(syncOf(partial, manifest).end < named.start, 'the copy is whole before it has its name');
  const made = find(({ kind, path }) => kind === 'makeDirectory' && path === dirname(target));
  syncOf(dirname(target), named);
  syncOf(dirname(dirname(target)), made);
}

test('a damaged table is not copied', async (t) => {
  const control = new FaultControl();
  const engine = await openOn(t, faultySpec({ control: control.buffer }), { threads: 0 });
  await fill(engine, 150);
  await engine.flush();
  const target = storeDirectory(t);
  control.corruptRead(1, ['table']);
  await failsWith('STRATA_CORRUPTION', engine.checkpoint(target));
  assert.equal(existsSync(dirname(target)), false);
});

test('a disk that is full under the store: the flush fails, and so does the checkpoint', async (t) => {
  const control = new FaultControl();
  const engine = await openOn(t, faultySpec({ control: control.buffer }), { threads: 0 });
  await engine.put('in memory', 'only');
  control.arm({ fault: 'ENOSPC', at: 0, lasting: true, types: ['table'], kinds: ['create', 'write'] });
  const path = join(dirname(engine.path), 'copy');
  const error: unknown = await engine.checkpoint(path).catch((reason: unknown) => reason);
  assert.equal(systemErrorCode(error), 'ENOSPC');
  control.disarm();
  await engine.checkpoint(path);
  assert.deepEqual(await contentOf(path), [['in memory', 'only']]);
  assert.deepEqual(others(engine), ['copy']);
});

test('a process that is killed leaves a whole copy or one that is told by its name; the store is as it was', async (t) => {
  const random = seededRandom(runSeed(t));
  const child = fileURLToPath(new URL(`./checkpoint-child${extname(import.meta.url)}`, import.meta.url));
  const path = newPath(t);
  const engine = await openEngine(path, TINY, {});
  await fill(engine, 150);
  await engine.close();
  for (let round = 0; round < runBudget('STRATA_KILLS', 4); round++) {
    const target = join(dirname(path), `copies-${round}`, 'copy');
    const options = JSON.stringify({ path, target, killAfter: random.between(1, 30) });
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      spawn(process.execPath, [child, options], { stdio: 'inherit' }).on('exit', (...how) => resolve(how));
    });
    assert.ok(signal === 'SIGKILL' || code === 0, `${code}, ${signal}`);
    assert.deepEqual((await contentOf(path)).length, 150);
    if (existsSync(target)) assert.equal((await contentOf(target)).length, 150);
    else assert.equal(signal, 'SIGKILL');
    for (const name of existsSync(dirname(target)) ? readdirSync(dirname(target)) : [])
      assert.match(name, /^copy($|\.partial-[0-9a-f]{8}$)/);
  }
});
