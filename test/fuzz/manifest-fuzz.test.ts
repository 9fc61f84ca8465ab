/**
 * The manifest's decoder against texts that are nearly right, with a checksum that fits.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeManifest,
  emptyState,
  encodeManifest,
  type ManifestState,
} from '../../src/main/manifest/manifest.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import { fileNumber } from '../../src/shared/base/ids.ts';
import type { TableInfo } from '../../src/shared/base/version-edit.ts';
import { fuzz, mutate, onlyCorruption } from '../helpers/fuzz.ts';
import type { Random } from '../helpers/rng.ts';
import { parseLevels } from '../helpers/table-meta.ts';

const MOMENTS: readonly number[] = [5, 5, 10, 20, 30, 40, 50, 60, 2 ** 45];
/** What deletes ranges, and what expires. */
const EXTRAS: Readonly<Record<number, Partial<TableInfo>>> = {
  8: { rangeDeletes: 2 },
  3: { expiry: { count: 10, moments: MOMENTS } },
  1: { rangeDeletes: 70_000, expiry: { count: 1, moments: MOMENTS } },
};

const SAMPLE: ManifestState = {
  ...emptyState('01234567-89ab-4cde-8f01-23456789abcd'),
  nextFileNumber: 20,
  lastSequence: 99,
  logNumber: 10,
  sealedLogs: [{ number: fileNumber(10), sizeBytes: 4096 }],
  epochs: [{ id: '00000000000000a1', end: 99 }],
  keptLogs: [{ number: 2, sizeBytes: 300, firstGroup: 5, firstSequence: 1, time: 900 }],
  keptLoads: [{ sequence: 40, after: 30, time: 2000, sizeBytes: 30, tables: [6, 8] }],
  keptTables: [{ number: 6, sizeBytes: 10, checksum: 1 }],
  branch: 'a-branch',
  levels: parseLevels([
    'L0: 9:[-zz]@50-99; 8:[b-c]@10-20',
    'L1: 3:[a-c]; 4:[d-f] dead=5/10',
    'L7: 1:[a-z]',
  ]).map((tables) => tables.map((table) => ({ ...table, ...EXTRAS[table.number] }))),
};
const BODY: string = Buffer.from(encodeManifest(SAMPLE)).toString('latin1').slice(30);

/** What may stand for a number, a string, a name or a piece of structure. */
const WORDS: readonly string[] = [
  '0',
  '-0',
  '-1',
  '1',
  '1.0',
  '1e3',
  '1e999',
  '-1e999',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551615',
  '4294967296',
  '0.5',
  'null',
  'true',
  '""',
  '"__proto__"',
  '"constructor"',
  '[]',
  '{}',
  '[[]]',
  '{"level":0}',
  '"AA=="',
  '"AA"',
  '"\\u0000"',
  '"../../etc/passwd"',
  ',',
  ':',
  '}',
  ']',
  '"',
  ' ',
  '\n',
  '\u00ff',
  '"tables": [',
  '"level":8,',
  '"number":3,',
  '"number":10,',
  '"formatVersion": 4,',
  '"lastSequence": 0,',
  ',"rangeDeletes":1',
  ',"expiry":[1,1,1,1,1,1,1,1,1,1]',
  '"__proto__":{"polluted":1},',
]; // prettier-ignore

function seal(body: string): Uint8Array {
  const bytes = Buffer.from(body, 'latin1');
  return Buffer.concat([
    Buffer.from(`{"checksum":"crc32:${crc32(bytes).toString(16).padStart(8, '0')}",\n`),
    bytes,
  ]);
}

/** Replaces, inserts or doubles a token, a line or bytes. */
function mutateText(text: string, random: Random): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|-?[\d.eE+]+|[{}[\],:]|\s+|./gs) ?? [];
  const at = random.below(tokens.length);
  const choice = random.below(6);
  if (choice === 0) tokens[at] = random.pick(WORDS);
  else if (choice === 1) tokens.splice(at, 0, random.pick(WORDS));
  else if (choice === 2) tokens.splice(at, random.between(1, 6));
  else if (choice === 3) tokens.splice(at, 0, ...tokens.slice(at, at + random.between(1, 60)));
  else if (choice === 4) {
    const lines = text.split('\n');
    lines.splice(random.below(lines.length), random.below(2), random.pick(lines));
    return lines.join('\n');
  } else return Buffer.from(mutate(Buffer.from(text, 'latin1'), random)).toString('latin1');
  return tokens.join('');
}

