/**
 * Node's permission model: a store works in a process that may do no more than it has to, and what is missing is named.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PermissionReport } from '../helpers/permission-child.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const CHILD = fileURLToPath(new URL('../helpers/permission-child.js', import.meta.url));
/** The package with what it depends on. */
const PACKAGE = join(dirname(CHILD), '..', '..', '..');
const LIMIT_MS = 120_000;

test('every operation works where only the package and the directory around the store may be touched', (t) => {
  const home = temporaryDirectory(t);
  const { notes, failure } = run(join(home, 'new', 'db'), [...within(home), '--allow-worker']);
  assert.equal(failure, undefined);
  assert.ok(notes.includes('read a=1,b=2,c=3'), notes.join('\n'));
  assert.equal(notes.at(-1), 'destroyed');
});

test('a directory that is there needs nothing around it', (t) => {
  const path = join(temporaryDirectory(t), 'db');
  mkdirSync(path);
  assert.equal(run(path, [...within(path), '--allow-worker']).failure, undefined);
});

for (const threads of [0, 1])
  test(`syncs are made, and in the order that durability rests on, threads: ${threads}`, (t) => {
    const home = temporaryDirectory(t);
    const path = join(home, 'new', 'db');
    const { notes, failure } = run(path, [...within(home), '--allow-worker'], { threads });
    assert.equal(failure, undefined);
    const [opening, , syncedPut, flush] = ['opened', 'put', 'put synced', 'flushed'].map((end, i, ends) =>
      notes.slice(i === 0 ? 0 : notes.indexOf(ends[i - 1]!) + 1, notes.indexOf(end)),
    );
    // The parents of a new store, then its manifest, which is what makes a store of the directory.
    const parents = new Set(opening!.slice(0, 2));
    assert.deepEqual(parents, new Set([`synced ${nameOf(home)}`, 'synced new']));
    assert.deepEqual(opening!.slice(2, 5), [
      'synced manifest.json.tmp',
      'renamed manifest.json.tmp',
      'synced the directory',
    ]);
    // The parents that were owed are paid by now, and a log is synced with its entry in the directory.
    assert.deepEqual(
      syncedPut!.filter((note) => /\.log$|the directory/.test(note)),
      ['synced 000001.log', 'synced the directory'],
    );
    // With a thread its syncs are made there, unseen from here.
    const table = threads === 0 ? ['synced 000002.sst.new', 'synced the directory'] : [];
    const end = [
      'synced manifest.json.tmp',
      'renamed manifest.json.tmp',
      'synced the directory',
      'renamed 000002.sst.new',
    ];
    assert.deepEqual(
      flush!.filter((note) => !note.endsWith('.log')),
      [...table, ...end],
    );
  });

test('without worker threads the work is done on the calling thread, unless threads are insisted on', (t) => {
  const home = temporaryDirectory(t);
  const path = join(home, 'db');
  assert.equal(run(path, within(home)).failure, undefined);
  const { failure } = run(path, within(home), { threads: 2 });
  assert.equal(failure?.code, 'STRATA_UNSUPPORTED');
  assert.match(failure.message, /permission model of node .*--allow-worker/);
  assert.ok(!existsSync(path));
});

test('what may not be read or written is named as the matter of the permission model, and nothing is left behind', (t) => {
  const home = temporaryDirectory(t);
  const path = join(home, 'db');
  const readable = [`--allow-fs-read=${home}/*`, `--allow-fs-read=${PACKAGE}/*`, '--allow-worker'];
  const unwritable = run(path, readable).failure;
  assert.equal(unwritable?.code, 'STRATA_IO');
  assert.match(unwritable.message, /permission model of node does not allow FileSystemWrite/);
  mkdirSync(path);
  const unreadable = run(path, [`--allow-fs-read=${PACKAGE}/*`, `--allow-fs-write=${path}/*`]).failure;
  assert.equal(unreadable?.code, 'STRATA_IO');
  assert.match(unreadable.message, /permission model of node does not allow FileSystemRead/);
});

/** May read the package, and read and write below `directory`. */
function within(directory: string): string[] {
  return [
    `--allow-fs-read=${PACKAGE}/*`,
    `--allow-fs-read=${directory}/*`,
    `--allow-fs-write=${directory}/*`,
  ];
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function run(path: string, permissions: readonly string[], options: object = {}): PermissionReport {
  const major = Number(process.versions.node.split('.')[0]);
  const flag = major >= 22 ? '--permission' : '--experimental-permission';
  const child = spawnSync(
    process.execPath,
    ['--no-warnings', flag, ...permissions, CHILD, path, JSON.stringify(options)],
    { encoding: 'utf8', timeout: LIMIT_MS },
  );
  assert.equal(child.status, 0, `${child.signal ?? ''} ${child.stderr.slice(-2000)}`);
  return JSON.parse(child.stdout) as PermissionReport;
}
