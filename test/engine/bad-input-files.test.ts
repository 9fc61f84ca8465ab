/**
 * Hostile, foreign, corrupt and newer files: refused with a code, untouched, without the memory that they ask for.
 *
 * All are sealed with right checksums, so that what lies behind the checksum has to refuse them.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type EngineOptions, StorageEngine, type StorageErrorCode } from '../../src/main/index.ts';
import { readU32, writeU32, writeVarint } from '../../src/shared/base/bytes.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import {
  LOG_FORMAT_VERSION,
  RECORD_HEADER_BYTES,
  readRecord,
  sealRecord,
} from '../../src/shared/log/log-format.ts';
import { TABLE_FORMAT_VERSION } from '../../src/shared/table/format.ts';
import { TableReader } from '../../src/shared/table/table-reader.ts';
import { contentsOf, failsWith, fill, keyOf, newPath, openAt, TINY, valueFor } from '../helpers/engines.ts';
import { firstWrites } from '../helpers/log-files.ts';
import { metaOf, sealedAs, withFooterVersion, withMeta } from '../helpers/table-surgery.ts';
import { sourceOf } from '../helpers/tables.ts';

const MANIFEST_BODY = 30;

/** A closed store with one table and, with `keepLog`, a log; returns the paths of its files. */
async function closedStore(t: TestContext, options: EngineOptions = {}): Promise<Record<string, string>> {
  const path = newPath(t);
  const engine = await openAt(t, path, { writeBufferSize: 1 << 20, maxFileSize: 1 << 20, ...options });
  await fill(engine, 200);
  await engine.flush();
  await engine.put('logged', '1');
  await engine.close();
  const names = Object.keys(contentsOf(path));
  const named = (end: string): string => join(path, names.find((name) => name.endsWith(end))!);
  return { path, table: named('.sst'), log: named('.log'), manifest: named('manifest.json') };
}

/** Refused with one of these codes, by every way to open it, and not a byte is changed. */
async function refusedUntouched(
  path: string,
  codes: readonly StorageErrorCode[],
  message: string,
): Promise<void> {
  const before = contentsOf(path);
  for (const options of [TINY, { ...TINY, readOnly: true }, { createIfMissing: false }]) {
    const error = await StorageEngine.open(path, options).then(
      () => assert.fail(`opened: ${message}`),
      (reason: { code: StorageErrorCode }) => reason,
    );
    assert.ok(codes.includes(error.code), `${error.code}: ${message}`);
    assert.deepEqual(contentsOf(path), before, message);
  }
}

/** Changes the text of a manifest and makes its checksum right again. */
function rewriteManifest(file: string, edit: (body: string) => string): void {
  const body = Buffer.from(edit(readFileSync(file).subarray(MANIFEST_BODY).toString('utf8')));
  const checksum = crc32(body).toString(16).padStart(8, '0');
  writeFileSync(file, Buffer.concat([Buffer.from(`{"checksum":"crc32:${checksum}",\n`), body]));
}

test('a manifest that is missing, empty, foreign, cut off or damaged is never an empty store', async (t) => {
  const { path, manifest } = await closedStore(t);
  const sound = readFileSync(manifest!);
  const elsewhere = join(dirname(path!), 'elsewhere.json');
  renameSync(manifest!, elsewhere);
  await refusedUntouched(path!, ['STRATA_CORRUPTION'], 'missing');
  const flipped = Buffer.from(sound);
  flipped[sound.length >> 1]! ^= 1;
  const contents: [string, string | Buffer][] = [
    ['empty', ''],
    ['zeros', Buffer.alloc(sound.length)],
    ['an empty object', '{}'],
    ['json of others', '{"name":"app","version":"1.0.0","icons":[]}'],
    ['not json', 'MANIFEST-000002\n'],
    ['cut off', sound.subarray(0, sound.length - 1)],
    ['cut in half', sound.subarray(0, sound.length >> 1)],
    ['longer', Buffer.concat([sound, Buffer.from('\n')])],
    ['twice', Buffer.concat([sound, sound])],
    ['a flipped bit', flipped],
  ];
  for (const [name, content] of contents) {
    writeFileSync(manifest!, content);
    await refusedUntouched(path!, ['STRATA_CORRUPTION'], name);
  }
  writeFileSync(manifest!, sound);
  await (await openAt(t, path!)).verify();
});

