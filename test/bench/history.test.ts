/**
 * The regression check: what it compares, and what it must not take for a regression.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  appendHistory,
  findRegressions,
  type HistoryEntry,
  readHistory,
} from '../../bench/report/history.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const TOLERANCE = 0.25;

function entry(ratios: HistoryEntry['ratios'], machine = 'here'): HistoryEntry {
  return { at: '2026-01-01T00:00:00Z', machine, version: 'abc', ratios };
}

test('findRegressions() reports a ratio that fell beyond the tolerance', () => {
  const before = entry({ put: { lmdb: 4 }, readseq: { lmdb: 2 } });
  const now = entry({ put: { lmdb: 2.9 }, readseq: { lmdb: 1.9 } });
  const regressions = findRegressions([before], now, TOLERANCE);
  assert.deepEqual(
    regressions.map(({ workload }) => workload),
    ['put'],
  );
});

test('findRegressions() compares with the last run of the same machine that has the workload', () => {
  const history = [
    entry({ put: { lmdb: 4 } }),
    entry({ put: { lmdb: 2 } }),
    entry({ readseq: { lmdb: 2 } }),
    entry({ put: { lmdb: 9 } }, 'elsewhere'),
  ];
  assert.deepEqual(findRegressions(history, entry({ put: { lmdb: 1.9 } }), TOLERANCE), []);
});

test('findRegressions() takes the mean over the common peers, and ignores peers of one run only', () => {
  const before = entry({ put: { lmdb: 4, 'classic-level': 2 } });
  const oneNoisyPeer = entry({ put: { lmdb: 2.8, 'classic-level': 2, rocksdb: 0.1 } });
  assert.deepEqual(findRegressions([before], oneNoisyPeer, TOLERANCE), []);
  assert.deepEqual(findRegressions([before], entry({ put: { rocksdb: 0.1 } }), TOLERANCE), []);
});

test('readHistory() returns what appendHistory() wrote, and nothing where there is no file', (t) => {
  const file = join(temporaryDirectory(t), 'history.jsonl');
  assert.deepEqual(readHistory(file), []);
  const entries = [entry({ put: { lmdb: 4 } }), entry({})];
  for (const each of entries) appendHistory(file, each);
  assert.deepEqual(readHistory(file), entries);
});
