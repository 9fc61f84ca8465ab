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
import { fuzz, mutate, onlyCorruption } from '../helpers/fuzz.ts';
import type { Random } from '../helpers/rng.ts';
import { parseLevels } from '../helpers/table-meta.ts';

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
  levels: parseLevels(['L0: 9:[-zz]@50-99; 8:[b-c]@10-20', 'L1: 3:[a-c]; 4:[d-f] dead=5/10', 'L7: 1:[a-z]']),
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

test('deep nesting and long lists are refused in bounded time', () => {
  const bombs = [
    `"manifest": ${'['.repeat(200_000)}${']'.repeat(200_000)}}\n`,
    `"manifest": ${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}\n`,
    BODY.replace('"tables": [', `"tables": [${'{},'.repeat(300_000)}`),
    BODY.replace('"storeId": "', `"storeId": "${'0'.repeat(5_000_000)}`),
  ];
  for (const body of bombs) {
    const startedAt = performance.now();
    assert.equal(
      onlyCorruption(() => void decodeManifest(seal(body), 'manifest.json')),
      false,
    );
    assert.ok(performance.now() - startedAt < 2000);
  }
});
