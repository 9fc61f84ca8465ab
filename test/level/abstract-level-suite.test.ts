/**
 * The published test suite of abstract-level, all of it, over StrataLevel: with classic-level's manifest, so that nothing is left
 * out; on the database and on a sublevel of it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { StrataLevel } from '../../src/level/index.ts';
import { runTape, Tape } from '../helpers/tape.ts';

/** Of abstract-level 3.1.1, with this manifest. */
const EXPECTED_TESTS = 1509;

type Suite = (options: { test: Tape['test']; factory: (options?: object) => StrataLevel }) => void;

const suite = createRequire(import.meta.url)('abstract-level/test') as Suite;
const home = mkdtempSync(join(tmpdir(), 'stratakv-level-suite-'));
const opened: StrataLevel[] = [];
const tape = new Tape();

suite({
  test: tape.test,
  factory: (options) => {
    const db = new StrataLevel(join(home, String(opened.length)), options);
    opened.push(db);
    return db;
  },
});

test('the suite is there with all its tests', () => {
  assert.ok(tape.size >= EXPECTED_TESTS, `${tape.size} tests`);
});

tape.register('abstract-level');

test('a suite that runs here fails as it would under tape', async () => {
  const bad: readonly Parameters<typeof runTape>[0][] = [
    (t) => {
      t.is(1, 2);
      t.end();
    },
    (t) => t.plan(1) ?? Promise.resolve(),
    async () => Promise.reject(new Error('no')),
    (t) => {
      t.plan(1);
      t.pass();
      t.pass();
    },
    (t) => t.end(new Error('no')),
  ];
  for (const run of bad) await assert.rejects(runTape(run));
  await runTape((t) => {
    t.plan(1);
    setImmediate(() => t.same({ a: 1 }, { a: 1 }));
  });
});

after(async () => {
  await Promise.all(opened.map((db) => db.close().catch(() => undefined)));
  rmSync(home, { recursive: true, force: true });
});
