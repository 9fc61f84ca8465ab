/**
 * OpenScans: every scan is known from its opening to its end, in whatever order scans of one turn or of several end.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StorageError } from '../../../src/shared/base/errors.ts';
import { ForgottenWarning } from '../../../src/shared/base/forgotten.ts';
import { LEVEL_COUNT, sequenceNumber } from '../../../src/shared/base/ids.ts';
import { OpenScans } from '../../../src/shared/read/open-scans.ts';
import { Scan } from '../../../src/shared/read/scan.ts';
import type { ScanCore } from '../../../src/shared/read/scan-core.ts';
import type { TableCache } from '../../../src/shared/read/table-cache.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { scanReader } from '../../helpers/scan-reader.ts';

const LIMITS = { limit: 10, keys: true, values: true, signal: undefined };
const SOURCES = {
  memtables: [],
  version: Version.fromLevels(Array.from({ length: LEVEL_COUNT }, () => [])),
  sequence: sequenceNumber(0),
  fillCache: true,
  nowMs: -1,
};

interface Opened {
  readonly scan: Scan;
  readonly core: ScanCore;
  readonly closings: () => number;
}

function openOne(scans: OpenScans): Opened {
  let closings = 0;
  const core = scans.open(SOURCES, { range: {}, reverse: false, limit: LIMITS.limit }, () => closings++);
  const scan = new Scan(core, LIMITS);
  scans.watch(scan, core, { signal: undefined, snapshot: undefined });
  return { scan, core, closings: () => closings };
}

test('OpenScans knows how many are open, and each gives its pin back once', async (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const scans = new OpenScans({} as TableCache, scanReader(), new ForgottenWarning('scan', 'a store'));
  const open: Opened[] = [];
  for (let step = 0; step < 2000; step++) {
    if (random.chance(0.02)) await nextTurn();
    if (open.length === 0 || random.chance(0.5)) open.push(openOne(scans));
    else {
      const [left] = open.splice(random.below(open.length), 1);
      if (random.chance(0.5)) left!.scan.close();
      else assert.deepEqual(left!.scan.nextMany(10), [], 'nothing is in the store');
      left!.scan.close();
      assert.equal(left!.closings(), 1);
    }
    assert.equal(scans.size, open.length);
    assert.ok(open.every((one) => one.closings() === 0));
  }
});

test('OpenScans.closeAll ends those of this turn and of earlier ones, with the reason', async () => {
  const scans = new OpenScans({} as TableCache, scanReader(), new ForgottenWarning('scan', 'a store'));
  const early = [openOne(scans), openOne(scans), openOne(scans)];
  await nextTurn();
  await nextTurn();
  const late = [openOne(scans), openOne(scans), openOne(scans)];
  early[1]!.scan.close();
  late[0]!.scan.close();
  scans.closeAll(new StorageError('STRATA_CLOSED', 'the store is closed'));
  assert.equal(scans.size, 0);
  for (const one of [...early, ...late]) assert.equal(one.closings(), 1);
  for (const one of [early[0]!, early[2]!, late[1]!, late[2]!])
    assert.throws(() => one.scan.nextMany(1), { code: 'STRATA_CLOSED' });
  for (const one of [early[1]!, late[0]!]) assert.deepEqual(one.scan.nextMany(1), []);
});
