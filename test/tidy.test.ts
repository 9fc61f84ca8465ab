/**
 * The house rules hold everywhere, and each of them fires on a sample that breaks it (docs: style of the project).
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkHouseRules, type SourceFile } from './helpers/house-rules.ts';
import { ROOMS } from './helpers/rooms.ts';
import { findFunctions, viewSource } from './helpers/source-text.ts';

const HEADER = '/** A sample. */\n';

test('the tree follows the house rules', () => {
  const files = readSources(findRoot());
  assert.ok(files.length > 20, 'the sources were not found');
  const complaints = checkHouseRules(files);
  assert.equal(complaints.length, 0, `\n${complaints.join('\n')}\n`);
});

const SAMPLES: readonly {
  readonly rule: string;
  readonly path: string;
  readonly text: string;
  readonly says: RegExp;
}[] = [
  { rule: 'header', path: 'src/main/a.ts', text: 'export const a = 1;\n', says: /header comment/ },
  {
    rule: 'file size',
    path: 'src/main/a.ts',
    text: HEADER + 'export const a = 1;\n'.repeat(400),
    says: /401 lines; split/,
  },
  {
    rule: 'function size',
    path: 'src/main/a.ts',
    text: `${HEADER}export function a(): void {\n${'  step();\n'.repeat(70)}}\n`,
    says: /a\.ts:2: 72 lines in "export function a/,
  },
  {
    rule: 'shared imports nothing above it',
    path: 'src/shared/a.ts',
    text: `${HEADER}import { b } from '../main/b.ts';\n`,
    says: /src\/shared may not import src\/main\/b\.ts; move/,
  },
  {
    rule: 'workers never import main',
    path: 'src/workers/a.ts',
    text: `${HEADER}export { b } from '../main/b.ts';\n`,
    says: /src\/workers may not import/,
  },
  {
    rule: 'main never imports workers',
    path: 'src/main/cli/a.ts',
    text: `${HEADER}const b = await import('../../workers/b.ts');\n`,
    says: /src\/main may not import src\/workers\/b\.ts; send a job/,
  },
  {
    rule: 'the worker gate loads workers no sooner than it needs them',
    path: 'src/main/jobs/worker-pool.ts',
    text: `${HEADER}import { b } from '../../workers/b.ts';\n`,
    says: /src\/main may not import src\/workers\/b\.ts; send a job/,
  },
  {
    rule: 'clients never import main',
    path: 'src/client/a.ts',
    text: `${HEADER}import { b } from '../main/b.ts';\n`,
    says: /src\/client may not import src\/main\/b\.ts; move/,
  },
  {
    rule: 'main names workers in one file',
    path: 'src/main/a.ts',
    text: `${HEADER}const url = new URL('../workers/worker.js', import.meta.url);\n`,
    says: /only src\/main\/jobs\/worker-pool\.ts names the workers/,
  },
  {
    rule: 'imports between rooms run downwards',
    path: 'src/main/write/a.ts',
    text: `${HEADER}import type { b } from '../compaction/b.ts';\n`,
    says: /src\/main\/write is below src\/main\/compaction and may not import/,
  },
  {
    rule: 'a new folder has its place among the rooms',
    path: 'src/main/attic/a.ts',
    text: `${HEADER}import { b } from '../store/b.ts';\n`,
    says: /src\/main\/attic is no room; give it a place/,
  },
  {
    rule: 'layers are closed',
    path: 'src/main/a.ts',
    text: `${HEADER}import { b } from '../../test/helpers/b.ts';\n`,
    says: /may not import test\/helpers\/b\.ts/,
  },
  ...[
    'node:fs',
    'fs',
    'node:fs/promises',
    'piscina',
    'lru-cache',
    'crc-32',
    'snappyjs',
    'lz4-napi',
    'commander',
  ].map((name) => ({
    rule: `one importer of ${name}`,
    path: 'src/shared/a.ts',
    text: `${HEADER}import type { b } from '${name}';\n`,
    says: /^src\/shared\/a\.ts:2: only src\/\S+ .*may import/,
  })),
  {
    rule: 'shared memory (allocation)',
    path: 'src/main/a.ts',
    text: `${HEADER}const b = new SharedArrayBuffer(8);\n`,
    says: /shared memory/,
  },
  {
    rule: 'shared memory (access)',
    path: 'src/shared/table/a.ts',
    text: `${HEADER}const b = Atomics.load(words, 0);\n`,
    says: /shared memory/,
  },
  { rule: 'console', path: 'src/main/a.ts', text: `${HEADER}console.log(1);\n`, says: /emit an event/ },
  ...[
    'a instanceof Error',
    'a instanceof TypeError',
    'a instanceof Uint8Array',
    'a instanceof BigUint64Array',
    'a instanceof ArrayBuffer',
    'a instanceof SharedArrayBuffer',
    'a instanceof Map',
    'a instanceof Promise',
    'a instanceof AbortSignal',
    'a instanceof EventEmitter',
    'a.constructor === Object',
    "a.constructor.name === 'MessagePort'",
  ].map((test) => ({
    rule: `values of another realm: ${test}`,
    path: 'src/main/a.ts',
    text: `${HEADER}export const isOne = ${test};\n`,
    says: /false for values of another realm/,
  })),
  ...[
    'setTimeout(a, 1)',
    'const later = setImmediate',
    'queueMicrotask(a)',
    'process.nextTick(a)',
    'globalThis.setTimeout(a, 1)',
    "import { setImmediate } from 'node:timers'",
    "import { setTimeout as delay } from 'node:timers/promises'",
    "import { performance } from 'node:perf_hooks'",
    'performance.now()',
    'Date.now()',
    'new Date()',
    'AbortSignal.timeout(1)',
    "import { now } from '../shared/base/timers.ts'; setTimeout(now, 1)",
  ].map((use) => ({
    rule: `time has one home: ${use}`,
    path: 'src/main/a.ts',
    text: `${HEADER}${use};\n`,
    says: /of the application's tests may be false/,
  })),
  { rule: 'debugger', path: 'src/main/a.ts', text: `${HEADER}debugger;\n`, says: /remove the debugger/ },
  {
    rule: 'only',
    path: 'test/a.test.ts',
    text: `${HEADER}test.only('a', b);\n`,
    says: /--test-name-pattern/,
  },
  { rule: 'skip (function)', path: 'test/a.test.ts', text: `${HEADER}test.skip('a', b);\n`, says: /say why/ },
  { rule: 'skip (context)', path: 'test/a.test.ts', text: `${HEADER}t.skip();\n`, says: /say why/ },
  {
    rule: 'skip (option)',
    path: 'test/a.test.ts',
    text: `${HEADER}it('a', { skip: true }, b);\n`,
    says: /say why/,
  },
  { rule: 'marks', path: 'bench/a.ts', text: `${HEADER}// FIXME: later\n`, says: /do it now/ },
  { rule: 'muted types', path: 'src/main/a.ts', text: `${HEADER}// @ts-ignore\n`, says: /fix the type/ },
  { rule: 'any (cast)', path: 'src/main/a.ts', text: `${HEADER}const a = b as any;\n`, says: /use unknown/ },
  { rule: 'any (annotation)', path: 'src/main/a.ts', text: `${HEADER}let a: any;\n`, says: /use unknown/ },
  {
    rule: 'empty catch',
    path: 'src/main/a.ts',
    text: `${HEADER}try { a(); } catch (e) {\n}\n`,
    says: /empty catch/,
  },
  {
    rule: 'empty catch (promise)',
    path: 'src/main/a.ts',
    text: `${HEADER}a().catch(() => {});\n`,
    says: /empty catch/,
  },
  {
    rule: 'width of comments',
    path: 'src/main/a.ts',
    text: `${HEADER}const a = 1; // ${'word '.repeat(24)}\n`,
    says: /a\.ts:2: a comment of 136 characters; wrap it/,
  },
  {
    rule: 'width of comments (block)',
    path: 'test/a.test.ts',
    text: `/**\n * A test.\n *\n * ${'word '.repeat(26)}\n */\n`,
    says: /a\.test\.ts:4: a comment of 133 characters/,
  },
  ...[
    '/** So many reads, then a turn. */',
    '// So long a group waits.',
    '/**\n * So many keys in a row, and the filter is not asked.\n */',
    '/** A log of before, to be synced. */',
    '/**\n * The names of\n * before the epoch.\n */',
    '// the bulk load ends here',
  ].map((comment) => ({
    rule: `plain comments: ${JSON.stringify(comment)}`,
    path: 'src/main/a.ts',
    text: `${HEADER}const a = 1;\n${comment}\nconst b = 2;\n`,
    says: /a\.ts:3: "(?:So \w+|of before|bulk load)": (?:say|it is called)/,
  })),
  {
    rule: 'commented-out import',
    path: 'src/main/a.ts',
    text: `${HEADER}// import { b } from './b.ts';\n`,
    says: /git remembers/,
  },
];

