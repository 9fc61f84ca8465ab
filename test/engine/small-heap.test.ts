/**
 * What a process has written with a small heap it can open with it: recovery makes nothing in the heap per record.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { extname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newPath } from '../helpers/engines.ts';

/** Two objects for each record were 100 MB. */
const COUNT = 400_000;
const HEAP_MIB = 24;
const CHILD = fileURLToPath(new URL(`../helpers/heap-child${extname(import.meta.url)}`, import.meta.url));

interface Report {
  readonly recovered: number;
  readonly tables: number;
}

function run(act: 'write' | 'open', path: string, end: 'kill' | 'close'): Report {
  const args = [`--max-old-space-size=${HEAP_MIB}`, CHILD, act, path, String(COUNT), end];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.deepEqual([status, signal], end === 'kill' ? [null, 'SIGKILL'] : [0, null], stderr.slice(-2000));
  return JSON.parse(stdout) as Report;
}

test('what was written with a small heap is opened with it, after kill -9 and after close', (t) => {
  const path = newPath(t);
  run('write', path, 'kill');
  assert.deepEqual(run('open', path, 'kill'), { recovered: COUNT, tables: 0 });
  assert.deepEqual(run('open', path, 'close'), { recovered: COUNT, tables: 0 });
  assert.deepEqual(run('open', path, 'close'), { recovered: 0, tables: 1 });
});