test('a hostile manifest with a right checksum is refused', async (t) => {
  const { path, manifest, table } = await closedStore(t);
  const sound = readFileSync(manifest!);
  const number = Number(/(\d+)\.sst$/.exec(table!)![1]);
  const canary = join(dirname(path!), '000001.sst');
  writeFileSync(canary, 'outside');
  const swaps: [string, RegExp, string][] = [
    ['a path for a number', /"number":\d+/, '"number":"../000001"'],
    ['an absolute path', /"number":\d+/, '"number":"/etc/passwd"'],
    ['a negative number', /"number":\d+/, '"number":-1'],
    ['a fraction', /"number":\d+/, '"number":1.5'],
    ['too large', /"number":\d+/, '"number":1e300'],
    ['not safe', /"number":\d+/, '"number":9007199254740993'],
    ['no number', /"number":\d+/, '"number":null'],
    ['number 0', /"number":\d+/, '"number":0'],
    ['above the next number', /"nextFileNumber": \d+/, `"nextFileNumber": ${number}`],
    ['a level too deep', /"level":\d+/, '"level":8'],
    ['a level below 0', /"level":\d+/, '"level":-1'],
    ['another level name', /"level":\d+/, '"level":"length"'],
    ['a proto key', /"level":/, '"__proto__":{"x":1},"level":'],
    ['an extra key', /"storeId"/, '"extra": 1,\n  "storeId"'],
    ['a key twice', /"level":(\d+)/, '"level":$1,"level":$1'],
    ['other spelling', /"level":(\d+)/, '"level": $1'],
    ['a store id that is none', /"storeId": "[^"]*"/, '"storeId": "../.."'],
    ['tables that are none', /"tables": \[[\s\S]*\]/, '"tables": {}'],
    ['a size of zero', /"sizeBytes":\d+,"checksum"/, '"sizeBytes":0,"checksum"'],
    ['a size too large', /"sizeBytes":\d+,"checksum"/, '"sizeBytes":9007199254740991,"checksum"'],
    ['keys upside down', /"smallestKey":"[^"]*"/, '"smallestKey":"/////w=="'],
    ['loose base64', /"smallestKey":"([^"]*)"/, '"smallestKey":"$1 "'],
    ['format version 0', /"formatVersion": 5/, '"formatVersion": 0'],
    ['no format version', /"formatVersion": 5,\n {2}/, ''],
    ['a negative sequence', /"lastSequence": \d+/, '"lastSequence": -5'],
    ['a lower last sequence', /"lastSequence": \d+/, '"lastSequence": 1'],
    ['a missing log', /"sealedLogs": \[\n {4}\{"number":\d+/, '"sealedLogs": [\n    {"number":1'],
  ];
  for (const [name, pattern, replacement] of swaps) {
    rewriteManifest(manifest!, (body) => {
      assert.match(body, pattern, name);
      return body.replace(pattern, replacement);
    });
    await refusedUntouched(path!, ['STRATA_CORRUPTION'], name);
    writeFileSync(manifest!, sound);
  }
  assert.equal(readFileSync(canary, 'utf8'), 'outside');
  assert.equal(({} as { x?: number }).x, undefined, 'no prototype was touched');
  await (await openAt(t, path!)).verify();
});

test('a newer manifest is refused as such, whatever else it holds', async (t) => {
  const { path, manifest } = await closedStore(t);
  rewriteManifest(manifest!, (body) => body.replace('"formatVersion": 5', '"formatVersion": 6'));
  await refusedUntouched(path!, ['STRATA_UNSUPPORTED'], 'the next version');
  rewriteManifest(manifest!, () => '"manifest": {"formatVersion": 6, "everything": ["is", "different"]}}\n');
  await refusedUntouched(path!, ['STRATA_UNSUPPORTED'], 'the next version, of another form');
});

test('a newer log is refused as such, and so is one of the format before releases', async (t) => {
  const { path, log } = await closedStore(t);
  const bytes = readFileSync(log!);
  const number = Number(/(\d+)\.log$/.exec(log!)![1]);
  const header = readRecord(bytes, 0, bytes.length, number)!;
  for (const version of [LOG_FORMAT_VERSION - 1, LOG_FORMAT_VERSION + 1]) {
    writeU32(bytes, RECORD_HEADER_BYTES, version);
    sealRecord(bytes, 0, header);
    writeFileSync(log!, bytes);
    await refusedUntouched(path!, ['STRATA_UNSUPPORTED'], `log format ${version}`);
  }
});

test('a newer table is refused as such by every read, and left as it is', async (t) => {
  const { path, table } = await closedStore(t);
  writeFileSync(table!, withFooterVersion(readFileSync(table!), TABLE_FORMAT_VERSION + 1));
  const before = contentsOf(path!);
  const engine = await openAt(t, path!, { readOnly: true });
  await failsWith('STRATA_UNSUPPORTED', engine.get(keyOf(1)));
  await failsWith('STRATA_UNSUPPORTED', engine.has(keyOf(1)));
  await failsWith('STRATA_UNSUPPORTED', () => Array.from(engine.scan()));
  await failsWith('STRATA_UNSUPPORTED', engine.verify());
  assert.equal(engine.getSync('logged')?.toString(), '1');
  await engine.close();
  assert.deepEqual(contentsOf(path!), before);
});

test('a log entry that claims gigabytes is refused', async (t) => {
  const { path, log } = await closedStore(t);
  const bytes = readFileSync(log!);
  const number = Number(/(\d+)\.log$/.exec(log!)![1]);
  const start = firstWrites(bytes, number);
  const header = readRecord(bytes, start, bytes.length, number)!;
  const entry = start + RECORD_HEADER_BYTES;
  for (const claim of [2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1]) {
    const hostile = Buffer.from(bytes);
    // Key and value, which are 7 bytes, become the rest of the lengths.
    writeVarint(hostile, entry + 2, claim);
    sealRecord(hostile, start, header);
    writeFileSync(log!, hostile);
    await withoutMemory(() => refusedUntouched(path!, ['STRATA_CORRUPTION'], `a value of ${claim} bytes`));
  }
  const longKey = Buffer.from(bytes);
  writeVarint(longKey, entry + 1, 2 ** 40);
  sealRecord(longKey, start, header);
  writeFileSync(log!, longKey);
  await withoutMemory(() => refusedUntouched(path!, ['STRATA_CORRUPTION'], 'a key of 2^40 bytes'));
});

/** Runs it, and fails when the process grew by 64 MB or more. */
async function withoutMemory(run: () => Promise<void>): Promise<void> {
  const before = process.memoryUsage().rss;
  await run();
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 64 << 20, `${grown} bytes more`);
}