for (const { rule, path, text, says } of SAMPLES) {
  test(`the rule fires: ${rule}`, () => {
    const complaints = checkHouseRules([{ path, text }]);
    assert.ok(
      complaints.some((complaint) => says.test(complaint)),
      `expected ${says} among:\n${complaints.join('\n')}`,
    );
  });
}

test('the rule fires: comlink and koffi have one importer at most', () => {
  const importer = (path: string): SourceFile => ({ path, text: `${HEADER}import koffi from 'koffi';\n` });
  assert.deepEqual(checkHouseRules([importer('src/shared/a.ts')]), []);
  const complaints = checkHouseRules([importer('src/shared/a.ts'), importer('src/main/b.ts')]);
  assert.deepEqual(complaints, ['src/main/b.ts:1: src/shared/a.ts already imports koffi; go through it']);
});

test('the rule fires: no circle of files', () => {
  const importer = (path: string, target: string): SourceFile => ({
    path,
    text: `${HEADER}import type { a } from '${target}';\n`,
  });
  const files = [
    importer('src/main/a.ts', './b.ts'),
    importer('src/main/b.ts', './store/c.ts'),
    importer('src/main/store/c.ts', './d.ts'),
  ];
  assert.deepEqual(checkHouseRules(files), []);
  assert.deepEqual(checkHouseRules([...files, importer('src/main/d.ts', './a.ts')]), []);
  const complaints = checkHouseRules([...files.slice(0, 1), importer('src/main/b.ts', './a.ts')]);
  assert.deepEqual(complaints, [
    'src/main/a.ts:1: a circle of imports: src/main/a.ts, src/main/b.ts; move what they share down, or pass it in',
  ]);
});