test('decodeManifest meets damaged texts with CorruptionError only, checksums being right', (t) => {
  fuzz(t, (random) => {
    let body = BODY;
    for (let n = random.between(1, 3); n > 0; n--) body = mutateText(body, random);
    const bytes = seal(body);
    return onlyCorruption(() => {
      const state = decodeManifest(bytes, 'manifest.json');
      // What is accepted is what would be written for it: no two texts mean the same.
      assert.deepEqual(Buffer.from(encodeManifest(state)), Buffer.from(bytes));
    });
  });
  assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
});

test('counts and moments of deleted ranges and of what expires are checked, checksums being right', () => {
  const sound = '"rangeDeletes":2';
  const list = `"expiry":[10,${MOMENTS.join(',')}]`;
  assert.ok(BODY.includes(sound) && BODY.includes(list));
  const bad: readonly (readonly [string, string])[] = [
    ...['0', '-1', '1.5', '9007199254740992', '1e3', 'null', '"2"', '[2]', '2,"rangeDeletes":2'].map(
      (value) => [sound, `"rangeDeletes":${value}`] as const,
    ),
    ...[
      '[]',
      '10',
      'null',
      '{}',
      // More than the table has entries, none, or no number.
      `[11,${MOMENTS.join(',')}]`,
      `[0,${MOMENTS.join(',')}]`,
      `[-1,${MOMENTS.join(',')}]`,
      `["10",${MOMENTS.join(',')}]`,
      // One moment too few, too many; falling; not whole; none.
      `[10,${MOMENTS.slice(1).join(',')}]`,
      `[10,1,${MOMENTS.join(',')}]`,
      `[10,${MOMENTS.with(0, 6).join(',')}]`,
      `[10,${MOMENTS.with(3, 20.5).join(',')}]`,
      `[10,${MOMENTS.with(0, -1).join(',')}]`,
      `[10,${MOMENTS.join(',').replace('30', 'null')}]`,
      `[10,${MOMENTS.join(',').replace('30', '[30]')}]`,
      `[10,${MOMENTS.with(8, 2 ** 53).join(',')}]`,
    ].map((value) => [list, `"expiry":${value}`] as const),
    // In the other order.
    [
      `"rangeDeletes":70000,"expiry":[1,${MOMENTS.join(',')}]`,
      `"expiry":[1,${MOMENTS.join(',')}],"rangeDeletes":70000`,
    ],
  ];
  decodeManifest(seal(BODY), 'manifest.json');
  for (const [from, to] of bad) {
    const body = BODY.replace(from, to);
    assert.notEqual(body, BODY, from);
    assert.throws(() => decodeManifest(seal(body), 'manifest.json'), { code: 'STRATA_CORRUPTION' }, to);
  }
  // A format that knows neither.
  const older = BODY.replace(/"formatVersion": \d+/, '"formatVersion": 2');
  assert.notEqual(older, BODY);
  assert.throws(() => decodeManifest(seal(older), 'manifest.json'), { code: 'STRATA_CORRUPTION' });
});

test('deep nesting and long lists are refused in bounded time', () => {
  const bombs = [
    `"manifest": ${'['.repeat(200_000)}${']'.repeat(200_000)}}\n`,
    `"manifest": ${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}\n`,
    BODY.replace('"tables": [', `"tables": [${'{},'.repeat(300_000)}`),
    BODY.replace('"storeId": "', `"storeId": "${'0'.repeat(5_000_000)}`),
  ];
  for (const body of bombs) {
    // Its own processor time: the machine may be busy.
    const before = process.cpuUsage();
    assert.equal(
      onlyCorruption(() => void decodeManifest(seal(body), 'manifest.json')),
      false,
    );
    assert.ok(process.cpuUsage(before).user < 2_000_000);
  }
});
