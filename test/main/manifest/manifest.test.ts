/**
 * manifest.json: what comes back is what was saved, and nothing else ever passes for it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  decodeManifest,
  emptyState,
  encodeManifest,
  loadManifest,
  type ManifestState,
  saveManifest,
} from '../../../src/main/manifest/manifest.ts';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import { StorageError } from '../../../src/shared/base/errors.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';
import type { FileSystem } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { parseLevels } from '../../helpers/table-meta.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';

const sample: ManifestState = {
  ...emptyState(STORE_ID),
  nextFileNumber: 20,
  lastSequence: 99,
  logNumber: 10,
  epochs: [
    { id: '00000000000000a1', end: 60 },
    { id: 'ffffffffffffffff', end: 99 },
  ],
  sealedLogs: [{ number: fileNumber(10), sizeBytes: 4096 }],
  keptLogs: [{ number: 2, sizeBytes: 300, firstGroup: 5, firstSequence: 1, time: 900 }],
  keptLoads: [
    { sequence: 20, after: 15, time: 1000, sizeBytes: 100, tables: [8] },
    { sequence: 40, after: 30, time: 2000, sizeBytes: 30, tables: [6, 7] },
  ],
  keptTables: [
    { number: 6, sizeBytes: 10, checksum: 1 },
    { number: 7, sizeBytes: 20, checksum: 2 },
  ],
  branch: 'p1-Ab:9.x_y',
  levels: parseLevels(['L0: 9:[-zz]@50-99; 8:[b-c]@10-20', 'L1: 3:[a-c]; 4:[d-f] dead=5/10', 'L7: 1:[a-z]']),
};

/** The file whose body is the sample's after `edit`, with a checksum that fits. */
function forge(edit: (body: string) => string): Uint8Array {
  return seal(edit(Buffer.from(encodeManifest(sample)).toString('utf8').slice(30)));
}

function seal(body: string): Uint8Array {
  const checksum = crc32(Buffer.from(body)).toString(16).padStart(8, '0');
  return Buffer.from(`{"checksum":"crc32:${checksum}",\n${body}`);
}

function assertCorrupt(bytes: Uint8Array, what: string): void {
  assert.throws(
    () => decodeManifest(bytes, 'manifest.json'),
    { code: 'STRATA_CORRUPTION', message: /manifest\.json/ },
    what,
  );
}

test('saveManifest() and loadManifest() give back the same state', async (t) => {
  const directory = temporaryDirectory(t);
  for (const state of [emptyState(STORE_ID), sample]) {
    await saveManifest(nodeFileSystem, directory, state);
    assert.deepEqual(loadManifest(nodeFileSystem, directory), state);
    assert.deepEqual(readdirSync(directory), ['manifest.json']);
  }
});

test('saveManifest() replaces a temporary file that a crash left, and follows no link at its name', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'victim'), 'precious');
  symlinkSync(join(directory, 'victim'), join(directory, 'manifest.json.tmp'));
  await saveManifest(nodeFileSystem, directory, sample);
  assert.equal(readFileSync(join(directory, 'victim'), 'utf8'), 'precious');
  assert.deepEqual(loadManifest(nodeFileSystem, directory), sample);
});

test('saveManifest() syncs the file before the rename and the directory after it', async (t) => {
  const directory = temporaryDirectory(t);
  const calls: string[] = [];
  const spy: FileSystem = {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    createExclusive: (path) => {
      const file = nodeFileSystem.createExclusive(path);
      const datasync = file.datasyncAsync.bind(file);
      file.datasyncAsync = () => {
        calls.push('sync file');
        return datasync();
      };
      return file;
    },
    renameAsync: (from, to) => {
      calls.push('rename');
      return nodeFileSystem.renameAsync(from, to);
    },
    syncDirectoryAsync: (path) => {
      calls.push('sync directory');
      return nodeFileSystem.syncDirectoryAsync(path);
    },
  };
  await saveManifest(spy, directory, sample);
  assert.deepEqual(calls, ['sync file', 'rename', 'sync directory']);
});

