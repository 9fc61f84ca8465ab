/**
 * A store that could not be made left its directory behind, with LOCK and manifest.json.tmp in it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { StorageEngine, StorageError } from '../../src/main/index.ts';
import { isSocket } from '../helpers/copy-store.ts';
import { contentsOf, failsWith } from '../helpers/engines.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

/** Far above what making a store takes. */
const MOST_OPERATIONS = 200;
const LIMIT_MS = 30_000;
const INDEX = new URL('../../src/main/index.js', import.meta.url).href;

for (const fault of ['EIO', 'ENOSPC', 'EMFILE'] as const)
  test(`${fault} at every step of making a store: what was made for it is taken back`, async (t) => {
    const home = temporaryDirectory(t);
    const failures = await failEverywhere(
      fault,
      join(home, 'a', 'b', 'db'),
      () => {
        assert.deepEqual(readdirSync(home), []);
      },
      () => rmSync(join(home, 'a'), { recursive: true }),
    );
    assert.ok(failures > 8, `only ${failures} steps could fail`);
  });

test('what was there before a failed open stays, whatever it is', async (t) => {
  const path = join(temporaryDirectory(t), 'db');
  mkdirSync(path);
  const empty = (): void => assert.deepEqual(readdirSync(path), []);
  await failEverywhere('EIO', path, empty, () => {
    rmSync(path, { recursive: true });
    mkdirSync(path);
  });
  const fill = (): void => {
    writeFileSync(join(path, 'notes.txt'), 'mine');
    writeFileSync(join(path, 'LOCK'), '');
  };
  fill();
  const before = contentsOf(path);
  const same = (): void => assert.deepEqual(contentsOf(path), before);
  await failEverywhere('EIO', path, same, () => {
    rmSync(path, { recursive: true });
    mkdirSync(path);
    fill();
  });
});

test('a store that fails to open keeps all its files', async (t) => {
  const path = join(temporaryDirectory(t), 'db');
  const engine = await StorageEngine.open(path, { threads: 0 });
  await engine.put('a', '1');
  await engine.flush();
  await engine.put('b', '1');
  await engine.close();
  const before = contentsOf(path);
  const same = (): void => assert.deepEqual(contentsOf(path), before);
  await failEverywhere('EIO', path, same, same);
});

test('whoever loses the race for a new store takes nothing from the winner', async (t) => {
  const path = join(temporaryDirectory(t), 'new', 'db');
  for (let round = 0; round < 5; round++) {
    const racers = await Promise.allSettled(Array.from({ length: 6 }, () => StorageEngine.open(path)));
    const winners = racers.flatMap((racer) => (racer.status === 'fulfilled' ? [racer.value] : []));
    assert.equal(winners.length, 1);
    assert.deepEqual(
      readdirSync(path)
        .filter((name) => !isSocket(name))
        .sort(),
      ['LOCK', 'manifest.json'],
    );
    await winners[0]!.put('a', '1');
    await winners[0]!.close();
    await StorageEngine.destroy(path);
  }
});

test('a directory that can not be made ends open() with an error: below /proc, a file, a link to nowhere', async (t) => {
  const home = temporaryDirectory(t);
  writeFileSync(join(home, 'file'), '');
  symlinkSync(join(home, 'nowhere'), join(home, 'link'));
  const impossible = [join(home, 'file', 'db'), join(home, 'link', 'a', 'db')];
  if (existsSync('/proc/self')) impossible.push('/proc/stratakv/a/db', '/proc/stratakv');
  // In a process of its own: node's mkdir with `recursive` never came back from there.
  const source = `import(process.argv[1]).then(async ({ StorageEngine }) => {
    for (const path of process.argv.slice(2))
      await StorageEngine.open(path).catch((error) => console.log(error.name, error.code));
  });`;
  const child = spawnSync(process.execPath, ['-e', source, INDEX, ...impossible], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
  });
  assert.deepEqual(
    child.stdout.trim().split('\n'),
    impossible.map(() => 'StorageError STRATA_IO'),
  );
  assert.deepEqual(readdirSync(home).sort(), ['file', 'link']);
});

test('a new store on a disk that is mounted read-only says so', (t) => {
  const home = temporaryDirectory(t);
  const source = `import(process.argv[1]).then(({ StorageEngine }) =>
    StorageEngine.open(process.argv[2]).catch((error) => console.log(error.code, error.cause?.code)));`;
  const mounted = `mount -t tmpfs -o ro,size=1m tmpfs '${home}' && exec "$@"`;
  if (spawnSync('unshare', ['-m', 'sh', '-c', mounted, 'sh', 'true']).status !== 0)
    return t.skip('cannot mount here');
  for (const path of [join(home, 'db'), join(home, 'a', 'b', 'db'), home]) {
    const child = spawnSync(
      'unshare',
      ['-m', 'sh', '-c', mounted, 'sh', process.execPath, '-e', source, INDEX, path],
      { encoding: 'utf8', timeout: LIMIT_MS },
    );
    assert.equal(child.stdout.trim(), 'STRATA_IO EROFS');
  }
});

test('a file where the directory should be is named, and an open that is refused makes nothing', async (t) => {
  const home = temporaryDirectory(t);
  const error = await failsWith(
    'STRATA_NO_DATABASE',
    StorageEngine.open(join(home, 'a', 'db'), { readOnly: true }),
  );
  assert.match(error.message, /does not exist/);
  assert.deepEqual(readdirSync(home), []);
});

/** Opens with operation 0, 1, 2, ... failing until nothing fails any more; returns how many opens failed. */
async function failEverywhere(
  fault: 'EIO' | 'ENOSPC' | 'EMFILE',
  path: string,
  check: () => void,
  afterSuccess: () => void,
): Promise<number> {
  let failures = 0;
  for (let at = 0; at < MOST_OPERATIONS; at++) {
    const control = new FaultControl();
    control.arm({ fault, at });
    const fileSystem = faultySpec({ control: control.buffer });
    try {
      const engine = await openEngine(path, { threads: 0 }, { fileSystem });
      const isOver = control.injectedCount === 0;
      await engine.close();
      afterSuccess();
      if (isOver) return failures;
    } catch (error) {
      assert.ok(error instanceof StorageError, String(error));
      failures++;
      check();
    }
  }
  return assert.fail('it never came to an end');
}
