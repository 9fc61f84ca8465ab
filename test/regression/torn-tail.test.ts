/**
 * A scan that never ended: of a log whose end was torn the bytes behind what counts were left in the memory where the index of
 * the recovered memtable came to lie, which takes what it finds there for its own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recoverLogs } from '../../src/main/open/recovery.ts';
import { NODE_START } from '../../src/shared/memtable/arena.ts';
import { buildLog, type LogEntry, logDirectory, recoveredWrites } from '../helpers/log-files.ts';

const MANIFEST = { logNumber: 3, lastSequence: 0, sealedLogs: [] };

for (const writeBufferBytes of [1, 64 * 1024, 8 << 20]) {
  test(`what lies behind the torn end of a log is nobody's: write buffer of ${writeBufferBytes}`, () => {
    // Small entries: the index is larger than they are, and begins in the middle of the torn end.
    const entries: LogEntry[] = Array.from({ length: 900 }, (_, i) => [String(i).padStart(4, '0'), '']);
    const { bytes } = buildLog({ number: 3, firstSequence: 1, groups: [{ entries }] });
    for (const tornBytes of [100, 5000, 40_000, 200_000]) {
      const torn = new Uint8Array(bytes.length + tornBytes).fill(0x76);
      torn.set(bytes);
      const state = recoverLogs(logDirectory(new Map([[3, torn]])), '/db', MANIFEST, writeBufferBytes);
      const [live] = state.memtables;
      const { arena } = live!.memtable;
      // The chain of leaves, by hand: a walk along a false one may never end.
      assert.equal(arena.entryCount, entries.length);
      const behind = arena.bytes.subarray(arena.dataEnd, arena.words[NODE_START]);
      assert.ok(
        behind.every((byte) => byte === 0),
        `${tornBytes} torn bytes are left behind the data`,
      );
      assert.deepEqual(
        recoveredWrites(state),
        entries.map(([key]) => `${key}=`),
      );
    }
  });
}
