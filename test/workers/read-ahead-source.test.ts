/**
 * Reading a file in pieces gives the same bytes as reading it at once, and no others.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CorruptionError } from '../../src/shared/base/errors.ts';
import type { StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { ReadAheadSource } from '../../src/workers/read-ahead-source.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const SIZE = 500_000;

test('any reads give the bytes of the file', (t) => {
  const random = seededRandom(runSeed(t));
  const path = join(temporaryDirectory(t), 'file');
  const content = random.bytes(SIZE);
  writeFileSync(path, content);
  const source = new ReadAheadSource(nodeFileSystem.openRead(path));
  let offset = 0;
  for (let i = 0; i < 2000; i++) {
    // Mostly onwards, as a merge does; sometimes anywhere, and sometimes more than a piece.
    if (random.chance(0.05) || offset >= SIZE) offset = random.below(SIZE);
    const length = Math.min(random.chance(0.02) ? 300_000 : random.below(5000), SIZE - offset);
    assert.deepEqual(
      Buffer.from(source.read(offset, length)),
      Buffer.from(content.subarray(offset, offset + length)),
    );
    offset += length;
  }
  source.close();
  source.close();
});

test('the memory of a large read does not stay for the small ones behind it', (t) => {
  const path = join(temporaryDirectory(t), 'file');
  writeFileSync(path, new Uint8Array(2_000_000));
  const source = new ReadAheadSource(nodeFileSystem.openRead(path));
  t.after(() => source.close());
  assert.equal(source.read(900_000, 1_000_000).length, 1_000_000);
  for (const offset of [0, 500_000, 1_000_000])
    assert.ok(source.read(offset, 100).buffer.byteLength <= 262_144);
});

test('what the file does not have is refused', (t) => {
  const path = join(temporaryDirectory(t), 'file');
  writeFileSync(path, new Uint8Array(1000));
  const source = new ReadAheadSource(nodeFileSystem.openRead(path));
  t.after(() => source.close());
  for (const [offset, length] of [
    [0, 1001],
    [999, 2],
    [-1, 1],
    [0, -1],
    [0, 2 ** 40],
  ] as const)
    assert.throws(() => source.read(offset, length), CorruptionError);
});

test('after a read that fails or comes up short nothing is believed of what was in memory', () => {
  let readAt: (into: Uint8Array) => number = (into) => into.fill(1).length;
  const file = {
    path: 'file',
    size: () => SIZE,
    readAt: (into: Uint8Array) => readAt(into),
    close: () => {},
  };
  const source = new ReadAheadSource(file as unknown as StorageFile);
  assert.equal(source.read(0, 10)[0], 1);
  readAt = (into) => {
    into.fill(2);
    readAt = () => 0;
    return 100;
  };
  assert.throws(() => source.read(SIZE - 1000, 500), /became shorter/);
  assert.throws(() => source.read(0, 10), /became shorter/);
  readAt = () => {
    throw new Error('the disk is gone');
  };
  assert.throws(() => source.read(0, 10), /the disk is gone/);
  readAt = (into) => into.fill(3).length;
  assert.equal(source.read(0, 10)[0], 3);
});
