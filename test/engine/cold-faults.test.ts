/**
 * Awaited reads when the disk gives errors or something else than was written: those calls hear of it, and no others.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, renameSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { StorageError } from '../../src/main/index.ts';
import { coldStore, isBlock, READERS } from '../helpers/cold-disk.ts';
import { failsWith, fill, keyOf, tableFiles, until, valueFor } from '../helpers/engines.ts';

const COUNT = 2000;
const PAST = { fillCache: false };

/** Changes one byte of a file. */
function damage(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, offset);
  writeSync(fd, Buffer.of(byte[0]! ^ 0x55), 0, 1, offset);
  closeSync(fd);
}

/** Why each of them failed; undefined for those that did not. */
async function failuresOf(reads: Promise<unknown>[]): Promise<(StorageError | undefined)[]> {
  const outcomes = await Promise.allSettled(reads);
  return outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : undefined));
}

for (const kind of READERS) {
  for (const step of ['open', 'read'] as const)
    test(`${kind}: an error of the disk, once, is told to who waits for that; the next call works: ${step}`, async (t) => {
      const { disk, engine, reader } = await coldStore(t, kind, COUNT);
      if (step === 'read') await reader.get(keyOf(300), PAST);
      let failures = 1;
      disk.failWith = (one) => (one.kind === step && failures-- > 0 ? 'EIO' : undefined);
      const reads = [reader.get(keyOf(5)), reader.has(keyOf(5)), reader.getMany([keyOf(5), keyOf(6)])];
      const other = reader.get(keyOf(1900));
      for (const error of await failuresOf(reads)) {
        assert.equal(error?.code, 'STRATA_IO');
        assert.equal((error?.cause as { code?: string } | undefined)?.code, 'EIO');
      }
      assert.equal((await other)?.toString(), valueFor(1900));
      assert.deepEqual(await failuresOf([reader.get(keyOf(5)), reader.getMany([keyOf(6)])]), [
        undefined,
        undefined,
      ]);
      assert.equal((await reader.get(keyOf(5)))?.toString(), valueFor(5));
      assert.equal(engine.status, 'open');
      assert.equal(reader.stats().diskReads.waiting, 0);
    });

  test(`${kind}: a table that is missing when it is to be opened is named; once it is back all is well`, async (t) => {
    const { engine, reader } = await coldStore(t, kind, COUNT);
    const file = join(engine.path, tableFiles(engine.path)[0]!);
    renameSync(file, `${file}.away`);
    const keys = Array.from({ length: COUNT / 10 }, (_, i) => keyOf(i * 10));
    const failures = await failuresOf(keys.map((key) => reader.get(key)));
    const failed = failures.filter((error) => error !== undefined);
    assert.ok(failed.length > 0 && failed.length < keys.length);
    for (const { code, file: named } of failed) assert.deepEqual([code, named], ['STRATA_CORRUPTION', file]);
    assert.equal((await failsWith('STRATA_CORRUPTION', reader.getMany(keys))).file, file);
    renameSync(`${file}.away`, file);
    assert.equal((await reader.getMany(keys)).indexOf(undefined), -1);
  });

  test(`${kind}: a table that becomes shorter while a read of it waits is named`, async (t) => {
    const { disk, engine, reader } = await coldStore(t, kind, COUNT);
    await reader.get(keyOf(0), PAST);
    const { file, offset } = disk.steps.filter(isBlock)[0]!;
    const release = disk.hold('read');
    const read = reader.get(keyOf(0));
    const many = reader.getMany([keyOf(0), 'none']);
    const other = reader.get(keyOf(1900));
    truncateSync(join(engine.path, file), offset + 10);
    release();
    for (const error of await failuresOf([read, many])) {
      assert.equal(error?.code, 'STRATA_CORRUPTION');
      assert.deepEqual([error?.file, error?.offset], [join(engine.path, file), offset]);
    }
    assert.equal((await other)?.toString(), valueFor(1900));
  });

  test(`${kind}: damage in a block is told with its place, to who asked for that block`, async (t) => {
    const { disk, engine, reader } = await coldStore(t, kind, COUNT);
    await reader.get(keyOf(700), PAST);
    const { file, offset, length } = disk.steps.filter(isBlock)[0]!;
    damage(join(engine.path, file), offset + (length >> 1));
    const beside = Array.from({ length: 100 }, (_, i) => keyOf(650 + i));
    const failures = await failuresOf(beside.map((key) => reader.get(key)));
    assert.ok(failures[50] !== undefined);
    const failed = failures.filter((error) => error !== undefined);
    assert.ok(failed.length < 20, `${failed.length} keys in a block`);
    for (const error of failed)
      assert.deepEqual(
        [error.code, error.file, error.offset],
        ['STRATA_CORRUPTION', join(engine.path, file), offset],
      );
    const many = await failsWith('STRATA_CORRUPTION', reader.getMany([keyOf(3), keyOf(700), keyOf(1900)]));
    assert.equal(many.offset, offset);
    assert.deepEqual((await reader.getMany([keyOf(3), keyOf(1900)])).map(String), [
      valueFor(3),
      valueFor(1900),
    ]);
    assert.equal(reader.stats().diskReads.waiting, 0);
  });

  test(`${kind}: without descriptors others are closed, and it works, with many at once, too`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT, {}, 400);
    disk.failWith = ({ kind: step }) => (step === 'open' && disk.openFiles >= 20 ? 'EMFILE' : undefined);
    // One after the other, and so many at once that each round of them runs into it.
    for (let i = 0; i < COUNT; i += 20)
      assert.equal((await reader.get(keyOf(i)))?.toString(), valueFor(i, 400));
    for (let i = 0; i < COUNT; i += 200) {
      const keys = Array.from({ length: 10 }, (_, j) => i + j * 18);
      const values = await Promise.all(keys.map((key) => reader.get(keyOf(key), PAST)));
      assert.deepEqual(
        values.map(String),
        keys.map((key) => valueFor(key, 400)),
      );
    }
    assert.equal(disk.mostOpenFiles, 20);
    assert.equal(disk.inCall, 0);
  });

  test(`${kind}: one key of a getMany that fails ends it, and what it read is given up`, async (t) => {
    const { disk, engine, reader } = await coldStore(t, kind, COUNT);
    const keys = Array.from({ length: COUNT / 10 }, (_, i) => keyOf(i * 10));
    await reader.getMany(keys, PAST);
    const release = disk.hold('read');
    const many = reader.getMany(keys, PAST);
    await until(() => disk.underWay > 5);
    await fill(engine, COUNT, 40, 1);
    await engine.compact();
    let failures = 1;
    disk.failWith = () => (failures-- > 0 ? 'EIO' : undefined);
    release();
    await failsWith('STRATA_IO', many);
    assert.equal(reader.stats().diskReads.waiting, 0, 'no other goes on');
    await until(() => engine.stats().files.pinnedVersions === 0);
    disk.calm();
    assert.deepEqual(
      (await reader.getMany(keys)).map(String),
      keys.map((_, i) => valueFor(i * 10, 40, 1)),
    );
  });
}
