/**
 * What importing the package and starting the command line load: no more than they use. Loading all of a store takes twice as
 * long as starting Node, and a program that imports the package may open none.
 *
 * What a program loads is found by reading the files that the package ships, as Node does: whatever is imported at the top of a
 * file, all the way down. They name the modules that they were made of.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { OLDEST_NODE, refuseOldNode } from '../../src/shared/base/node-version.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const BUILT: string = resolve(import.meta.dirname, '..', '..', 'lib');
/** In front of what a module has become. */
const MODULE = /^\/\/ src\/(\S+\.js)$/gm;
/** `import ... from 'x'`, `export ... from 'x'` and `import 'x'` at the beginning of a line; not `import('x')`. */
const STATIC_IMPORT = /^(?:import\s*|(?:import|export)\s[^;'"()=]*?\sfrom\s*)['"]([^'"]+)['"];/gm;

interface Loaded {
  /** Modules of src. */
  readonly files: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
}

function loadedBy(entry: string): Loaded {
  const visited = new Set<string>();
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string): void => {
    if (visited.has(path)) return;
    visited.add(path);
    const code = readFileSync(path, 'utf8');
    for (const [, name = ''] of code.matchAll(MODULE)) files.add(name);
    for (const [, specifier = ''] of code.matchAll(STATIC_IMPORT))
      if (specifier.startsWith('.')) visit(resolve(dirname(path), specifier));
      else packages.add(specifier);
  };
  visit(join(BUILT, entry));
  return { files, packages };
}

test('importing the package loads what its first call needs, and no more', () => {
  const { files, packages } = loadedBy('index.js');
  assert.ok(files.size > 10 && files.size <= 27, `${files.size} files: ${[...files].join(' ')}`);
  const foreign = [...packages].filter((name) => !name.startsWith('node:'));
  assert.deepEqual(foreign, []);
  for (const name of ['node:net', 'node:crypto', 'node:worker_threads'])
    assert.ok(!packages.has(name), `${name} is loaded`);
  // Before a test of the application puts false clocks in the place of the real ones, and before anybody subscribes.
  for (const name of ['shared/base/timers.js', 'main/store/events.js', 'main/store/trace.js'])
    assert.ok(files.has(name), `${name} is not loaded`);
});

test('the command line loads the store, the prompt and the bar for those commands alone that need them', () => {
  const { files, packages } = loadedBy('cli.js');
  assert.ok(!files.has('main/index.js') && !files.has('main/engine.js'));
  for (const name of ['cli-progress', 'node:readline', 'comlink']) assert.ok(!packages.has(name), name);
});

test('a Node that is too old is refused in one line, and the limit is that of package.json', () => {
  const { engines } = JSON.parse(readFileSync(join(BUILT, '..', '..', 'package.json'), 'utf8')) as {
    readonly engines: { readonly node: string };
  };
  assert.equal(engines.node, `>=${OLDEST_NODE.join('.')}`);
  for (const version of ['18.20.4', '20.18.3', '0.12.0'])
    assert.throws(() => refuseOldNode(version), {
      code: 'STRATA_UNSUPPORTED',
      message: `stratakv needs Node 20.19 or newer; this is ${version}`,
    });
  for (const version of ['20.19.0', '22.3.0', '26.0.0']) refuseOldNode(version);
});

test('open(), destroy() and repair() go by what they are given when they are called', (t) => {
  const directory = temporaryDirectory(t);
  const source = `
    const { StorageEngine } = await import(process.argv[1]);
    const options = { errorIfExists: true };
    const opening = StorageEngine.open('store', options);
    process.chdir('/');
    options.errorIfExists = 'not a boolean any more';
    const engine = await opening;
    console.log(engine.path);
    await engine.close();
    process.chdir(process.argv[2]);
    const repairing = StorageEngine.repair('store');
    process.chdir('/');
    console.log((await repairing).path);
    process.chdir(process.argv[2]);
    const destroying = StorageEngine.destroy('store');
    process.chdir('/');
    await destroying;
  `;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', source, join(BUILT, 'index.js'), directory],
    { cwd: directory, encoding: 'utf8' },
  );
  const path = join(directory, 'store');
  assert.equal(stderr, '');
  assert.deepEqual(stdout.trim().split('\n'), [path, path]);
});

test('a package that was removed since it was imported opens no store, and says so', async (t) => {
  const folder = temporaryDirectory(t);
  let root = BUILT;
  while (!existsSync(join(root, 'node_modules'))) root = dirname(root);
  cpSync(BUILT, join(folder, 'lib'), { recursive: true });
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const entry = pathToFileURL(join(folder, 'lib', 'index.js')).href;
  const { StorageEngine, StorageError } = (await import(entry)) as typeof import('../../src/main/index.ts');
  rmSync(join(folder, 'lib'), { recursive: true });
  const path = join(folder, 'store');
  const isTold = (error: unknown): boolean =>
    error instanceof StorageError &&
    error.code === 'STRATA_IO' &&
    error.message.startsWith('cannot load the code of the store: ');
  await assert.rejects(StorageEngine.open(path), isTold);
  await assert.rejects(StorageEngine.repair(path), isTold);
  await assert.rejects(StorageEngine.destroy(path), isTold);
  assert.equal(existsSync(path), false);
});
