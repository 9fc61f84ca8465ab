/**
 * The programs in examples/ run as they stand: each to its end by itself, with what it shows coming out as it says, and nothing
 * left among the temporary files. The service also serves until it is told to stop, and has kept what it answered.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageEngine } from '../src/main/index.ts';
import { temporaryDirectory } from './helpers/temp-directory.ts';

const SHOWS: Readonly<Record<string, RegExp>> = {
  'queue.mjs': lines(
    'added 1001 jobs',
    'worker-lost claimed job 000000 and died',
    '16 workers did 1001 jobs, 1001 different ones',
    'job 000000 was claimed again: true',
    'worker-lost comes back and reports it as done: false',
  ),
  'sessions.mjs': lines(
    'alice has 2 sessions',
    'the browser saw 2 pages; a minute is left: true',
    "the phone's session has ended; a touch brings it back: false",
    'alice has 1 session',
    'after a restart it ends at the same moment: true',
    'alice has 0 sessions, bob 1',
  ),
  'time-series.mjs': lines(
    'loaded 34560 readings, \\d+ KiB on disk',
    'garden, last hour: 17.\\d degrees',
    'retention: one record of \\d\\d bytes; 8065 readings are left',
    '\\d+ KiB of \\d+ KiB came back: true',
    'cellar, ten days ago: undefined',
  ),
  'users.mjs': lines(
    '60 sign-ups with 20 addresses: 20 created, 40 refused',
    '20 users in pages of 8',
    'to an address that is taken: 409',
    'to a new address: 200',
    'found by the old one: 404',
    'deleted: 204',
  ),
};

describe('examples', { concurrency: true }, () => {
  test('every example is here, and is short', () => {
    const folder = join(findRoot(), 'examples');
    assert.deepEqual(readdirSync(folder).sort(), Object.keys(SHOWS).sort());
    for (const name of Object.keys(SHOWS)) {
      const length = readFileSync(join(folder, name), 'utf8').split('\n').length;
      assert.ok(length <= 150, `${name} has ${length} lines`);
    }
  });

  for (const [name, shows] of Object.entries(SHOWS)) {
    test(`${name} runs to its end and shows what it says`, async (t) => {
      const temporary = join(temporaryDirectory(t), 'tmp');
      mkdirSync(temporary);
      const run = spawn(process.execPath, [join('examples', name)], {
        cwd: findRoot(),
        env: { ...process.env, TMPDIR: temporary, TEMP: temporary, TMP: temporary },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      t.after(() => run.kill('SIGKILL'));
      const [stdout, stderr, [code]] = await Promise.all([
        text(run.stdout),
        text(run.stderr),
        once(run, 'exit') as Promise<[number | null]>,
      ]);
      assert.equal(stderr, '');
      assert.equal(code, 0, stdout);
      assert.match(stdout, shows);
      assert.deepEqual(readdirSync(temporary), []);
    });
  }

  test('users.mjs serves until SIGTERM, and the store is as it has answered', async (t) => {
    const directory = join(temporaryDirectory(t), 'db');
    const server = spawn(process.execPath, [join('examples', 'users.mjs'), directory], {
      cwd: findRoot(),
      env: { ...process.env, PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => server.kill('SIGKILL'));
    const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string];
    const url = line.replace('serving ', '');
    const post = (body: string): Promise<Response> => fetch(url, { method: 'POST', body });
    assert.equal((await post(JSON.stringify({ email: 'a@example.org', name: 'Alice' }))).status, 201);
    assert.equal((await post(JSON.stringify({ email: 'a@example.org', name: 'Bob' }))).status, 409);
    assert.equal((await post('no JSON')).status, 400);
    assert.equal((await post('{}')).status, 400);
    if (process.platform === 'win32') return;
    const exit = once(server, 'exit');
    server.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    const engine = await StorageEngine.open(directory, { readOnly: true });
    try {
      assert.equal(engine.getSync('email:a@example.org')?.toString(), '000000001');
    } finally {
      await engine.close();
    }
  });
});

function lines(...all: readonly string[]): RegExp {
  return new RegExp(`^${all.join('\\n')}\\n$`);
}

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