test('a block that claims to hold gigabytes is refused, by get, scan, verify and compact', async (t) => {
  const { path, table } = await closedStore(t);
  const sound = readFileSync(table!);
  const number = Number(/(\d+)\.sst$/.exec(table!)![1]);
  const size = TableReader.open(sourceOf(sound, table), { number } as never).index.blockSize(0);
  const payload = Buffer.alloc(size - 9, 0xfe);
  for (const codec of [0, 1, 2, 3, 255]) {
    for (const claim of [0xffffffff, 0x7fffffff, 300 << 20, 100 << 20]) {
      // Each codec's own header says the same: a varint for snappy, four bytes for lz4.
      if (codec === 1) writeVarint(payload, 0, claim);
      if (codec === 2) writeU32(payload, 0, claim);
      const hostile = Buffer.from(sound);
      hostile.set(sealedAs(codec, payload, claim, number, 0), 0);
      assert.equal(readU32(hostile, size - 9), claim);
      writeFileSync(table!, hostile);
      await withoutMemory(async () => await refusesFirstBlock(path!, table!));
    }
  }
});

async function refusesFirstBlock(path: string, table: string): Promise<void> {
  const engine = await StorageEngine.open(path, { ...TINY, threads: 0 });
  for (const attempt of [
    () => engine.get(keyOf(0)),
    () => engine.getMany([keyOf(199), keyOf(0)]),
    () => Array.from(engine.scan()),
    () => Array.from(engine.scan({ reverse: true })),
    () => engine.verify(),
  ]) {
    const error = await failsWith('STRATA_CORRUPTION', attempt);
    assert.deepEqual([error.file, error.offset], [table, 0]);
  }
  assert.equal(engine.getSync(keyOf(199))?.toString(), valueFor(199));
  await engine.close();
}

test('a table whose meta block claims billions of blocks, probes or bytes is refused', async (t) => {
  const { path, table } = await closedStore(t);
  const sound = readFileSync(table!);
  const meta = metaOf(sound);
  for (let at = 0; at < meta.length; ) {
    const tag = meta[at]!;
    const length = readU32(meta, at + 1);
    for (const position of [at + 1, at + 5, at + 9]) {
      const hostile = meta.slice();
      writeU32(hostile, position, 0xfffffff0);
      writeFileSync(table!, withMeta(sound, hostile));
      await withoutMemory(async () => {
        const engine = await StorageEngine.open(path!, { ...TINY, threads: 0 });
        await failsWith('STRATA_CORRUPTION', engine.get(keyOf(0))).catch((error: unknown) => {
          // A property that reads do not use may say anything; verify compares them all.
          if (tag !== 1 || !/got (object|undefined)/.test(String(error))) throw error;
        });
        await failsWith('STRATA_CORRUPTION', engine.verify());
        await engine.close();
      });
    }
    at += 5 + length;
  }
});

test('what a crash left unfinished is removed, foreign files are not', async (t) => {
  const { path } = await closedStore(t);
  const orphans = ['000900.sst.new', '000901.run', 'manifest.json.tmp'];
  const foreign = ['900.sst', '000900.sst.tmp', 'data.log', 'manifest.json.bak', 'notes'];
  for (const name of [...orphans, ...foreign]) writeFileSync(join(path!, name), 'x');
  const engine = await openAt(t, path!);
  for (const name of orphans) assert.ok(!existsSync(join(path!, name)), name);
  for (const name of foreign) assert.ok(existsSync(join(path!, name)), name);
  await fill(engine, 100, 40, 1);
  await engine.compact();
  assert.equal(Array.from(engine.scan()).length, 201);
});
