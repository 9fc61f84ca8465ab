/**
 * The package as it is published (dist/lib): its entries, its two forms in one process, and what becomes of it in a bundle. Test
 * runners, package managers and other runtimes are tried by `npm run compat`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { isElsewhere } from '../src/main/jobs/own-place.ts';
import { refuseRuntime } from '../src/main/locking/runtimes.ts';
import { PACKAGE_VERSION } from '../src/shared/base/package-version.ts';
import { temporaryDirectory } from './helpers/temp-directory.ts';

type Package = typeof import('../src/main/index.ts');
type Backup = typeof import('../src/main/backup.ts');

const ROOT = findRoot();
const LIB = join(ROOT, 'dist', 'lib');
/** Named as `types.cjs`, which has nothing to run. */
const TYPES = /^types(?:-\w+)?\.d\.cts$/;
const require = createRequire(import.meta.url);
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;

test('package.json says of the entries what the table says, and every file is there', async () => {
  const table = pathToFileURL(join(ROOT, 'scripts', 'entries.mjs')).href;
  const { packageExports, typesVersions } = (await import(table)) as {
    packageExports(): Record<string, unknown>;
    typesVersions(): unknown;
  };
  assert.deepEqual(manifest['exports'], packageExports());
  assert.deepEqual(manifest['typesVersions'], typesVersions());
  assert.equal(manifest['version'], PACKAGE_VERSION);
  const named = JSON.stringify([manifest['exports'], manifest['main'], manifest['types'], manifest['bin']]);
  const files = named.match(/dist\/lib\/[^"]+/g) ?? [];
  assert.ok(files.length > 20);
  for (const file of files) assert.ok(existsSync(join(ROOT, file)), file);
});

test('the package names its source, and takes no file along that nothing in it needs', () => {
  for (const field of ['repository', 'homepage', 'bugs'])
    assert.match(JSON.stringify(manifest[field]), /github\.com\/stratakv\/stratakv/);
  const names = readdirSync(LIB);
  const texts = names.map((name) => readFileSync(join(LIB, name), 'utf8')).join('\n');
  const named = (name: string): boolean => texts.includes(`./${name}`);
  const entries = JSON.stringify([manifest['exports'], manifest['bin']]);
  const forgotten = names.filter((name) => !named(name) && !entries.includes(name) && !TYPES.test(name));
  assert.deepEqual(forgotten, []);
});

test('import and require give the same classes', async () => {
  for (const name of ['stratakv', 'stratakv/worker', 'stratakv/backup', 'stratakv/backup-s3']) {
    const imported = (await import(name)) as Record<string, unknown>;
    const required = require(name) as Record<string, unknown>;
    assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort());
    for (const key of Object.keys(imported)) assert.equal(required[key], imported[key], key);
  }
});

test('the CommonJS form works beside the other one: batches, errors and engines of either are known to both', async (t) => {
  const esm = (await import(join(LIB, 'index.js'))) as Package;
  const cjs = require(join(LIB, 'index.cjs')) as Package;
  const { backup, directoryTarget } = require(join(LIB, 'backup.cjs')) as Backup;
  assert.notEqual(cjs.StorageEngine, esm.StorageEngine, 'these are two copies');
  const directory = temporaryDirectory(t);
  const engines = [
    await esm.StorageEngine.open(join(directory, 'esm')),
    await cjs.StorageEngine.open(join(directory, 'cjs')),
  ] as const;
  for (const engine of engines) {
    for (const { WriteBatch } of [esm, cjs])
      await engine.write(new WriteBatch().put('k', 'v').put('t', 'v', { ttl: 60_000 }));
    await engine.flush();
    await engine.compact();
    assert.equal(String(engine.getSync('k')), 'v');
    assert.ok(((await engine.expiresAt('t')) ?? 0) > Date.now());
    const info = await backup(engine, directoryTarget(`${engine.path}-backup`));
    assert.equal(info.files > 0, true);
    const error: unknown = await engine
      .write(Object.create(esm.WriteBatch.prototype))
      .catch((e: unknown) => e);
    for (const { StorageError, CorruptionError } of [esm, cjs]) {
      const isOne = [StorageError.is(error), error instanceof StorageError];
      const isOther = [CorruptionError.is(error), error instanceof CorruptionError];
      assert.deepEqual([...isOne, ...isOther], [true, true, false, false]);
    }
  }
  const snapshot = engines[1].snapshot();
  assert.throws(() => engines[0].getSync('k', { snapshot }), { code: 'STRATA_INVALID_ARGUMENT' });
  await assert.rejects(cjs.StorageEngine.open(engines[0].path), {
    code: 'STRATA_LOCKED',
    message: /by this process/,
  });
  const closing = engines[0].close();
  await assert.rejects(cjs.StorageEngine.open(engines[0].path), /clos/);
  await Promise.all([closing, engines[1].close()]);
});

test('a batch or an engine of another version is refused with a message that says so', async (t) => {
  const { StorageEngine } = (await import(join(LIB, 'index.js'))) as Package;
  const { backup, directoryTarget } = (await import(join(LIB, 'backup.js'))) as Backup;
  const engine = await StorageEngine.open(temporaryDirectory(t), { threads: 0 });
  const batch = { [Symbol.for('stratakv.WriteBatch')]: () => ({ format: 2 }) };
  await assert.rejects(engine.write(batch as never), /another version of stratakv/);
  const other = { path: '/', [Symbol.for('stratakv.StorageEngine')]: '0.0.1' };
  await assert.rejects(backup(other, directoryTarget(join(engine.path, 'b'))), /stratakv 0\.0\.1/);
  await engine.close();
});

const APPLICATION = `
import { StorageEngine } from 'INDEX';
const say = (error) => \`\${error.code} \${error.message}\`;
(async () => {
  const refused = await StorageEngine.open('with-threads').catch(say);
  const engine = await StorageEngine.open('without', { threads: 0 });
  await engine.put('a', '1');
  await engine.flush();
  console.log(refused, String(engine.getSync('a')));
  await engine.close();
})();
`;

test('bundled, open() says at once what to do, and works without threads', async (t) => {
  const { rolldown } = (await import('rolldown').catch(() => ({ rolldown: undefined }))) as Partial<
    typeof import('rolldown')
  >;
  if (rolldown === undefined) return t.skip('the bundler is not installed');
  const folder = temporaryDirectory(t);
  writeFileSync(join(folder, 'application.mjs'), APPLICATION.replace('INDEX', join(LIB, 'index.js')));
  for (const format of ['esm', 'cjs'] as const) {
    const build = await rolldown({
      input: join(folder, 'application.mjs'),
      platform: 'node',
      external: ['@aws-sdk/client-s3'],
      logLevel: 'silent',
    });
    const file = join(folder, format, `application.${format === 'esm' ? 'mjs' : 'cjs'}`);
    await build.write({ file, format, codeSplitting: false });
    await build.close();
    const { stdout, stderr } = spawnSync(process.execPath, [file], { cwd: dirname(file), encoding: 'utf8' });
    assert.match(stdout, /^STRATA_UNSUPPORTED stratakv was bundled .* external .* 1$/m, stderr);
    assert.equal(existsSync(join(dirname(file), 'with-threads')), false);
  }
});

test('code that runs in another file than it believes is known to', () => {
  const url = 'file:///app/node_modules/stratakv/dist/lib/store.js';
  const stackIn = (place: string): string =>
    `Error\n    at requireThreadFile (${place}:10:20)\n    at open (node:internal:1:2)`;
  assert.equal(isElsewhere(url, stackIn(url)), false);
  assert.equal(isElsewhere(`${url}?v=1`, stackIn(url)), false);
  assert.equal(isElsewhere(url, stackIn('/app/node_modules/stratakv/dist/lib/store.js')), false);
  assert.equal(isElsewhere(url, stackIn('/app/out/bundle.cjs')), true);
  assert.equal(isElsewhere(undefined, stackIn(url)), true);
  for (const stack of [undefined, 'Error', [1]]) assert.equal(isElsewhere(url, stack), false);
});

test('Bun is refused, Node is not', () => {
  assert.throws(() => refuseRuntime({ bun: '1.4.5' }), {
    code: 'STRATA_UNSUPPORTED',
    message: /Bun \(this is 1\.4\.5\)/,
  });
  refuseRuntime();
});

function findRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
