/**
 * The manifest of a store with many tables: in pages, of which an edit writes few, and whole at every moment.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { refuseUnknownFiles, sortOutFiles } from '../../../src/main/files/deletion-queue.ts';
import {
  emptyState,
  loadManifest,
  type ManifestState,
  saveManifest,
} from '../../../src/main/manifest/manifest.ts';
import { PAGE_LIMITS, type PageLimits } from '../../../src/main/manifest/manifest-pages.ts';
import { VersionSet } from '../../../src/main/manifest/version-set.ts';
import { ioError } from '../../../src/shared/base/errors.ts';
import {
  type FileNumber,
  fileNumber,
  type Level,
  level,
  type SequenceNumber,
} from '../../../src/shared/base/ids.ts';
import type { LeveledTable, TableInfo, VersionEdit } from '../../../src/shared/base/version-edit.ts';
import { pageName, pagePath, parseFileName } from '../../../src/shared/files/file-names.ts';
import type { FileSystem, StorageFile } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { ControlBlock } from '../../../src/shared/threads/control-block.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { SMALL_PAGES } from '../../helpers/small-pages.ts';
import { tableMeta } from '../../helpers/table-meta.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';
const EXTRA = { lastSequence: 0 };

function keyAt(place: number): string {
  return `key-${String(place).padStart(8, '0')}`;
}

/** Table `number` of the place `place` among many in a level. */
function tableAt(number: number, place: number, rest: Partial<TableInfo> = {}): TableInfo {
  return tableMeta(number, `${keyAt(place)}a`, `${keyAt(place)}y`, rest);
}

function stateOf(counts: Readonly<Record<number, number>>): ManifestState {
  const levels: TableInfo[][] = Array.from({ length: 8 }, () => []);
  let number = 1;
  for (const [i, count] of Object.entries(counts))
    for (let place = 0; place < count; place++) levels[Number(i)]!.push(tableAt(number++, place));
  return { ...emptyState(STORE_ID), nextFileNumber: number, lastSequence: 1, levels };
}

/** Empty files stand for the tables: a manifest that names thousands of others is not believed. */
function addTableFiles(directory: string, count: number): void {
  for (let i = 1; i <= count; i++) writeFileSync(join(directory, `${String(i).padStart(6, '0')}.sst`), '');
}

interface Subject {
  readonly set: VersionSet;
  readonly directory: string;
}

/** Deletes pages at once, as the queue of a store does. */
function openSet(directory: string, limits: PageLimits, fs: FileSystem = nodeFileSystem): VersionSet {
  const set: VersionSet = VersionSet.create(
    fs,
    directory,
    new ControlBlock(),
    loadManifest(nodeFileSystem, directory) ?? emptyState(STORE_ID),
    {
      obsolete: (tables) => {
        for (const { number } of tables) set.noteDeleted(number);
      },
      obsoletePages: (numbers, wereNamed) => {
        for (const number of numbers) {
          const path = pagePath(directory, number);
          rmSync(wereNamed ? path : `${path}.new`, { force: true });
          set.noteDeleted(number);
        }
      },
    },
    [],
    limits,
  );
  return set;
}

async function subject(
  t: TestContext,
  state: ManifestState,
  limits: PageLimits = SMALL_PAGES,
  fs?: FileSystem,
): Promise<Subject> {
  const directory = temporaryDirectory(t);
  const count = state.levels.flat().length;
  if (count > 10_000) addTableFiles(directory, count);
  await saveManifest(nodeFileSystem, directory, state);
  return { set: openSet(directory, limits, fs), directory };
}

function pageFiles(directory: string): string[] {
  return readdirSync(directory).filter((name) => /\.tables(\.new)?$/.test(name));
}

/** The manifest on disk says what the set holds, in pages within the limits, and no page is there but those. */
function check({ set, directory }: Subject, limits: PageLimits): void {
  const saved = loadManifest(nodeFileSystem, directory)!;
  assert.deepEqual(saved.levels, set.current.levels);
  for (const { tables } of saved.pages)
    assert.ok(tables.length <= limits.maxPageTables, 'a page is too large');
  for (let i = 0; i < 8; i++) {
    const pages = saved.pages.filter((page) => page.level === i);
    if (pages.length === 0)
      assert.ok(saved.levels[i]!.length <= limits.maxInlineTables, 'a level lacks pages');
  }
  const names = saved.pages.map(({ number }) => pageName(number as FileNumber));
  assert.deepEqual(pageFiles(directory).sort(), names.sort());
}

