/**
 * What an application does around the store: a working directory that was deleted threw a raw ENOENT, and a detached array was
 * stored under the empty key.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { StorageClient } from '../../src/client/index.ts';
import { type Bytes, WriteBatch } from '../../src/main/index.ts';
import { failsWith, newPath, openAt, openTiny } from '../helpers/engines.ts';
import { CLI } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const INDEX = new URL('../../src/main/index.js', import.meta.url).href;
const LIMIT_MS = 60_000;
const INVALID = 'STRATA_INVALID_ARGUMENT';

const canDeleteIt = { skip: process.platform === 'win32' && 'a working directory can not be deleted there' };

test(
  'where the working directory was deleted an absolute path works, and a relative one is refused with a code',
  canDeleteIt,
  (t) => {
    const path = join(temporaryDirectory(t), 'db');
    const source = `
    const { StorageEngine } = await import(${JSON.stringify(INDEX)});
    const codes = [];
    for (const act of ['open', 'destroy', 'repair'])
      await StorageEngine[act]('db').catch((error) => codes.push(error.name + ' ' + error.code));
    const engine = await StorageEngine.open(${JSON.stringify(path)}, { threads: 2, writeBufferSize: 4096 });
    engine.on('backgroundError', ({ error }) => codes.push(error.message));
    for (let i = 0; i < 300; i++) await engine.put('key-' + i, 'v'.repeat(40));
    await engine.flush();
    await engine.ingest([['c', '1']]);
    await engine.compact();
    await engine.verify();
    await engine.close();
    const { isSound } = await StorageEngine.repair(${JSON.stringify(path)});
    console.log(JSON.stringify({ codes, isSound }));`;
    // In a file, as Node itself wants to know the directory for what it is given with -e.
    const script = `${path}.mjs`;
    writeFileSync(script, source);
    const child = withoutDirectory(t.name, path, [process.execPath, script]);
    assert.deepEqual(JSON.parse(child), { codes: Array(3).fill('StorageError STRATA_IO'), isSound: true });
  },
);

test(
  'where the working directory is deleted under an open store, what it does in the background goes on',
  canDeleteIt,
  (t) => {
    const home = temporaryDirectory(t);
    const source = `
    const { mkdirSync, rmdirSync } = await import('node:fs');
    const { StorageEngine } = await import(${JSON.stringify(INDEX)});
    mkdirSync(${JSON.stringify(join(home, 'gone'))});
    process.chdir(${JSON.stringify(join(home, 'gone'))});
    const engine = await StorageEngine.open('../db', { threads: 1 });
    process.cwd();
    rmdirSync(${JSON.stringify(join(home, 'gone'))});
    await engine.put('a', '1');
    await engine.flush();
    await engine.close();
    console.log(engine.path);`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
      encoding: 'utf8',
      timeout: LIMIT_MS,
    });
    assert.equal(child.stdout.trim(), join(home, 'db'), child.stderr);
  },
);

test('the command line works where the working directory was deleted', canDeleteIt, (t) => {
  const path = join(temporaryDirectory(t), 'db');
  const command = (...args: string[]): string =>
    withoutDirectory(t.name, path, [process.execPath, CLI, ...args]);
  command('--db', path, 'put', 'a', '1');
  command('--db', path, 'compact');
  assert.equal(command('--db', path, 'get', 'a'), '1');
  assert.match(command('put', 'a', '1'), /STRATA_IO/);
  assert.ok(existsSync(join(path, 'manifest.json')));
});

test('the history of the prompt ends no command, wherever it is to be kept', (t) => {
  if (!existsSync('/proc/self')) return t.skip('there is no /proc here');
  const user = join(import.meta.dirname, '..', '..', 'src', 'main', 'cli', 'user-files.js');
  const source = `import(process.argv[1]).then(({ writeHistory }) => writeHistory(process.argv[2], ['a'])).then(console.log);`;
  const write = (path: string): string =>
    spawnSync(process.execPath, ['-e', source, user, path], { encoding: 'utf8', timeout: LIMIT_MS }).stdout;
  assert.match(write('/proc/stratakv/history'), /cannot create/);
  const path = join(temporaryDirectory(t), 'a', 'b', 'history');
  assert.equal(write(path).trim(), 'undefined');
  assert.equal(readFileSync(path, 'utf8'), 'a\n');
});

interface ResizableBuffer extends ArrayBuffer {
  resize(length: number): void;
}

/** Of 8 bytes. The types of the language version that we compile for do not know it yet. */
function resizableBuffer(): ResizableBuffer {
  return Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]) as ResizableBuffer;
}