test('every folder of src is a room, and every room a folder', () => {
  const folders = new Set(
    readSources(findRoot())
      .filter(({ path }) => path.startsWith('src/'))
      .map(({ path }) => dirname(path)),
  );
  assert.deepEqual([...folders].sort(), [...ROOMS].sort());
});

const INNOCENT: readonly { readonly what: string; readonly path: string; readonly text: string }[] = [
  {
    what: 'banned words in strings and comments',
    path: 'src/main/a.ts',
    text: `${HEADER}// console.log is not for libraries\nconst a = 'debugger'; const b = \`\${c} as any\`;\n`,
  },
  {
    what: 'habits of prose in code and strings, and wide code',
    path: 'src/main/a.ts',
    text: `${HEADER}// It goes on so long as it can.\nconst a = 'So many of before'; for (const b of before) c(b);\nconst d = '${'x'.repeat(130)}';\n`,
  },
  {
    what: 'classes of our own, and timers from their home',
    path: 'src/main/a.ts',
    text: `${HEADER}import { setTimeout } from '../shared/base/timers.ts';\nif (a instanceof StorageError || b instanceof CorruptionError) setTimeout(c, 1);\n`,
  },
  { what: 'a reasoned skip', path: 'test/a.test.ts', text: `${HEADER}t.skip('needs koffi');\n` },
  {
    what: 'a catch that explains itself',
    path: 'src/main/a.ts',
    text: `${HEADER}try { a(); } catch {\n  // gone already, which is what we want\n}\n`,
  },
  {
    what: 'a long file with a reason',
    path: 'src/main/a.ts',
    text: `/**\n * A table.\n * Long: one table.\n */\n${'\na;'.repeat(500)}`,
  },
  {
    what: 'a script behind #!',
    path: 'src/main/cli/cli.ts',
    text: `#!/usr/bin/env node\n${HEADER}console.log(1);\n`,
  },
  {
    what: 'the worker gate',
    path: 'src/main/jobs/worker-pool.ts',
    text: `${HEADER}const u = new URL('../workers/w.js', b);\nconst c = () => import('../../workers/w.ts');\n`,
  },
  {
    what: 'a describe block',
    path: 'test/a.test.ts',
    text: `${HEADER}describe('a', () => {\n${'\n'.repeat(99)}});\n`,
  },
];

for (const { what, path, text } of INNOCENT) {
  test(`no rule fires on ${what}`, () => assert.deepEqual(checkHouseRules([{ path, text }]), []));
}

test('viewSource() blanks comments, strings, templates and regular expressions, and keeps every offset', () => {
  const source = [
    `const a = /[/"]{/g; // "x {`,
    `const b = 'it\\'s {' + "{";`,
    `/* { */ c = d / e / f;`,
    `const t = \`{\${g('}', \`}\`)}{\`;`,
  ].join('\n');
  const { code, noComments } = viewSource(source);
  assert.deepEqual(code.split('\n'), [
    'const a = /     /g;        ',
    `const b = '       ' + " ";`,
    '        c = d / e / f;',
    "const t = `  {g(' ', ` `)} `;",
  ]);
  assert.equal(noComments, source.replace('// "x {', '       ').replace('/* { */', '       '));
});

test('findFunctions() tells functions from control flow, types and literals', () => {
  const { code } = viewSource(`
function plain(a: { b: number }): Promise<{ c: number }> { for (let i = 0; i < 3; i++) { if (i) { x(); } else { y(); } } }
class A { method(): void { switch (a) { case 1: { b(); } } } get b(): number { return 1; } }
const arrow = async (x: number): Promise<void> => { while (x) { z({ a: 1 }); } };
interface B { c(): void; }
const o = { short() { return { a: 1 }; }, d: 1 };
`);
  const heads = findFunctions(code).map(({ head }) => head);
  assert.equal(heads.length, 5);
  for (const name of ['plain', 'method', 'get b', 'arrow', 'short']) {
    assert.equal(heads.filter((head) => head.includes(name)).length, 1, name);
  }
});

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

function readSources(root: string): SourceFile[] {
  return ['src', 'test', 'bench', 'scripts', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(?:ts|mjs)$/.test(name))
      .map((name) => `${folder}/${name.split(sep).join('/')}`)
      .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8').replaceAll('\r\n', '\n') })),
  );
}