/** Something between one table more and a compaction of many. */
function randomEdit(random: Random, set: VersionSet): VersionEdit {
  const from = random.between(0, 3);
  const removed: { level: Level; number: FileNumber }[] = [];
  const added: LeveledTable[] = [];
  const take = (where: number): TableInfo[] => {
    const tables = set.current.levels[where]!;
    const start = random.below(tables.length + 1);
    const taken = tables.slice(start, start + random.between(0, random.pick([1, 3, 12])));
    for (const { number } of taken) removed.push({ level: level(where), number });
    return taken;
  };
  const taken = take(from);
  if (random.chance(0.2) && from > 0) {
    // Some move as they are, where they fit.
    const below = set.current.levels[from + 1]!;
    const fits = (table: TableInfo): boolean => !below.some((one) => keysOf(one) === keysOf(table));
    for (const table of taken.filter(fits)) added.push({ level: level(from + 1), table });
  }
  const count = random.between(0, random.pick([1, 4, 12]));
  const where = random.between(0, 4);
  const free = new Set(Array.from({ length: 60 }, (_, place) => keysOf(tableAt(1, place))));
  for (const table of set.current.levels[where]!) free.delete(keysOf(table));
  for (const { level: to, table } of added) if (to === where) free.delete(keysOf(table));
  for (let i = 0; i < count; i++) {
    const table = tableAt(1, random.below(60), {
      number: set.allocateFileNumber(),
      largestSequence: random.between(1, 9) as SequenceNumber,
    });
    if (where > 0 && !free.delete(keysOf(table))) continue;
    added.push({ level: level(where), table });
  }
  return { added, removed };
}

function keysOf(table: TableInfo): string {
  return Buffer.from(table.smallestKey).toString();
}

test('any sequence of edits leaves a manifest that says what the version holds, whenever it is read', async (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (const limits of [
    SMALL_PAGES,
    { ...SMALL_PAGES, maxPageTables: 8, minPageTables: 4, maxInlineTables: 5 },
  ]) {
    const state = { ...stateOf({ 1: 20, 2: 3, 4: 40 }), lastSequence: 9 };
    let one = await subject(t, state, limits);
    for (let i = 0; i < 60; i++) {
      await one.set.apply(randomEdit(random, one.set), EXTRA);
      check(one, limits);
      if (random.chance(0.1)) one = { ...one, set: openSet(one.directory, limits) };
    }
    assert.ok(one.set.pages.length > 0, 'nothing was in pages');
    assert.deepEqual(Version.fromLevels(one.set.current.levels).levels, one.set.current.levels);
  }
});

/** Counts what is written, with the real disk below. */
function counting(written: { bytes: number; files: number }): FileSystem {
  const counted = (file: StorageFile): StorageFile => {
    written.files++;
    const write = file.writeAtAsync.bind(file);
    file.writeAtAsync = async (bytes, position) => {
      const count = await write(bytes, position);
      written.bytes += count;
      return count;
    };
    return file;
  };
  return {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    createExclusive: (path) => counted(nodeFileSystem.createExclusive(path)),
  };
}

test('an edit of a store of 20,000 tables writes the pages that it changes: far less than a megabyte', async (t) => {
  const written = { bytes: 0, files: 0 };
  const state = stateOf({ 5: 180, 6: 1820, 7: 18_000 });
  const one = await subject(t, state, PAGE_LIMITS, counting(written));
  const EDITS = 20;
  for (let i = 0; i < EDITS; i++) {
    const into = one.set.current.levels[7]!.slice(900 * i, 900 * i + 10);
    const from = one.set.current.levels[6]![90 * i]!;
    await one.set.apply(
      {
        removed: [
          { level: level(6), number: from.number },
          ...into.map(({ number }) => ({ level: level(7), number })),
        ],
        added: into.map((table) => ({
          level: level(7),
          table: { ...table, number: one.set.allocateFileNumber() },
        })),
      },
      EXTRA,
    );
  }
  t.diagnostic(
    `FIGURE bytes-per-edit=${Math.round(written.bytes / EDITS)} files-per-edit=${written.files / EDITS}`,
  );
  assert.ok(written.bytes / EDITS < 256 * 1024, `${written.bytes / EDITS} bytes an edit`);
  assert.ok(written.files / EDITS <= 6, `${written.files / EDITS} files an edit`);
  assert.deepEqual(loadManifest(nodeFileSystem, one.directory)!.levels, one.set.current.levels);
});