/** Arrays that have lost their bytes, of this realm and of another. */
function lostArrays(): [string, Uint8Array][] {
  const detached = new Uint8Array([1, 2]);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const buffer = Buffer.from(new ArrayBuffer(4));
  structuredClone(buffer.buffer, { transfer: [buffer.buffer as ArrayBuffer] });
  const shrunk = (length?: number): Uint8Array => {
    const resizable = resizableBuffer();
    const bytes = new Uint8Array(resizable, 4, length);
    resizable.resize(2);
    return bytes;
  };
  const foreign = runInNewContext('new Uint8Array([1])') as Uint8Array<ArrayBuffer>;
  structuredClone(foreign.buffer, { transfer: [foreign.buffer] });
  return [
    ['a detached array', detached],
    ['a detached Buffer', buffer],
    ['an array outside of its shrunk buffer', shrunk(2)],
    ['an array that followed its buffer out of sight', shrunk()],
    ['a detached array of another realm', foreign],
  ];
}

test('an array that has lost its bytes is no empty key and no empty value, anywhere', async (t) => {
  const engine = await openTiny(t);
  const client = await StorageClient.attach(engine.share());
  t.after(() => client.close());
  for (const [name, lost] of lostArrays()) {
    for (const store of [engine, client]) {
      const attempts: (() => unknown)[] = [
        () => store.put(lost, 'v'),
        () => store.put('k', lost),
        () => store.delete(lost),
        () => store.get(lost),
        () => store.getSync(lost),
        () => store.has(lost),
        () => store.hasSync(lost),
        () => store.getMany(['a', lost]),
        () => store.compact({ start: lost }),
        () => store.compact({ end: lost }),
        () =>
          store.ingest([
            ['a', 'b'],
            [lost, 'v'],
          ] as [Bytes, Bytes][]),
        () => store.ingest([['k', lost]]),
        ...['gt', 'gte', 'lt', 'lte'].map((bound) => () => store.scan({ [bound]: lost })),
      ];
      for (const [i, attempt] of attempts.entries()) {
        const error = await failsWith(INVALID, attempt);
        assert.match(error.message, /transferred or resized away|must be/, `${name}, attempt ${i}`);
      }
    }
    const batch = new WriteBatch().put('kept', '');
    await failsWith(INVALID, () => batch.put(lost, 'v'));
    await failsWith(INVALID, () => batch.put('k', lost));
    await failsWith(INVALID, () => batch.delete(lost));
    assert.equal(batch.length, 1);
  }
  assert.deepEqual([...engine.scan()], []);
});

test('arrays that are empty are what they say: the empty key, the empty value', async (t) => {
  const engine = await openAt(t, newPath(t));
  const resizable = resizableBuffer();
  const empties = [
    new Uint8Array(0),
    Buffer.alloc(0),
    new Uint8Array(resizable, 8),
    new Uint8Array([1]).subarray(1),
  ];
  for (const empty of empties) {
    await engine.put(empty, 'v');
    await engine.put('k', empty);
    assert.equal(engine.getSync(empty)?.toString(), 'v');
    assert.equal(engine.getSync('k')?.length, 0);
    await engine.delete(empty);
  }
});

test('the error about a limit names every limit that is taken', async (t) => {
  const engine = await openTiny(t);
  await engine.write(new WriteBatch().put('a', '1').put('b', '1'));
  for (const limit of [-1, Number.POSITIVE_INFINITY, undefined])
    assert.equal([...engine.scan(limit === undefined ? {} : { limit })].length, 2);
  for (const limit of [-2, 1.5, Number.NaN]) {
    const error = await failsWith(INVALID, () => engine.scan({ limit }));
    assert.match(error.message, /an integer from 0, or -1 or Infinity for no limit, not the number/);
  }
});

/** What the command says, in a working directory that is deleted before it starts. */
function withoutDirectory(name: string, near: string, command: readonly string[]): string {
  const script = 'mkdir -p "$0" && cd "$0" && rmdir "$0" && exec "$@"';
  const gone = join(near, '..', `gone-${name.length}`);
  const child = spawnSync('sh', ['-c', script, gone, ...command], { encoding: 'utf8', timeout: LIMIT_MS });
  return `${child.stdout}${child.stderr}`.trim();
}
