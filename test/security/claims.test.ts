/**
 * Files that claim too much: counts and lengths of billions in every format, behind checksums that are right; blocks that
 * really do unpack to much; a manifest of a million tables. Whatever they say, no process that reads them crashes, hangs,
 * or takes more memory than the files themselves justify.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { refuseMoreLinesThanFiles } from '../../src/main/manifest/manifest.ts';
import { readU64, writeU32, writeVarint } from '../../src/shared/base/bytes.ts';
import type { FileSystem } from '../../src/shared/files/file-system.ts';
import {
  RECORD_HEADER_BYTES,
  readRecord,
  START_PAYLOAD_BYTES,
  sealRecord,
} from '../../src/shared/log/log-format.ts';
import { FOOTER_BYTES } from '../../src/shared/table/format.ts';
import { TableReader } from '../../src/shared/table/table-reader.ts';
import { fill, newPath, openAt } from '../helpers/engines.ts';
import { firstWrites } from '../helpers/log-files.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { metaOf, resealBlock, resealFooter, sealedAs, withMeta } from '../helpers/table-surgery.ts';
import { sourceOf } from '../helpers/tables.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { copyTo, manifestBody, type SoundStore, sealedManifest, visitAll } from './hostile-stores.ts';

const MIB = 1024 * 1024;
/** What a visitor may take beyond what it takes for a sound store. */
const ALLOWANCE = 64 * MIB;
/** Of the positions in a meta block; `npm run prove` changes all. */
const IS_FULL = process.env['STRATA_SWEEP'] === 'full';
const META_STEP = IS_FULL ? 1 : 13;
/** Of the claims one in so many is tried, others from run to run; `npm run prove` tries all. */
const CLAIM_STEP = IS_FULL ? 1 : 3;
const NASTY_U32 = [0xffffffff, 0x7fffffff, 0x10000000];