test('keys of 64 KiB take a kilobyte of the manifest, wherever they differ', async (t) => {
  for (const at of [0, 65_000]) {
    const written = { bytes: 0, files: 0 };
    const { set, directory } = await subject(t, emptyState(STORE_ID), PAGE_LIMITS, counting(written));
    const key = (place: number): Uint8Array => {
      const bytes = new Uint8Array(65_536).fill(0x61);
      bytes.set(Buffer.from(keyAt(place)), at);
      return bytes;
    };
    const added = Array.from({ length: 400 }, (_, i) => {
      const keys = { smallestKey: key(3 * i), largestKey: key(3 * i + 2) };
      return { level: level(7), table: { ...tableAt(1, i), ...keys, number: set.allocateFileNumber() } };
    });
    await set.apply({ added, removed: [] }, EXTRA);
    assert.ok(written.bytes < 400 * 2200 + 200_000, `${written.bytes} bytes for 400 tables`);
    assert.deepEqual(loadManifest(nodeFileSystem, directory)!.levels, set.current.levels);
    for (const [i, table] of set.current.levels[7]!.entries()) {
      assert.equal(set.current.tableContaining(level(7), key(3 * i)), table);
      assert.equal(set.current.tableContaining(level(7), key(3 * i + 2)), table);
    }
  }
});

/** The real disk until `last` steps are done: after that nothing works any more. */
function dyingAfter(last: number): { readonly fs: FileSystem; readonly steps: () => number } {
  let done = 0;
  const step = (path: string): void => {
    if (++done > last) throw ioError('do', path, new Error('dead'));
  };
  const fs: FileSystem = {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    createExclusive: (path) => {
      step(path);
      return nodeFileSystem.createExclusive(path);
    },
    renameAsync: async (from, to) => {
      step(from);
      await nodeFileSystem.renameAsync(from, to);
    },
    syncDirectoryAsync: async (path) => {
      step(path);
      await nodeFileSystem.syncDirectoryAsync(path);
    },
  };
  return { fs, steps: () => done };
}

test('whatever step of an edit is the last, the manifest is the old or the new one, whole', async (t) => {
  const edit: VersionEdit = {
    removed: [2, 9, 17].map((number) => ({ level: level(7), number: fileNumber(number) })),
    added: [],
  };
  const whole = dyingAfter(Number.POSITIVE_INFINITY);
  await (await subject(t, stateOf({ 7: 20 }), SMALL_PAGES, whole.fs)).set.apply(edit, EXTRA);
  assert.ok(whole.steps() >= 8, `only ${whole.steps()} steps`);
  for (let last = 0; last < whole.steps(); last++) {
    const one = await subject(t, stateOf({ 7: 20 }), SMALL_PAGES, dyingAfter(last).fs);
    const before = one.set.current.levels;
    const after = one.set.current.apply(edit).levels;
    await assert.rejects(one.set.apply(edit, EXTRA), { code: 'STRATA_IO' });
    const saved = loadManifest(nodeFileSystem, one.directory)!;
    const isNew = saved.levels[7]!.length === after[7]!.length;
    assert.deepEqual(saved.levels, isNew ? after : before, `step ${last}`);
    // The next owner finds nothing unknown, and leaves nothing over.
    refuseUnknownFiles(nodeFileSystem, one.directory, saved);
    sortOutFiles(nodeFileSystem, one.directory, saved, (error) => assert.fail(String(error)));
    const names = saved.pages.map(({ number }) => pageName(number as FileNumber));
    assert.deepEqual(pageFiles(one.directory).sort(), names.sort(), `step ${last}`);
    assert.deepEqual(loadManifest(nodeFileSystem, one.directory)!.levels, saved.levels);
  }
});

