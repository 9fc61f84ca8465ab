/**
 * Tables that are opened off the thread: whoever has one opened finds it open, however few may be; and a process without free
 * descriptors gives up others, one half after the other.
 */
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { ioError } from '../../../src/shared/base/errors.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';
import type { TableInfo } from '../../../src/shared/base/version-edit.ts';
import { Disk } from '../../../src/shared/disk/disk.ts';
import { WouldWait } from '../../../src/shared/disk/would-wait.ts';
import type { StorageFile } from '../../../src/shared/files/file-system.ts';
import { TableCache, type TableFiles } from '../../../src/shared/read/table-cache.ts';
import { BlockCache } from '../../../src/shared/table/block-cache.ts';
import { MemoryFile } from '../../helpers/memory-file.ts';
import { buildTable, put } from '../../helpers/tables.ts';

/** Tables 10 to 99. */
class Scene {
  readonly disk = new Disk(undefined, { poolSlots: 16 });
  readonly tables: TableCache;
  readonly open = new Set<string>();
  attempts = 0;
  /** Of the next attempts to open a file, so many find no descriptor. */
  refusals = 0;
  readonly #built = new Map<number, ReturnType<typeof buildTable>>();

  constructor(maxOpenFiles: number) {
    const openRead = (path: string): StorageFile => this.#open(path);
    const files: TableFiles = { openRead, openReadAsync: async (path) => openRead(path) };
    const options = { maxOpenFiles, mmap: false };
    this.tables = new TableCache(files, '/db', options, new BlockCache(0), this.disk);
  }

  meta(number: number): TableInfo {
    let built = this.#built.get(number);
    if (built === undefined) {
      built = buildTable([put(`key-${number}`, 5, 'value')], {}, fileNumber(number));
      this.#built.set(number, built);
    }
    return built.meta;
  }

  #open(path: string): StorageFile {
    this.attempts++;
    if (this.refusals > 0) {
      this.refusals--;
      throw ioError('open', path, Object.assign(new Error('no descriptor'), { code: 'EMFILE' }));
    }
    const name = basename(path);
    const file = new MemoryFile(path, this.#built.get(Number.parseInt(name, 10))!.bytes);
    const close = file.close.bind(file);
    file.close = () => {
      this.open.delete(name);
      close();
    };
    this.open.add(name);
    return file;
  }

  async openAll(from: number, to: number): Promise<void> {
    for (let number = from; number < to; number++) {
      const fetched = this.tables.fetch(this.meta(number));
      await fetched.ready;
      fetched.release();
    }
  }
}

test('tables that are opened in one step, more than may be, are all open for who had them opened', async () => {
  const scene = new Scene(1);
  const metas = [10, 11, 12, 13].map((number) => scene.meta(number));
  const fetched = metas.map((meta) => scene.tables.fetch(meta));
  // As soon as each is there: others are opened in the same step.
  const read = fetched.map(async ({ ready }, i) => {
    await ready;
    const reader = scene.disk.withoutWaiting(() => scene.tables.reader(metas[i]!));
    assert.ok(scene.open.has(basename(reader.path)), `${reader.path} is closed`);
    assert.equal(reader.number, metas[i]!.number);
  });
  await Promise.all(read);
  assert.equal(scene.open.size, metas.length);
  assert.equal(scene.attempts, metas.length);
  for (const { release } of fetched) release();
  assert.equal(scene.open.size, 1, 'no more than may be');
  scene.tables.close();
  assert.equal(scene.open.size, 0);
});

for (const how of ['off the thread', 'in the call'] as const)
  test(`without descriptors half of the tables is closed, again and again until it works: ${how}`, async () => {
    const open = async (scene: Scene, number: number): Promise<void> => {
      if (how === 'in the call') scene.tables.reader(scene.meta(number));
      else await scene.openAll(number, number + 1);
    };
    const scene = new Scene(100);
    await scene.openAll(10, 42);
    scene.attempts = 0;
    scene.refusals = 5;
    await open(scene, 50);
    assert.equal(scene.attempts, 6);
    assert.equal(scene.open.size, 2, 'of 32 tables one, and the new one');
    assert.ok(scene.open.has('000050.sst'));
    // And when there are none at all, it is told, once nothing is left to close.
    await scene.openAll(10, 42);
    scene.attempts = 0;
    scene.refusals = Number.POSITIVE_INFINITY;
    await assert.rejects(open(scene, 51), { code: 'STRATA_IO' });
    assert.ok(scene.attempts >= 6 && scene.attempts <= 8, `${scene.attempts} attempts`);
    assert.equal(scene.open.size, 0);
    scene.refusals = 0;
    await open(scene, 51);
    assert.equal(scene.open.size, 1);
  });

test('a table that is not open is not opened in the call of who may not wait', () => {
  const scene = new Scene(1);
  const meta = scene.meta(10);
  assert.throws(
    () => scene.disk.withoutWaiting(() => scene.tables.reader(meta)),
    (thrown: unknown) => thrown instanceof WouldWait,
  );
  assert.equal(scene.attempts, 0);
});