/** One file of a store, changed. */
interface Claim {
  readonly name: string;
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** The footer's fields, every position of the meta block, the last 64 bytes (the restarts) and the first of a block. */
function* tableClaims(file: string, sound: Uint8Array): Generator<Claim> {
  const number = Number(file.slice(0, -4));
  for (const position of [0, 4, 8, 16]) {
    for (const value of NASTY_U32) {
      const bytes = sound.slice();
      writeU32(bytes, bytes.length - FOOTER_BYTES + position, value);
      yield { name: `footer ${position} = ${value}`, file, bytes: resealFooter(bytes) };
    }
  }
  const meta = metaOf(sound);
  for (let position = 0; position + 4 <= meta.length; position += META_STEP) {
    const changed = meta.slice();
    writeU32(changed, position, NASTY_U32[position % 3]!);
    yield { name: `meta ${position}`, file, bytes: withMeta(sound, changed) };
  }
  const end = TableReader.open(sourceOf(sound, file), { number } as never).index.blockSize(0);
  const positions = Array.from({ length: 16 }, (_, i) => [i, end - 9 - 64 + i * 4, end - 9 + (i & 3)]).flat();
  for (const position of positions) {
    const bytes = sound.slice();
    writeU32(bytes, position, NASTY_U32[position % 3]!);
    yield { name: `block ${position}`, file, bytes: resealBlock(bytes, 0, end, number, 0) };
  }
}

/** Every number of the start record, and the first bytes of the first group, as the longest varints and as words. */
function* logClaims(file: string, sound: Uint8Array): Generator<Claim> {
  const number = Number(file.slice(0, -4));
  const start = readRecord(sound, 0, sound.length, number)!;
  const group = firstWrites(sound, number);
  const header = readRecord(sound, group, sound.length, number)!;
  for (let position = 0; position < START_PAYLOAD_BYTES; position += 2) {
    for (const value of NASTY_U32) {
      const bytes = sound.slice();
      writeU32(bytes, RECORD_HEADER_BYTES + Math.min(position, start.payloadLength - 4), value);
      sealRecord(bytes, 0, start);
      yield { name: `log start ${position} = ${value}`, file, bytes };
    }
  }
  for (let position = 0; position + 8 <= header.payloadLength; position++) {
    const bytes = sound.slice();
    writeVarint(bytes, group + RECORD_HEADER_BYTES + position, 2 ** 53 - 1);
    sealRecord(bytes, group, header);
    yield { name: `log group ${position}`, file, bytes };
  }
}

/** Each number of the manifest in turn, as the largest that JSON and the format can say. */
function* manifestClaims(path: string): Generator<Claim> {
  const body = manifestBody(path);
  const numbers = [...body.matchAll(/(?<=": ?)\d+/g)];
  for (const value of ['9007199254740991', '4294967295', '9007199254740993', '1e308', '1e999', '-1']) {
    for (const { index, 0: text } of numbers) {
      const changed = body.slice(0, index) + value + body.slice(index + text.length);
      yield { name: `manifest ${index} = ${value}`, file: 'manifest.json', bytes: sealedManifest(changed) };
    }
  }
}

/** Sends one visitor through the sound store and all changed ones; returns by how much it grew, in bytes. */
function growthOver(
  t: TestContext,
  store: SoundStore,
  claims: Iterable<Claim>,
  mode: 'look' | 'read' | 'all',
): number {
  const folder = temporaryDirectory(t);
  const names: string[] = [];
  const paths = [join(folder, 'sound')];
  copyTo(store, paths[0]!);
  for (const { name, file, bytes } of claims) {
    const path = join(folder, String(names.push(name)));
    copyTo(store, path);
    writeFileSync(join(path, file), bytes);
    paths.push(path);
  }
  const [sound, ...visits] = visitAll(paths, mode);
  assert.ok(
    Object.values(sound!.steps).every((outcome) => outcome === 'ok'),
    JSON.stringify(sound),
  );
  for (const [i, { steps }] of visits.entries()) {
    const outcomes = new Set(Object.values(steps));
    for (const allowed of ['ok', 'STRATA_CORRUPTION', 'STRATA_UNSUPPORTED']) outcomes.delete(allowed);
    assert.deepEqual([...outcomes], [], `${names[i]}: ${JSON.stringify(steps)}`);
  }
  const growth = Math.max(...visits.map(({ maxRssBytes }) => maxRssBytes)) - sound!.maxRssBytes;
  t.diagnostic(
    `FIGURE hostile-claims=${visits.length} crashes=0 hangs=0 rss-growth-mib=${Math.round(growth / MIB)}`,
  );
  return growth;
}

async function uncompressedStore(t: TestContext, values: number, valueBytes: number): Promise<SoundStore> {
  const path = newPath(t);
  const engine = await openAt(t, path, {
    writeBufferSize: 64 * MIB,
    maxFileSize: 64 * MIB,
    compression: 'none',
  });
  await fill(engine, values, valueBytes);
  await engine.flush();
  await engine.put('logged', '1');
  await engine.close();
  const named = (end: string): string => readdirSync(path).find((name) => name.endsWith(end))!;
  return { path, table: named('.sst'), log: named('.log') };
}

test('huge counts and lengths in tables, logs and manifests are refused within bounded memory', async (t) => {
  const store = await uncompressedStore(t, 60, 20);
  const read = (name: string): Uint8Array => Uint8Array.from(readFileSync(join(store.path, name)));
  const claims = [
    ...tableClaims(store.table, read(store.table)),
    ...logClaims(store.log, read(store.log)),
    ...manifestClaims(store.path),
  ];
  assert.ok(claims.length > 150, `${claims.length} claims`);
  const first = runSeed(t) % CLAIM_STEP;
  const tried = claims.filter((_, i) => i % CLAIM_STEP === first);
  const some = tried.filter((_, i) => i % 12 === 0);
  const growth = Math.max(growthOver(t, store, tried, 'look'), growthOver(t, store, some, 'read'));
  assert.ok(growth < ALLOWANCE, `grew by ${growth} bytes`);
});

/** Of snappy's elements the one that yields most: 64 bytes from one byte back, in 3 bytes. */
function snappyBomb(length: number): { readonly payload: Uint8Array; readonly claim: number } {
  const payload = new Uint8Array(length);
  const copies = Math.floor((length - 8) / 3);
  const claim = 1 + copies * 64;
  let at = writeVarint(payload, 0, claim);
  payload.set([0x00, 0x61], at);
  at += 2;
  for (let i = 0; i < copies; i++, at += 3) payload.set([(63 << 2) | 2, 1, 0], at);
  return { payload: payload.subarray(0, at), claim };
}

test('blocks that unpack to 21 times their size do so one at a time, and are refused', async (t) => {
  const store = await uncompressedStore(t, 16, MIB);
  const sound = readFileSync(join(store.path, store.table));
  const number = Number(store.table.slice(0, -4));
  const { index } = TableReader.open(sourceOf(sound, store.table), { number } as never);
  const bytes = Uint8Array.from(sound);
  let offset = 0;
  for (let i = 0; offset < readU64(sound, sound.length - FOOTER_BYTES); i++) {
    const size = index.blockSize(i);
    const { payload, claim } = snappyBomb(size - 9);
    const padded = new Uint8Array(size - 9);
    padded.set(payload);
    // What is left over must be part of the stream, or the block would be refused for it.
    assert.ok(padded.length - payload.length < 8);
    bytes.set(sealedAs(1, padded, claim, number, offset), offset);
    offset += size;
  }
  const growth = growthOver(t, store, [{ name: 'bombs', file: store.table, bytes }], 'all');
  // A block is 22 MiB. A few may wait to be collected as garbage, and repair looks at tables on several threads.
  assert.ok(growth < 7 * 22 * MIB, `grew by ${growth} bytes`);
});

/** Refused long before they are all in memory: that shows with fewer than a million as well. */
const VERY_MANY = 400_000;

/** A manifest that obeys every rule. */
function manifestOfTables(count: number): Buffer {
  const lines: string[] = [];
  for (let i = 1; i <= count; i++) {
    const key = Buffer.from(String(i).padStart(9, '0')).toString('base64');
    lines.push(
      `{"level":7,"number":${i},"sizeBytes":1,"checksum":1,"entryCount":1,"tombstoneCount":0,"shadowedCount":0,` +
        `"rawBytes":1,"smallestKey":"${key}","largestKey":"${key}","smallestSequence":0,"largestSequence":0}`,
    );
  }
  return sealedManifest(
    '"manifest": {\n  "formatVersion": 2,\n  "storeId": "8e770c58-abb7-4051-bebf-155f6addde2a",\n' +
      `  "nextFileNumber": ${count + 1},\n  "lastSequence": 1,\n  "logNumber": 1,\n  "sealedLogs": [],\n` +
      `  "obsoleteTables": [],\n  "obsoleteLogs": [],\n` +
      `  "tables": [\n    ${lines.join(',\n    ')}\n  ]\n}}\n`,
  );
}

test('a manifest of very many tables is refused before it is taken into memory', async (t) => {
  const small = join(temporaryDirectory(t), 'db');
  const large = join(temporaryDirectory(t), 'db');
  for (const path of [small, large]) mkdirSync(path);
  writeFileSync(join(small, 'manifest.json'), manifestOfTables(10));
  const bytes = manifestOfTables(VERY_MANY);
  writeFileSync(join(large, 'manifest.json'), bytes);
  const [few, many] = visitAll([small, large], 'all');
  assert.equal(few!.steps['read-only open'], 'STRATA_CORRUPTION');
  assert.match(few!.messages[0]!, /a table that the manifest names is missing in .*000001\.sst/);
  assert.equal(many!.steps['read-only open'], 'STRATA_CORRUPTION');
  const growth = many!.maxRssBytes - few!.maxRssBytes;
  t.diagnostic(
    `FIGURE tables=${VERY_MANY} manifest-mib=${Math.round(bytes.length / MIB)} rss-growth-mib=${Math.round(growth / MIB)}`,
  );
  assert.ok(growth < ALLOWANCE, `grew by ${growth} bytes for ${bytes.length}`);
});

test('a manifest of very many tables is taken for what it is where they are really there', () => {
  const manifest = Buffer.from('a line\n'.repeat(60_000));
  const judgeAmong = (fileCount: number, bytes: Uint8Array): void => {
    const fs: Pick<FileSystem, 'list'> = { list: () => new Array<string>(fileCount).fill('a file') };
    const readAt = (into: Uint8Array, position: number): number => {
      const part = bytes.subarray(position, position + into.length);
      into.set(part);
      return part.length;
    };
    refuseMoreLinesThanFiles(fs, '/db', { path: '/db/manifest.json', readAt });
  };
  judgeAmong(60_000, manifest);
  judgeAmong(50_000, manifest);
  assert.throws(() => judgeAmong(40_000, manifest), { code: 'STRATA_CORRUPTION', file: '/db/manifest.json' });
  // A store that has lost a few thousand tables is damaged like any other: the error names the first that is missing.
  judgeAmong(0, manifest.subarray(0, 7 * 10_000));
});
