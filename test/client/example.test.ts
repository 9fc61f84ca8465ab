/** The server of docs/threads.md runs as it stands: what one thread is given, the other has. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('the server of docs/threads.md serves from two threads', async (t) => {
  const page = readFileSync(join(findRoot(), 'docs', 'threads.md'), 'utf8').replaceAll('\r\n', '\n');
  const [, code] = /```js\n([\s\S]*?)```/.exec(page) ?? [];
  assert.ok(code !== undefined, 'docs/threads.md has no example');
  const urlOf = (layer: string): string =>
    JSON.stringify(new URL(`../../src/${layer}/index${extname(import.meta.url)}`, import.meta.url).href);
  const folder = temporaryDirectory(t);
  writeFileSync(
    join(folder, 'server.mjs'),
    code.replace("'stratakv'", urlOf('main')).replace("'stratakv/worker'", urlOf('client')),
  );
  const server = spawn(process.execPath, ['server.mjs'], {
    cwd: folder,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => server.kill('SIGKILL'));
  const ports: string[] = [];
  for await (const line of createInterface({ input: server.stdout })) {
    ports.push(line.replace(/.* on /, ''));
    if (ports.length === 2) break;
  }
  const [first, second] = ports.map((port) => `http://127.0.0.1:${port}/`);
  assert.equal((await fetch(`${second}user%3A1`)).status, 404);
  for (let i = 0; i < 20; i++) {
    assert.equal((await fetch(`${first}user%3A1`, { method: 'PUT', body: `Alice ${i}` })).status, 204);
    assert.equal(await (await fetch(`${second}user%3A1`)).text(), `Alice ${i}`);
  }
  if (process.platform === 'win32') return;
  const exit = once(server, 'exit');
  server.kill('SIGINT');
  assert.deepEqual(await exit, [0, null]);
});

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
