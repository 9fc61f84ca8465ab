/**
 * The tour in README.md runs as it stands and prints what the page says it prints. Tables of options and statistics are complete;
 * links, files, constants and tests that the pages name exist.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, posix, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageEngine } from '../src/main/index.ts';
import { OPTION_NAMES } from '../src/main/store/open-request.ts';
import { ROOMS } from './helpers/rooms.ts';
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

test('the pages that ship name every option and every statistic', async (t) => {
  const root = findRoot();
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
  assert.ok(files.includes('docs'), 'the pages do not ship');
  const options = readFileSync(join(root, 'docs/options.md'), 'utf8');
  assert.ok(OPTION_NAMES.size > 15, 'the options are not where they were');
  for (const name of OPTION_NAMES)
    assert.ok(options.includes(`\n| \`${name}\` `), `docs/options.md has no option ${name}`);
  const rows = readFileSync(join(root, 'docs/stats.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '));
  const engine = await StorageEngine.open(temporaryDirectory(t));
  const statistics = Object.entries(JSON.parse(JSON.stringify(engine.stats())) as Record<string, unknown>);
  await engine.close();
  assert.ok(statistics.length > 20, `only ${statistics.length} statistics`);
  for (const [name, value] of statistics) {
    const its = rows.filter((row) => row.includes(`\`${name}\``) || row.includes(`\`${name}[]\``)).join('\n');
    assert.ok(its !== '', `docs/stats.md has no row for ${name}`);
    for (const field of namesIn(value))
      assert.ok(its.includes(`\`${field}\``), `docs/stats.md has no ${name}.${field}`);
  }
});

test('links between the pages lead somewhere', () => {
  const root = findRoot();
  for (const page of pages(root)) {
    const text = readFileSync(join(root, page), 'utf8').replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, '');
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [path, anchor] = target!.split('#');
      const file = path === '' ? page : posix.join(posix.dirname(page), path!);
      assert.ok(existsSync(join(root, file)), `${page} links to ${target}, which does not exist`);
      if (anchor !== undefined && file.endsWith('.md'))
        assert.ok(anchorsOf(join(root, file)).has(anchor), `${page} links to ${target}: no such heading`);
    }
  }
});

test('files that the pages name exist', () => {
  const root = findRoot();
  const known = ['src', 'test', 'bench', 'scripts', 'docs', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(
      (name) => `/${folder}/${name.split(sep).join('/')}`,
    ),
  );
  for (const page of pages(root)) {
    if (page === 'CHANGELOG.md') continue; // as it was then
    const named = [...readFileSync(join(root, page), 'utf8').matchAll(/`([\w./-]+\.(?:ts|mjs|wat))`/g)];
    for (const [, name] of named)
      assert.ok(
        known.some((path) => path.endsWith(`/${name}`)),
        `${page} names ${name}, which does not exist`,
      );
  }
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

test('docs/bounds.md gives constants their values', () => {
  const root = findRoot();
  const page = readFileSync(join(root, 'docs/bounds.md'), 'utf8');
  const source = sourceOf(join(root, 'src'));
  let compared = 0;
  for (const [, name, figure, unit = '', isDifference] of page.matchAll(
    /`([A-Z][A-Z0-9]*_[A-Z0-9_]+)` = ([\d.,]*\d)(?: (GiB|MiB|KiB|min|ms|s)\b)?( - |\^)?/g,
  )) {
    if (isDifference !== undefined) continue;
    const said = Number(figure!.replaceAll(',', '')) * (UNITS[unit] ?? 1);
    const values = [...source.matchAll(new RegExp(`\\bconst ${name}\\b[^=\\n]*= ([^;]*);`, 'g'))];
    const numbers = values.map(([, value]) => product(value!)).filter((value) => value !== undefined);
    // An expression over other constants is not judged.
    if (numbers.length === 0) continue;
    compared++;
    assert.ok(numbers.includes(said), `${name} is ${numbers.join(' or ')}, not ${figure} ${unit}`);
  }
  assert.ok(compared > 50, `only ${compared} constants have a value`);
});

test('CONTRIBUTING.md has the rooms in their order, top down', () => {
  const page = readFileSync(join(findRoot(), 'CONTRIBUTING.md'), 'utf8');
  const named = [...page.matchAll(/^ (src\/[\w/]+) {2,}\S/gm)].map(([, room]) => room);
  assert.deepEqual(named, ROOMS.toReversed());
});

const UNITS: Readonly<Record<string, number>> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  s: 1000,
  min: 60_000,
};

/** The value of an expression that only multiplies and adds whole numbers; undefined for all others. */
function product(expression: string): number | undefined {
  let sum = 0;
  for (const term of expression.split(' + ')) {
    const factors = term.split(' * ').map((factor) => Number(factor.replaceAll('_', '')));
    sum += factors.reduce((all, factor) => all * factor, 1);
  }
  return Number.isNaN(sum) ? undefined : sum;
}

/** Of the fields of one statistic; of the first one's, where it is a list. */
function namesIn(value: unknown): string[] {
  const one: unknown = Array.isArray(value) ? value[0] : value;
  return typeof one === 'object' && one !== null ? Object.keys(one) : [];
}

function pages(root: string): string[] {
  const inDocs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  return [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
    ...inDocs.map((name) => `docs/${name}`),
  ];
}

/** As GitHub makes them of headings. */
function anchorsOf(file: string): Set<string> {
  const headings = readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
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
