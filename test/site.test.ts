/** The documentation site: which pages it has. That it builds, and that its links lead somewhere, is for `npm run docs`. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

interface Section {
  readonly title: string;
  readonly pages: readonly string[];
}

const root = process.cwd();

async function sections(): Promise<readonly Section[]> {
  const url = pathToFileURL(join(root, 'site', 'sections.mjs')).href;
  return ((await import(url)) as { SECTIONS: readonly Section[] }).SECTIONS;
}

test('every page of docs is in one section of the site, and every page of a section exists', async () => {
  const listed = (await sections()).flatMap(({ pages }) => pages);
  assert.equal(new Set(listed).size, listed.length);
  const docs = readdirSync(join(root, 'docs')).map((name) => `docs/${name}`);
  assert.deepEqual(
    docs.filter((page) => !listed.includes(page)),
    [],
  );
  // Made of the files in examples.
  for (const page of listed) assert.ok(page === 'examples.md' || existsSync(join(root, page)), page);
});

test('CI builds the site and follows its links, and every script that it runs exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const folder = join(root, '.github', 'workflows');
  const text = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  assert.match(text, /npm run docs/);
  for (const [, name] of text.matchAll(/npm run ([\w:]+)/g)) assert.ok(scripts[name!] !== undefined, name);
});
