/** The price of a compaction of L0, and who pays how much of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadPressure } from '../../../src/main/compaction/read-pressure.ts';
import { LEVEL_COUNT, type SequenceNumber } from '../../../src/shared/base/ids.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

/** A version with so many small tables in L0, which overlap. */
function versionWith(count: number): Version {
  const tables = Array.from({ length: count }, (_, i) => {
    const sequence = (count - i) as SequenceNumber;
    return tableMeta(count - i, 'a', 'z', { smallestSequence: sequence, largestSequence: sequence });
  });
  return Version.fromLevels(Array.from({ length: LEVEL_COUNT }, (_, level) => (level === 0 ? tables : [])));
}

test('256 seeks in vain, or 64 times as many lookups, make a small L0 due, once', () => {
  for (const [note, times] of [
    [(pressure: ReadPressure, version: Version) => pressure.noteScan(version), 256],
    [(pressure: ReadPressure, version: Version) => pressure.noteLookups(version, 1), 256 * 64],
    [(pressure: ReadPressure, version: Version) => pressure.noteLookups(version, 64), 256],
  ] as const) {
    let calls = 0;
    const pressure = new ReadPressure(() => calls++);
    const version = versionWith(2);
    for (let i = 1; i < times; i++) note(pressure, version);
    assert.deepEqual([calls, pressure.isDue(version)], [0, false]);
    note(pressure, version);
    assert.deepEqual([calls, pressure.isDue(version)], [1, true]);
    for (let i = 0; i < 1000; i++) note(pressure, version);
    assert.equal(calls, 1);
    const next = versionWith(3);
    note(pressure, next);
    assert.equal(pressure.isDue(next), false, 'a new version starts over');
  }
});

test('with one table in L0 nothing is in vain', () => {
  const pressure = new ReadPressure(() => assert.fail('nothing is due'));
  for (let i = 0; i < 10_000; i++) {
    pressure.noteScan(versionWith(1));
    pressure.noteLookups(versionWith(0), 1000);
  }
});
