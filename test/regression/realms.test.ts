/**
 * No store could be opened under jest's ES modules or vitest's vm pools: what Node threw was no `instanceof Error` there. And
 * fake timers, there and elsewhere, made a store wait for ever.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RealmReport } from '../helpers/realm-child.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const CHILD = fileURLToPath(new URL('../helpers/realm-child.js', import.meta.url));
const SMALL = { writeBufferSize: 8192, maxFileSize: 8192 };
const STEPS =
  'open locked put batch get invalid scan flush background compact,compact all verify ingest client close closed reopen';
const LIMIT_MS = 120_000;

const MODES = ['realm', 'realm, frozen', 'realm, frozen first', 'realm, browser', 'process, frozen'] as const;

// What a realm has to do with threads does not depend on what else is odd about it.
for (const threads of [0, 1])
  for (const mode of threads === 0 ? MODES : (['realm'] as const))
    test(`every operation works in a ${mode}, threads: ${threads}`, (t) => {
      const path = join(temporaryDirectory(t), 'deep', 'db');
      const { done, failures } = run(path, { ...SMALL, threads }, mode);
      assert.deepEqual(failures, []);
      assert.deepEqual(done.join(' ').split(' '), STEPS.replace(',', ' ').split(' '));
    });

test('damage is named in a realm of its own', (t) => {
  const path = join(temporaryDirectory(t), 'db');
  assert.deepEqual(run(path, SMALL).failures, []);
  writeFileSync(join(path, 'manifest.json'), '{"checksum":"crc32:00000000",\n"manifest": {}}\n');
  const { failures } = run(path, SMALL);
  assert.equal(failures.length, 1);
  assert.match(
    failures[0]!,
    /^open: STRATA_CORRUPTION corruption: the checksum does not match in .*manifest\.json/,
  );
  assert.ok(readdirSync(path).some((name) => name.endsWith('.sst')));
});

function run(path: string, options: object, mode = 'realm'): RealmReport {
  const child = spawnSync(
    process.execPath,
    [
      '--no-warnings',
      '--experimental-vm-modules',
      '--experimental-import-meta-resolve',
      CHILD,
      path,
      JSON.stringify(options),
      mode,
    ],
    { encoding: 'utf8', timeout: LIMIT_MS },
  );
  assert.equal(child.status, 0, `${child.signal ?? ''} ${child.stderr.slice(-2000)}`);
  return JSON.parse(child.stdout) as RealmReport;
}
