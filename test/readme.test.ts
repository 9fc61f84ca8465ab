/** The tour in README.md runs as it stands and prints what the page says it prints; its tables and those of bounds.md are complete. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageEngine } from '../src/main/index.ts';
import { OPTION_NAMES } from '../src/main/store/open-request.ts';
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

test('README.md names every statistic, and no option is missing', async (t) => {
  const readme = readFileSync(join(findRoot(), 'README.md'), 'utf8');
  const [, statistics = ''] = /\n## Stats\n([\s\S]*?)\n## /.exec(readme) ?? [];
  const engine = await StorageEngine.open(temporaryDirectory(t));
  const names = namesIn(JSON.parse(JSON.stringify(engine.stats())));
  await engine.close();
  assert.ok(names.size > 50, `only ${names.size} statistics`);
  for (const name of names) assert.ok(statistics.includes(`\`${name}`), `README.md does not tell of ${name}`);
  assert.ok(OPTION_NAMES.size > 15, 'the options are not where they were');
  for (const name of OPTION_NAMES)
    assert.ok(readme.includes(`\n| \`${name}\` `), `README.md has no option ${name}`);
});

test('docs/bounds.md names constants and tests that exist', () => {
  const root = findRoot();
  const page = readFileSync(join(root, 'docs/bounds.md'), 'utf8');
  const source = sourceOf(join(root, 'src'));
  const values = [...page.matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`/g)];
  assert.ok(values.length > 50, 'the page has lost its constants');
  for (const [, name] of values)
    assert.ok(
      name!.startsWith('STRATA') || new RegExp(`\\bconst ${name}\\b`).test(source),
      `no constant ${name}`,
    );
  const tests = [...page.matchAll(/`([\w/-]+\.test\.ts)`/g)];
  assert.ok(tests.length > 30, 'the page has lost its tests');
  for (const [, path] of tests) assert.ok(existsSync(join(root, 'test', path!)), `no test ${path}`);
});

/** Of all fields of what `stats()` gives, at any depth. */
function namesIn(value: unknown, names = new Set<string>()): Set<string> {
  if (Array.isArray(value)) namesIn(value[0], names);
  else if (typeof value === 'object' && value !== null)
    for (const [name, inner] of Object.entries(value)) namesIn(inner, names.add(name));
  return names;
}

function sourceOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  return files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
}

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