test('encodeManifest() writes one readable json text, one line per table', () => {
  const text = Buffer.from(encodeManifest(sample)).toString('utf8');
  const parsed = JSON.parse(text) as { manifest: { tables: { level: number; number: number }[] } };
  assert.deepEqual(
    parsed.manifest.tables.map(({ level, number }) => [level, number]),
    [
      [0, 9],
      [0, 8],
      [1, 3],
      [1, 4],
      [7, 1],
    ],
  );
  assert.match(text, /^\{"checksum":"crc32:[0-9a-f]{8}",\n"manifest": \{\n {2}"formatVersion": 5,\n/);
  assert.equal(text.split('\n').filter((line) => line.startsWith('    {"level":')).length, 5);
});

test('encodeManifest() refuses to write what loadManifest() would refuse to read', () => {
  assert.throws(
    () => encodeManifest({ ...sample, nextFileNumber: 10 }),
    /invalid: file number 10 is out of range/,
  );
  assert.throws(
    () => encodeManifest({ ...sample, epochs: [], lastSequence: 98 }),
    /a sequence lies above the last one/,
  );
});

test('loadManifest() takes only a missing file for no store', (t) => {
  const directory = temporaryDirectory(t);
  assert.equal(loadManifest(nodeFileSystem, directory), undefined);
  assert.equal(loadManifest(nodeFileSystem, join(directory, 'missing')), undefined);
  mkdirSync(join(directory, 'manifest.json'));
  assert.throws(() => loadManifest(nodeFileSystem, directory), { code: 'STRATA_IO' });
  const dangling = temporaryDirectory(t);
  symlinkSync(join(dangling, 'nowhere'), join(dangling, 'manifest.json'));
  assert.throws(() => loadManifest(nodeFileSystem, dangling), { code: 'STRATA_IO' });
  for (const content of [
    '',
    '{}',
    'null',
    '[]',
    '{"tables":[]}',
    '\0'.repeat(500),
    '{"checksum":"crc32:00000000",\n',
  ]) {
    const foreign = temporaryDirectory(t);
    writeFileSync(join(foreign, 'manifest.json'), content);
    assert.throws(() => loadManifest(nodeFileSystem, foreign), { code: 'STRATA_CORRUPTION' }, content);
    assert.deepEqual(readdirSync(foreign), ['manifest.json']);
  }
});

test('decodeManifest() detects every flipped byte, every flipped bit and every truncation', () => {
  const bytes = encodeManifest(sample);
  for (let i = 0; i < bytes.length; i++) {
    assertCorrupt(bytes.subarray(0, i), `cut at ${i}`);
    for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
      const damaged = Uint8Array.from(bytes);
      damaged[i]! ^= mask;
      assertCorrupt(damaged, `byte ${i} xor ${mask}`);
    }
  }
  assertCorrupt(Buffer.concat([bytes, Buffer.from('\n')]), 'a byte more');
  assertCorrupt(Buffer.concat([bytes, bytes]), 'twice');
});

test('decodeManifest() refuses a newer format, once the checksum matches, whatever else it holds', () => {
  const newer = [
    forge((body) => body.replace('"formatVersion": 5', '"formatVersion": 6')),
    seal('"manifest": {"formatVersion": 7, "anything": {"else": true}}}'),
  ];
  for (const bytes of newer) assert.throws(() => decodeManifest(bytes, 'm'), { code: 'STRATA_UNSUPPORTED' });
  newer[0]![newer[0]!.length - 2]! ^= 1;
  assertCorrupt(newer[0]!, 'newer and damaged');
});

/** Each with a checksum that fits: what the disk can't do by accident, but somebody else can. */
const hostileEdits: [string, (body: string) => string][] = [
  [
    '__proto__ in the manifest',
    (b) => b.replace('"storeId"', '"__proto__": {"polluted": true},\n  "storeId"'),
  ],
  ['constructor in a table', (b) => b.replace('"number":9', '"constructor":{},"number":9')],
  ['a duplicate key', (b) => b.replace('"lastSequence": 99', '"lastSequence": 98,\n  "lastSequence": 99')],
  ['an unknown key', (b) => b.replace('"storeId"', '"extra": 1,\n  "storeId"')],
  ['a missing key', (b) => b.replace('"lastSequence": 99,\n', '')],
  ['a file name', (b) => b.replace('"number":9,', '"number":"../../etc/passwd",')],
  ['minus zero', (b) => b.replace('"rawBytes":200', '"rawBytes":-0')],
  ['infinity', (b) => b.replace('"lastSequence": 99', '"lastSequence": 1e999')],
  ['an unsafe integer', (b) => b.replace('"nextFileNumber": 20', '"nextFileNumber": 9007199254740993')],
  ['a fraction', (b) => b.replace('"rawBytes":200', '"rawBytes":200.5')],
  ['another spelling of a number', (b) => b.replace('"rawBytes":200', '"rawBytes":2e2')],
  ['a negative size', (b) => b.replace('"sizeBytes":100', '"sizeBytes":-100')],
  ['a checksum over 32 bits', (b) => b.replace('"checksum":3735928559', '"checksum":4294967296')],
  ['level 8', (b) => b.replace('"level":7', '"level":8')],
  ['level -1', (b) => b.replace('"level":7', '"level":-1')],
  ['level "constructor"', (b) => b.replace('"level":7', '"level":"constructor"')],
  ['tables out of order', (b) => b.replace('"level":7', '"level":0')],
  ['overlapping tables', (b) => b.replace('"level":7', '"level":1')],
  ['a file number twice', (b) => b.replace('"number":3,', '"number":8,')],
  ['a table number that is a log number', (b) => b.replace('"number":9,', '"number":10,')],
  ['a file number not below the next', (b) => b.replace('"number":9,', '"number":20,')],
  ['file number 0', (b) => b.replace('"number":1,', '"number":0,')],
  ['more tombstones than entries', (b) => b.replace('"tombstoneCount":5', '"tombstoneCount":11')],
  [
    'a key that is too long',
    (b) => b.replace('"smallestKey":""', `"smallestKey":"${'AAAA'.repeat(30_000)}"`),
  ],
  ['smallest above largest', (b) => b.replace('"smallestKey":"Yg=="', '"smallestKey":"eg=="')],
  ['loose base64', (b) => b.replace('"Yg=="', '"Yg"')],
  ['a store id that is none', (b) => b.replace(STORE_ID, `../${STORE_ID.slice(3)}`)],
  ['other white space', (b) => b.replace('"storeId": ', '"storeId":  ')],
  ['an array for an object', () => '"manifest": []}\n'],
  ['no manifest', () => '"other": {}}\n'],
  [
    'an obsolete table that is live',
    (b) =>
      b.replace(
        '"obsoleteTables": []',
        '"obsoleteTables": [\n    {"number":3,"sizeBytes":1,"checksum":1}\n  ]',
      ),
  ],
  [
    'an obsolete table not below the next',
    (b) =>
      b.replace(
        '"obsoleteTables": []',
        '"obsoleteTables": [\n    {"number":20,"sizeBytes":1,"checksum":1}\n  ]',
      ),
  ],
  [
    'obsolete tables out of order',
    (b) =>
      b.replace(
        '"obsoleteTables": []',
        '"obsoleteTables": [\n    {"number":6,"sizeBytes":1,"checksum":1},\n    {"number":5,"sizeBytes":1,"checksum":1}\n  ]',
      ),
  ],
  [
    'an obsolete table twice',
    (b) =>
      b.replace(
        '"obsoleteTables": []',
        '"obsoleteTables": [\n    {"number":5,"sizeBytes":1,"checksum":1},\n    {"number":5,"sizeBytes":1,"checksum":1}\n  ]',
      ),
  ],
  [
    'an obsolete log that counts',
    (b) => b.replace('"obsoleteLogs": []', '"obsoleteLogs": [\n    {"number":11,"firstGroup":1}\n  ]'),
  ],
  [
    'an obsolete log by name',
    (b) => b.replace('"obsoleteLogs": []', '"obsoleteLogs": [\n    {"number":"../x","firstGroup":1}\n  ]'),
  ],
  ['no list of obsolete logs', (b) => b.replace('  "obsoleteLogs": [],\n', '')],
  ['the id of no epoch', (b) => b.replace('00000000000000a1', '0000000000000000')],
  ['an epoch that ends above the last sequence', (b) => b.replace('"end":99', '"end":100')],
  ['epochs out of order', (b) => b.replace('"end":60', '"end":99')],
  ['a kept log that counts', (b) => b.replace('"number":2,', '"number":11,')],
  ['a kept log that is a kept table', (b) => b.replace('"number":2,', '"number":6,')],
  ['a kept log of a negative size', (b) => b.replace('"sizeBytes":300', '"sizeBytes":-1')],
  ['a kept log before the first write', (b) => b.replace('"firstSequence":1', '"firstSequence":0')],
  ['a load that begins in another', (b) => b.replace('"after":30', '"after":19')],
  ['a load without room', (b) => b.replace('"after":30', '"after":40')],
  ['loads out of order', (b) => b.replace('"sequence":40', '"sequence":20')],
  ['a load of no tables', (b) => b.replace('[6,7]', '[]')],
  ['a table of two loads', (b) => b.replace('[6,7]', '[6,7,8]')],
  ['a load whose table is not there', (b) => b.replace('[8]', '[5]')],
  ['a kept table of no load', (b) => b.replace('[6,7]', '[6]')],
  ['a load of text', (b) => b.replace('[6,7]', '[6,"7"]')],
  ['a branch that is a path', (b) => b.replace('p1-Ab:9.x_y', '../../x')],
  ['what format 4 did not know', (b) => b.replace('"formatVersion": 5', '"formatVersion": 4')],
  ['format version 0', (b) => b.replace('"formatVersion": 5', '"formatVersion": 0')],
  ['format version "5"', (b) => b.replace('"formatVersion": 5', '"formatVersion": "5"')],
  ['100,000 open brackets', () => '['.repeat(100_000)],
];

for (const [what, edit] of hostileEdits) {
  test(`decodeManifest() refuses ${what}`, () => {
    assert.notDeepEqual(forge(edit), encodeManifest(sample), 'the edit must change something');
    assertCorrupt(forge(edit), what);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });
}

test('decodeManifest() puts no key bytes into its messages', () => {
  const secret = Buffer.from('secret-key').toString('base64');
  const broken = forge((body) => body.replace('"smallestKey":"Yg=="', `"smallestKey":"${secret}`));
  assert.throws(
    () => decodeManifest(broken, 'm'),
    (error) => error instanceof StorageError && !error.message.includes(secret) && error.cause === undefined,
  );
});

test('loadManifest() keeps keys as private copies of exactly their bytes', async (t) => {
  const directory = temporaryDirectory(t);
  await saveManifest(nodeFileSystem, directory, sample);
  for (const table of loadManifest(nodeFileSystem, directory)!.levels.flat()) {
    assert.equal(table.largestKey.buffer.byteLength, table.largestKey.length);
    assert.equal(table.smallestKey.buffer.byteLength, table.smallestKey.length);
  }
});