test('a disk that is full while pages are written has changed nothing: they are gone, and the edit works once there is room', async (t) => {
  let room = 1;
  const fs: FileSystem = {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    createExclusive: (path) => {
      if (path.endsWith('.tables.new') && room-- <= 0)
        throw ioError('create', path, Object.assign(new Error('full'), { code: 'ENOSPC' }));
      return nodeFileSystem.createExclusive(path);
    },
  };
  const one = await subject(t, stateOf({ 7: 20 }), SMALL_PAGES, fs);
  const edit = {
    removed: [2, 9, 17].map((number) => ({ level: level(7), number: fileNumber(number) })),
    added: [],
  };
  await assert.rejects(one.set.apply(edit, EXTRA), { code: 'STRATA_IO' });
  assert.ok(!one.set.isPoisoned);
  assert.ok(pageFiles(one.directory).every((name) => name.endsWith('.tables')));
  assert.equal(loadManifest(nodeFileSystem, one.directory)!.levels[7]!.length, 20);
  room = 100;
  await one.set.apply(edit, EXTRA);
  check(one, SMALL_PAGES);
});

test('a page that is missing, damaged or of another store is refused, and named', async (t) => {
  const { set, directory } = await subject(t, stateOf({ 7: 20 }), SMALL_PAGES);
  await set.apply({ removed: [{ level: level(7), number: fileNumber(1) }], added: [] }, EXTRA);
  const [name] = pageFiles(directory);
  const path = join(directory, name!);
  const bytes = readFileSync(path);
  const refused = (): void =>
    assert.throws(() => loadManifest(nodeFileSystem, directory), { code: 'STRATA_CORRUPTION', file: path });
  for (let i = 0; i < bytes.length; i++) {
    const damaged = Uint8Array.from(bytes);
    damaged[i]! ^= 1 << (i % 8);
    writeFileSync(path, damaged);
    refused();
  }
  writeFileSync(path, bytes.subarray(0, -1));
  refused();
  writeFileSync(path, Buffer.concat([bytes, Buffer.from('\n')]));
  refused();
  unlinkSync(path);
  refused();
  writeFileSync(path, bytes);
  assert.deepEqual(loadManifest(nodeFileSystem, directory)!.levels, set.current.levels);
});

test('a page that the manifest does not know is refused and stays; one without its name for good is deleted or named', async (t) => {
  const { set, directory } = await subject(t, stateOf({ 7: 20 }), SMALL_PAGES);
  await set.apply({ removed: [{ level: level(7), number: fileNumber(1) }], added: [] }, EXTRA);
  const state = loadManifest(nodeFileSystem, directory)!;
  const [name] = pageFiles(directory);
  writeFileSync(join(directory, '004711.tables'), readFileSync(join(directory, name!)));
  assert.throws(
    () => refuseUnknownFiles(nodeFileSystem, directory, state),
    /it does not know 004711\.tables/,
  );
  unlinkSync(join(directory, '004711.tables'));
  writeFileSync(join(directory, '004712.tables.new'), 'half written');
  refuseUnknownFiles(nodeFileSystem, directory, state);
  // As a crash right after the root was put in force leaves it.
  nodeFileSystem.rename(join(directory, name!), join(directory, `${name}.new`));
  assert.deepEqual(loadManifest(nodeFileSystem, directory)!.levels, state.levels);
  const { removed, highestNumber } = sortOutFiles(nodeFileSystem, directory, state, (error) =>
    assert.fail(String(error)),
  );
  assert.deepEqual(removed, ['004712.tables.new']);
  assert.equal(highestNumber, 4712);
  assert.ok(statSync(join(directory, name!)).isFile());
  assert.deepEqual(parseFileName(name!), { kind: 'page', number: Number(name!.slice(0, 6)) });
});

test('saveManifest() gives a state that has outgrown the root pages, and lists those that no longer fit as obsolete', async (t) => {
  const directory = temporaryDirectory(t);
  const state = stateOf({ 3: 300, 7: 100 });
  await saveManifest(nodeFileSystem, directory, state);
  const saved = loadManifest(nodeFileSystem, directory)!;
  assert.deepEqual(saved.levels, state.levels);
  assert.equal(saved.pages.length, 3);
  const levels = saved.levels.map((tables, i) => (i === 3 ? tables.slice(1) : tables));
  await saveManifest(nodeFileSystem, directory, { ...saved, levels });
  const again = loadManifest(nodeFileSystem, directory)!;
  assert.deepEqual(again.levels, levels);
  assert.deepEqual(
    again.obsoletePages.map(({ number }) => number),
    saved.pages.map(({ number }) => number),
  );
  sortOutFiles(nodeFileSystem, directory, again, (error) => assert.fail(String(error)));
  assert.equal(pageFiles(directory).length, 3);
});
