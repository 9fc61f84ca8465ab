/**
 * Names: of files, that must not lead out of the directory, and of properties, that must not lead to prototypes.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { fileNumber, MAX_FILE_NUMBER } from '../../src/shared/base/ids.ts';
import { logPath, parseFileName, tablePath } from '../../src/shared/files/file-names.ts';
import { contentsOf, failsWith, newPath, openAt, openTiny, reopen, textsOf } from '../helpers/engines.ts';
import { manifestBody, sealedManifest, soundStore } from './hostile-stores.ts';

const PROTOTYPE_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '__defineGetter__',
  'constructor.prototype',
];

/** No test may leave anything on the prototypes that all objects share. */
function assertUnpolluted(): void {
  for (const object of [{}, [], () => undefined, Buffer.alloc(0), new Map()] as object[])
    for (const name of ['polluted', 'sync', 'isAdmin', 'level'])
      assert.ok(!(name in object), `${name} is on a prototype`);
}

test('no number makes the name of a file outside the directory', () => {
  const directory = '/store/of/mine';
  for (const number of [0, 1, 7, 999_999, 1_000_000, 2 ** 31 - 2, MAX_FILE_NUMBER].map(fileNumber)) {
    for (const path of [tablePath(directory, number), logPath(directory, number)]) {
      assert.equal(dirname(path), directory);
      assert.equal(normalize(path), path);
    }
  }
  for (const wrong of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, MAX_FILE_NUMBER + 1])
    assert.throws(() => fileNumber(wrong), `${wrong} is no file number`);
});

test('no name with a path in it, and no other spelling of a name, is a file of ours', () => {
  const bases = [
    '000012.sst',
    '000012.log',
    'manifest.json',
    'manifest.json.tmp',
    'LOCK',
    '000012.sst.set-aside',
  ];
  for (const base of bases) {
    assert.notEqual(parseFileName(base), undefined, base);
    const around = [
      '../',
      '/',
      './',
      'a/',
      '..\\',
      '\\',
      'C:',
      '\0',
      ' ',
      '\n',
      '.',
      '%2e%2e%2f',
      '\u202e',
      '~',
    ];
    for (const text of around) {
      assert.equal(parseFileName(text + base), undefined, JSON.stringify(text + base));
      assert.equal(parseFileName(base + text), undefined, JSON.stringify(base + text));
    }
  }
  for (const name of ['', '.', '..', '/', 'CON', 'NUL', ...PROTOTYPE_NAMES])
    assert.equal(parseFileName(name), undefined);
  for (const name of [
    '../x.set-aside',
    '/etc/passwd.set-aside',
    'LOCK.set-aside',
    '000012.sst.set-aside.set-aside',
  ])
    assert.equal(parseFileName(name), undefined, name);
});

test('a manifest can name neither a path nor a prototype', async (t) => {
  const store = await soundStore(t);
  const manifest = join(store.path, 'manifest.json');
  const sound = readFileSync(manifest);
  const body = manifestBody(store.path);
  const canary = join(dirname(store.path), '000001.sst');
  writeFileSync(canary, 'precious');
  const paths = [
    '../000001',
    '/etc/passwd',
    '..\\\\000001',
    './000002',
    'a/../000002',
    '000002\\u0000',
    'CON',
    '~',
  ];
  const numbers = paths.map((path) => [/"number":\d+/, `"number":"${path}"`] as const);
  const evil = '{"polluted":true,"sync":true}';
  const names = PROTOTYPE_NAMES.flatMap((name) => [
    [/"level":/, `"${name}":${evil},"level":`] as const,
    [/"formatVersion"/, `"${name}": ${evil},\n  "formatVersion"`] as const,
    [/"manifest": \{/, `"${name}": ${evil},\n"manifest": {`] as const,
    [/"storeId": "[^"]*"/, `"storeId": "${name}"`] as const,
    [/"level":\d/, `"level":"${name}"`] as const,
    [/"storeId"/, `"${name}"`] as const,
  ]);
  for (const [i, [pattern, replacement]] of [...numbers, ...names].entries()) {
    assert.match(body, pattern);
    writeFileSync(manifest, sealedManifest(body.replace(pattern, replacement)));
    const before = contentsOf(store.path);
    await failsWith('STRATA_CORRUPTION', StorageEngine.open(store.path));
    assert.deepEqual(contentsOf(store.path), before, replacement);
    if (i % 7 === 0) await StorageEngine.repair(store.path, { dryRun: true });
    assertUnpolluted();
  }
  writeFileSync(manifest, sound);
  assert.equal(readFileSync(canary, 'utf8'), 'precious');
  await (await openAt(t, store.path)).verify();
  t.diagnostic(`FIGURE hostile-names=${numbers.length + names.length} escapes=0`);
});

test('names of prototypes are keys and values like any other', async (t) => {
  let engine = await openTiny(t);
  const expected = PROTOTYPE_NAMES.map((name): [string, string] => [name, `value of ${name}`]).sort();
  const batch = new WriteBatch();
  for (const [key, value] of expected) batch.put(key, value);
  await engine.write(batch);
  for (const place of ['in memory', 'in a table', 'after a compaction', 'in a store opened again']) {
    if (place === 'in a table') await engine.flush();
    if (place === 'after a compaction') await engine.compact();
    if (place.endsWith('again')) engine = await reopen(t, engine);
    assert.deepEqual(textsOf(engine.scan()).sort(), expected, place);
    for (const [key, value] of expected)
      assert.equal((await engine.get(key))?.toString(), value, `${key} ${place}`);
    const values = await engine.getMany(PROTOTYPE_NAMES);
    assert.deepEqual(
      values.map(String),
      PROTOTYPE_NAMES.map((name) => `value of ${name}`),
      place,
    );
  }
  await engine.put('swapped', '__proto__');
  assert.equal((await engine.get('swapped'))?.toString(), '__proto__');
  for (const name of PROTOTYPE_NAMES) await engine.delete(name);
  for (const name of PROTOTYPE_NAMES) assert.equal(await engine.has(name), false);
  assertUnpolluted();
});

test('names of prototypes are no options, wherever options are taken', async (t) => {
  const engine = await openTiny(t);
  for (const name of PROTOTYPE_NAMES) {
    // Parsed, as only so `__proto__` becomes a property of its own.
    const options = JSON.parse(`{"${name}":{"polluted":true,"sync":true,"readOnly":true}}`) as object;
    const attempts: (() => unknown)[] = [
      () => StorageEngine.open(newPath(t), options),
      () => StorageEngine.repair(engine.path, options),
      () => engine.put('a', '1', options),
      () => engine.delete('a', options),
      () => engine.write(new WriteBatch().put('a', '1'), options),
      () => engine.get('a', options),
      () => engine.scan(options),
      () => engine.compact(options),
      () => engine.verify(options),
    ];
    for (const attempt of attempts) await failsWith('STRATA_INVALID_ARGUMENT', attempt);
    assertUnpolluted();
  }
  assert.equal(engine.hasSync('a'), false);
});
