/**
 * Single accidents, each followed by an open: what a clean close has measured, and what one cut-short log must not do.
 */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CorruptionError, StorageEngine } from '../../src/main/index.ts';
import { START_RECORD_BYTES } from '../../src/shared/log/log-format.ts';
import { copyOpenStore, isSocket } from '../helpers/copy-store.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const OPTIONS = { threads: 0 } as const;

function newestLog(directory: string): string {
  const names = readdirSync(directory).filter((name) => name.endsWith('.log'));
  return join(directory, names.sort().at(-1)!);
}

function all(engine: StorageEngine): string[] {
  return [...engine.scan()].map(([key, value]) => `${key}=${value}`);
}

test('a log cut short behind its start record hides nothing, and the next write goes on top', async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const engine = await StorageEngine.open(directory, OPTIONS);
  await Promise.all(['a', 'b', 'c'].map((key) => engine.put(key, 'old')));
  await engine.flush();
  await engine.put('lost', 'x');
  for (let length = 0; length <= START_RECORD_BYTES + 3; length++) {
    const copy = `${directory}-${length}`;
    copyOpenStore(directory, copy);
    truncateSync(newestLog(copy), length);
    const reopened = await StorageEngine.open(copy, OPTIONS);
    assert.deepEqual(all(reopened), ['a=old', 'b=old', 'c=old'], `cut at ${length}`);
    await reopened.put('b', 'new');
    assert.deepEqual(all(reopened), ['a=old', 'b=new', 'c=old'], `after a write, cut at ${length}`);
    await reopened.flush();
    assert.deepEqual(all(reopened), ['a=old', 'b=new', 'c=old'], `after a flush, cut at ${length}`);
    await reopened.close();
  }
  await engine.close();
});

test('after a clean close, no byte of a log can change or go unnoticed', async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  for (const key of ['first', 'second']) {
    const engine = await StorageEngine.open(directory, OPTIONS);
    await engine.put(key, 'value');
    await engine.delete(key);
    await engine.close();
  }
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.log'))) {
    const bytes = readFileSync(join(directory, name));
    for (let offset = 0; offset < bytes.length; offset++) {
      const changed = Buffer.from(bytes);
      changed[offset]! ^= 0x20;
      for (const content of [changed, bytes.subarray(0, offset)]) {
        writeFileSync(join(directory, name), content);
        await assert.rejects(
          StorageEngine.open(directory, OPTIONS),
          (error: unknown) => error instanceof CorruptionError && error.file?.endsWith(name) === true,
          `${name} at ${offset}`,
        );
      }
    }
    writeFileSync(join(directory, name), bytes);
  }
  const engine = await StorageEngine.open(directory, OPTIONS);
  assert.deepEqual(all(engine), []);
  await engine.close();
});

test('opening, and opening again without a write, changes no file', async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const engine = await StorageEngine.open(directory, OPTIONS);
  for (let i = 0; i < 20; i++) await engine.put(`k${i}`, 'v');
  const crashed = `${directory}-crashed`;
  copyOpenStore(directory, crashed);
  await engine.close();
  const contentOf = (path: string): Map<string, string> =>
    new Map(
      readdirSync(path)
        .filter((name) => !name.startsWith('LOCK'))
        .sort()
        .map((name) => [name, readFileSync(join(path, name), 'latin1')]),
    );
  for (const path of [directory, crashed]) {
    const before = contentOf(path);
    const again = `${path}-again`;
    const opened = await StorageEngine.open(path, OPTIONS);
    assert.equal(all(opened).length, 20);
    assert.deepEqual(contentOf(path), before, 'while open');
    cpSync(path, again, { recursive: true, filter: (from) => !isSocket(from) });
    await opened.close();
    const reopened = await StorageEngine.open(again, OPTIONS);
    assert.equal(all(reopened).length, 20);
    await reopened.close();
  }
});
