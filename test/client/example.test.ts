/**
 * The examples of docs/threads.md run as they stand: what one thread of the server is given, the other has; what two threads
 * load is in the store.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { IngestReport } from '../../src/client/index.ts';
import { keyOf, keysOf, openTiny } from '../helpers/engines.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('the server of docs/threads.md serves from two threads', async (t) => {
  const folder = temporaryDirectory(t);
  writeFileSync(join(folder, 'server.mjs'), example(0));
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

test('the loader of docs/threads.md loads from two threads', async (t) => {
  const engine = await openTiny(t);
  const folder = temporaryDirectory(t);
  const script = join(folder, 'loader.mjs');
  writeFileSync(script, example(1));
  const load = async (part: number): Promise<IngestReport> => {
    const file = join(folder, `${part}.tsv`);
    const lines = Array.from({ length: 500 }, (_, i) => `${part}-${keyOf(i)}\t${i}\n`);
    writeFileSync(file, lines.reverse().join(''));
    const port = engine.share();
    const worker = new Worker(script, { workerData: { port, file }, transferList: [port] });
    const [report] = await once(worker, 'message');
    await once(worker, 'exit');
    return report as IngestReport;
  };
  const reports = await Promise.all([load(1), load(2)]);
  assert.deepEqual(
    reports.map(({ entries }) => entries),
    [500, 500],
  );
  assert.equal(engine.getSync(`2-${keyOf(77)}`)?.toString(), '77');
  assert.equal(keysOf(engine.scan()).length, 1000);
});

/** A block of code of the page, importing from the build. */
function example(index: number): string {
  const page = readFileSync(join(findRoot(), 'docs', 'threads.md'), 'utf8').replaceAll('\r\n', '\n');
  const code = [...page.matchAll(/```js\n([\s\S]*?)```/g)][index]?.[1];
  assert.ok(code !== undefined, `docs/threads.md has no example ${index}`);
  const urlOf = (layer: string): string =>
    JSON.stringify(new URL(`../../src/${layer}/index${extname(import.meta.url)}`, import.meta.url).href);
  return code.replace("'stratakv'", urlOf('main')).replace("'stratakv/worker'", urlOf('client'));
}

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
