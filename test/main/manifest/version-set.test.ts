/**
 * Edits are durable before they are visible, one at a time, and files go only when nobody can want them.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { emptyState, loadManifest } from '../../../src/main/manifest/manifest.ts';
import { VersionSet } from '../../../src/main/manifest/version-set.ts';
import { ioError } from '../../../src/shared/base/errors.ts';
import { fileNumber, level } from '../../../src/shared/base/ids.ts';
import type { TableInfo, VersionEdit } from '../../../src/shared/base/version-edit.ts';
import type { FileSystem } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { ControlBlock } from '../../../src/shared/threads/control-block.ts';
import { parseTable, showVersion } from '../../helpers/table-meta.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';

interface Subject {
  readonly set: VersionSet;
  readonly control: ControlBlock;
  readonly directory: string;
  readonly obsolete: number[];
}

function subject(
  t: TestContext,
  fs: FileSystem = nodeFileSystem,
  installed: () => void = () => undefined,
): Subject {
  const directory = temporaryDirectory(t);
  const control = new ControlBlock();
  const obsolete: number[] = [];
  const host = {
    installed,
    obsolete: (tables: TableInfo[]): void => {
      obsolete.push(...tables.map((table) => table.number));
    },
  };
  const set = VersionSet.create(
    fs,
    directory,
    control,
    { ...emptyState(STORE_ID), nextFileNumber: 100 },
    host,
  );
  return { set, control, directory, obsolete };
}

function add(where: number, ...tables: string[]): VersionEdit {
  return { added: tables.map((text) => ({ level: level(where), table: parseTable(text) })), removed: [] };
}

function remove(where: number, ...numbers: number[]): VersionEdit {
  return {
    added: [],
    removed: numbers.map((number) => ({ level: level(where), number: fileNumber(number) })),
  };
}

const extra = { lastSequence: 1 };

/** The real disk, with `fails` deciding which steps of a save do not work. */
function failing(fails: (step: 'stage' | 'rename' | 'sync') => Error | undefined): FileSystem {
  const check = (step: 'stage' | 'rename' | 'sync', path: string): void => {
    const error = fails(step);
    if (error !== undefined) throw ioError(step, path, error);
  };
  return {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    createExclusive: (path) => {
      check('stage', path);
      return nodeFileSystem.createExclusive(path);
    },
    renameAsync: async (from, to) => {
      check('rename', from);
      await nodeFileSystem.renameAsync(from, to);
    },
    syncDirectoryAsync: async (path) => {
      check('sync', path);
      await nodeFileSystem.syncDirectoryAsync(path);
    },
  };
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

test('VersionSet.apply() is durable, then current, then counted', async (t) => {
  const { set, control, directory } = subject(t);
  const counter = control.versionCounter;
  const applied = set.apply(add(0, '1:[a-c]'), extra);
  assert.equal(set.current.tableCount, 0);
  await applied;
  assert.equal(showVersion(set.current), 'L0: 1:[a-c]');
  assert.equal(control.versionCounter, counter + 1);
  const saved = loadManifest(nodeFileSystem, directory)!;
  assert.deepEqual(saved.levels, set.current.levels);
  assert.equal(saved.nextFileNumber, 100);
});

test('VersionSet.apply() applies edits in the order of the calls', async (t) => {
  const { set } = subject(t);
  await Promise.all([
    set.apply(add(0, '1:[a-c]'), extra),
    set.apply({ ...remove(0, 1), ...{ added: add(7, '2:[a-c]').added } }, extra),
    set.apply(remove(7, 2), extra),
  ]);
  assert.equal(set.current.tableCount, 0);
});

test('VersionSet.apply() keeps sequence and log numbers from falling and forgets logs below the log number', async (t) => {
  const { set, directory } = subject(t);
  const sealed = (number: number) => ({ number: fileNumber(number), sizeBytes: number * 10 });
  await set.apply(
    { ...add(0, '1:[a-c]@5-9'), logNumber: fileNumber(7) },
    { lastSequence: 3, sealedLogs: [sealed(8), sealed(7)] },
  );
  assert.equal(set.lastSequence, 9);
  assert.deepEqual(set.sealedLogs, [sealed(7), sealed(8)]);
  await set.apply({ ...add(0, '2:[a-c]'), logNumber: fileNumber(8) }, { lastSequence: 4 });
  assert.deepEqual(set.sealedLogs, [sealed(8)]);
  await set.apply(
    { ...add(0, '3:[a-c]'), logNumber: fileNumber(2) },
    { lastSequence: 4, sealedLogs: [sealed(8)] },
  );
  assert.equal(set.logNumber, 8);
  assert.equal(set.lastSequence, 9);
  assert.deepEqual(loadManifest(nodeFileSystem, directory)!.sealedLogs, [sealed(8)]);
});

test('VersionSet.pin() keeps the tables of an older version until the last release', async (t) => {
  const { set, obsolete } = subject(t);
  await set.apply(add(7, '1:[a-b]', '2:[c-d]', '3:[e-f]'), extra);
  const first = set.pin();
  const second = set.pin();
  await set.apply(remove(7, 1), extra);
  const third = set.pin();
  await set.apply(remove(7, 2), extra);
  assert.deepEqual(obsolete, []);
  assert.deepEqual([...set.liveFileNumbers()].sort(), [1, 2, 3]);
  first.release();
  first.release();
  assert.deepEqual(obsolete, []);
  second.release();
  assert.deepEqual(obsolete, [1]);
  third.release();
  assert.deepEqual(obsolete, [1, 2]);
  assert.deepEqual([...set.liveFileNumbers()], [3]);
});

test('whoever hears that a version was installed may pin the new version and release the one before: no table stays, and none goes too early', async (t) => {
  let hears = true;
  const { set, obsolete } = subject(t, nodeFileSystem, () => {
    if (!hears) return;
    const before = pin;
    pin = set.pin();
    before.release();
  });
  let pin = set.pin();
  await set.apply(add(7, '1:[a-b]', '2:[c-d]'), extra);
  await set.apply(remove(7, 1), extra);
  assert.deepEqual(obsolete, [1]);
  const kept = pin;
  hears = false;
  await set.apply(remove(7, 2), extra);
  assert.deepEqual(obsolete, [1]);
  kept.release();
  assert.deepEqual(obsolete, [1, 2]);
});

test('VersionSet.pin() of the current version holds nothing up when released', async (t) => {
  const { set, obsolete } = subject(t);
  await set.apply(add(7, '1:[a-b]'), extra);
  set.pin().release();
  assert.deepEqual(obsolete, []);
  await set.apply(remove(7, 1), extra);
  assert.deepEqual(obsolete, [1]);
});

test('VersionSet.apply() does not report a table that only moved', async (t) => {
  const { set, obsolete } = subject(t);
  await set.apply(add(1, '1:[a-b]'), extra);
  await set.apply({ ...remove(1, 1), added: add(2, '1:[a-b]').added }, extra);
  assert.deepEqual(obsolete, []);
  assert.equal(showVersion(set.current), 'L2: 1:[a-b]');
});

for (const step of ['stage', 'rename', 'sync'] as const) {
  test(`VersionSet.apply() is poisoned when the manifest fails to ${step}: nothing is installed or deleted`, async (t) => {
    let isBroken = false;
    const { set, control, obsolete } = subject(
      t,
      failing((at) => (isBroken && at === step ? systemError('EIO') : undefined)),
    );
    await set.apply(add(7, '1:[a-b]', '2:[c-d]'), extra);
    const pinned = set.pin();
    await set.apply(remove(7, 1), extra);
    const counter = control.versionCounter;
    isBroken = true;
    const failed = set.apply(remove(7, 2), extra);
    const queued = set.apply(add(7, '9:[x-y]'), extra);
    const error: unknown = await failed.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.equal((error as { code?: string }).code, 'STRATA_IO');
    isBroken = false;
    await assert.rejects(queued, (reason) => reason === error);
    await assert.rejects(set.apply(add(7, '9:[x-y]'), extra), (reason) => reason === error);
    assert.ok(set.isPoisoned);
    pinned.release();
    assert.deepEqual(obsolete, []);
    assert.equal(control.versionCounter, counter);
    assert.equal(showVersion(set.current), 'L7: 2:[c-d]');
  });
}

test('VersionSet.apply() survives a full disk: this edit and those queued reject, later ones work', async (t) => {
  let isFull = true;
  const { set, directory } = subject(
    t,
    failing((at) => (isFull && at === 'stage' ? systemError('ENOSPC') : undefined)),
  );
  const first = set.apply(add(0, '1:[a-b]'), extra);
  const queued = set.apply(add(0, '2:[a-b]'), extra);
  const outcomes = await Promise.allSettled([first, queued]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.ok(!set.isPoisoned);
  assert.deepEqual(readdirSync(directory), []);
  isFull = false;
  await set.apply(add(0, '1:[a-b]'), extra);
  assert.equal(showVersion(set.current), 'L0: 1:[a-b]');
});

test('VersionSet.apply() is poisoned by a disk that is full only after the rename', async (t) => {
  const { set } = subject(
    t,
    failing((at) => (at === 'sync' ? systemError('ENOSPC') : undefined)),
  );
  await assert.rejects(set.apply(add(0, '1:[a-b]'), extra), { code: 'STRATA_IO' });
  assert.ok(set.isPoisoned);
});

test('VersionSet.apply() stops at an edit that makes no sense, before it reaches the disk', async (t) => {
  const { set, directory } = subject(t);
  await assert.rejects(set.apply(remove(3, 5), extra), /removes a table that does not exist/);
  assert.equal(loadManifest(nodeFileSystem, join(directory)), undefined);
  assert.ok(set.isPoisoned);
});

test('VersionSet file numbers only rise', (t) => {
  const { set } = subject(t);
  assert.equal(set.allocateFileNumber(), 100);
  assert.equal(set.reserveFileNumbers(5), 101);
  set.bumpFileNumber(50);
  assert.equal(set.allocateFileNumber(), 106);
  set.bumpFileNumber(200);
  assert.equal(set.allocateFileNumber(), 201);
});

test('VersionSet gives back the newest number of which nothing came, and no other', (t) => {
  const { set } = subject(t);
  const [first, second] = [set.allocateFileNumber(), set.allocateFileNumber()];
  set.giveBackFileNumber(first);
  assert.equal(set.nextFileNumber, second + 1);
  set.giveBackFileNumber(second);
  assert.equal(set.allocateFileNumber(), second);
});

test('VersionSet refuses file numbers beyond the last, whatever the directory holds', (t) => {
  const { set } = subject(t);
  set.bumpFileNumber(2 ** 31 - 5);
  assert.throws(() => set.reserveFileNumbers(4), { code: 'STRATA_READ_ONLY' });
  assert.equal(set.reserveFileNumbers(3), 2 ** 31 - 4);
  for (const number of [2 ** 31 - 1, Number.MAX_SAFE_INTEGER]) {
    set.bumpFileNumber(number);
    assert.throws(() => set.allocateFileNumber(), { code: 'STRATA_READ_ONLY' });
  }
});
