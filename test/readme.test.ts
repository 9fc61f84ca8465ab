/** The tour in README.md runs as it stands and prints what the page says it prints. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './helpers/temp-directory.ts';

test('the example of README.md prints what README.md says', (t) => {
  const readme = readFileSync(join(findRoot(), 'README.md'), 'utf8').replaceAll('\r\n', '\n');
  const [, code, output] = /```ts\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/.exec(readme) ?? [];
  assert.ok(code !== undefined && output !== undefined, 'README.md has no example with its output');
  const folder = temporaryDirectory(t);
  const index = new URL(`../src/main/index${extname(import.meta.url)}`, import.meta.url).href;
  // The example holds no types, so it runs as it is.
  writeFileSync(join(folder, 'tour.mjs'), code.replace("'stratakv'", JSON.stringify(index)));
  const run = spawnSync(process.execPath, ['tour.mjs'], { cwd: folder, encoding: 'utf8' });
  assert.equal(run.stderr, '');
  assert.equal(run.stdout, output);
});

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
