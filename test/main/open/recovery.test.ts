/**
 * Recovery of logs: what a crash may leave comes back as a prefix of the writes; what no crash leaves is refused.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LogManifest, type RecoveredState, recoverLogs } from '../../../src/main/open/recovery.ts';
import { CorruptionError } from '../../../src/shared/base/errors.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';
import {
  type BuiltLog,
  buildLog,
  type LogGroup,
  logDirectory,
  recoveredWrites,
} from '../../helpers/log-files.ts';

const WRITE_BUFFER_BYTES = 65536;
const NO_MANIFEST: LogManifest = { logNumber: 0, lastSequence: 0, sealedLogs: [] };

function recover(logs: readonly BuiltLog[], manifest: LogManifest = NO_MANIFEST): RecoveredState {
  const files = new Map(logs.map((log) => [log.number, log.bytes]));
  return recoverLogs(logDirectory(files), '/store', manifest, WRITE_BUFFER_BYTES);
}

/** The same log with other bytes. */
function withBytes(log: BuiltLog, bytes: Uint8Array): BuiltLog {
  return { ...log, bytes };
}

function cut(log: BuiltLog, length: number): BuiltLog {
  return withBytes(log, log.bytes.slice(0, length));
}

function zeroed(log: BuiltLog, from: number, to: number): BuiltLog {
  return withBytes(log, log.bytes.slice().fill(0, from, to));
}

function sealed(...logs: readonly BuiltLog[]): LogManifest {
  const sealedLogs = logs.map((log) => ({ number: fileNumber(log.number), sizeBytes: log.bytes.length }));
  return { logNumber: 0, lastSequence: logs.at(-1)!.nextSequence - 1, sealedLogs };
}

/** Groups of 1, 2, 3, ... entries, each entry named after its place. */
function groups(name: string, count: number, syncedUpTo: readonly number[] = []): LogGroup[] {
  return Array.from({ length: count }, (_, g) => ({
    entries: Array.from(
      { length: g + 1 },
      (_unused, i) => [`${name}${g}.${i}`, i === 2 ? undefined : `value ${g}`] as const,
    ),
    syncedUpTo: syncedUpTo[g] ?? 0,
  }));
}

/** What recovery gives when the first `count` groups count. */
function writesOf(all: readonly LogGroup[], count: number = all.length): string[] {
  return all
    .slice(0, count)
    .flatMap(({ entries = [] }) =>
      entries.map(([key, value]) => (value === undefined ? `${key}-` : `${key}=${value}`)),
    );
}

describe('one log, after a crash', () => {
  const all = groups('a', 4);
  const log = buildLog({ number: 7, firstSequence: 1, groups: all });

  test('a tail torn at any byte leaves the groups before it, whole', () => {
    for (let length = 0; length <= log.bytes.length; length++) {
      const intact = Math.max(0, log.offsets.filter((offset) => offset <= length).length - 2);
      const state = recover([cut(log, length)]);
      assert.deepEqual(recoveredWrites(state), writesOf(all, intact), `cut at ${length}`);
      assert.equal(state.lastSequence, writesOf(all, intact).length, `cut at ${length}`);
    }
  });

  test('a tail that became zeros at any byte is torn as well', () => {
    for (let length = 0; length <= log.bytes.length; length++) {
      // Zeroing changes nothing where the bytes are zero already.
      let changed = length;
      while (log.bytes[changed] === 0) changed++;
      const intact = Math.max(0, log.offsets.filter((offset) => offset <= changed).length - 2);
      const state = recover([zeroed(log, length, log.bytes.length)]);
      const writes = recoveredWrites(state);
      assert.deepEqual(writes, writesOf(all, intact), `zeros from ${length}`);
    }
  });

  test('garbage behind the last record is a torn tail', () => {
    for (const tail of [new Uint8Array(1), new Uint8Array(5000), Buffer.from('garbage'.repeat(50))]) {
      const bytes = new Uint8Array(Buffer.concat([log.bytes, tail]));
      assert.deepEqual(recoveredWrites(recover([withBytes(log, bytes)])), writesOf(all));
    }
  });

  test('every flipped bit of the last record costs at most that record; of an earlier one, it is refused', () => {
    const lastRecord = log.offsets.at(-2)!;
    for (let offset = 0; offset < log.bytes.length; offset++)
      for (const flip of [0x01, 0x80, 0xff]) {
        const bytes = log.bytes.slice();
        bytes[offset]! ^= flip;
        const where = `byte ${offset} ^ ${flip}`;
        if (offset < lastRecord) assertRefused(() => recover([withBytes(log, bytes)]), where);
        else
          assert.deepEqual(
            recoveredWrites(recover([withBytes(log, bytes)])),
            writesOf(all, all.length - 1),
            where,
          );
      }
  });

  test('after a clean close every flip and every cut is refused, and bytes behind the end are ignored', () => {
    const manifest = sealed(log);
    for (let offset = 0; offset < log.bytes.length; offset++) {
      const bytes = log.bytes.slice();
      bytes[offset]! ^= 0x10;
      assertRefused(() => recover([withBytes(log, bytes)], manifest), `byte ${offset}`);
      assertRefused(() => recover([cut(log, offset)], manifest), `cut at ${offset}`);
    }
    assertRefused(() => recover([], manifest), 'deleted');
    const longer = new Uint8Array(Buffer.concat([log.bytes, log.bytes]));
    assert.deepEqual(recoveredWrites(recover([withBytes(log, longer)], manifest)), writesOf(all));
  });

  test('a log under the number of another is refused, not replayed', () => {
    assertRefused(() => recover([{ ...log, number: 9 }], sealed({ ...log, number: 9 })), 'renamed, sealed');
    assert.deepEqual(recoveredWrites(recover([{ ...log, number: 9 }])), []);
  });
});

describe('sequence numbers', () => {
  test('a log of which only the start record reached the disk does not set them back', () => {
    const all = groups('a', 2);
    const log = buildLog({ number: 7, firstSequence: 501, groups: all });
    for (let length = 0; length < log.offsets[2]!; length++) {
      const state = recover([cut(log, length)], { logNumber: 7, lastSequence: 500, sealedLogs: [] });
      assert.equal(state.lastSequence, 500, `cut at ${length}`);
      for (const { memtable } of state.memtables)
        assert.equal(memtable.nextSequence, 501, `the next write after a cut at ${length}`);
    }
  });
});

describe('numbers that no log has', () => {
  const first = groups('a', 3);
  const second = groups('b', 2);
  const a = buildLog({ number: 3, firstSequence: 1, groups: first });
  const chain = (firstSequence: number): BuiltLog[] => [
    a,
    buildLog({ number: 5, firstSequence, previousLog: 3, previousBytes: a.bytes.length, groups: second }),
  ];

  test('of an ingestion that came in between are left out, and the writes behind it keep theirs', () => {
    const manifest = { logNumber: 0, lastSequence: 999, sealedLogs: [] };
    const state = recover(chain(1000), manifest);
    assert.deepEqual(recoveredWrites(state), [...writesOf(first), ...writesOf(second)]);
    assert.deepEqual(
      state.memtables.map(({ memtable }) => [memtable.arena.firstSequence, memtable.nextSequence]),
      [
        [1, a.nextSequence],
        [1000, 1003],
      ],
    );
    assert.equal(state.lastSequence, 1002);
  });

  test('are missing writes if the manifest does not know of them, and damage if two logs have them', () => {
    assertRefused(() => recover(chain(1000)), 'a gap');
    assertRefused(() => recover(chain(a.nextSequence - 1)), 'an overlap');
    assert.deepEqual(recover(chain(a.nextSequence)).memtables.length, 1);
  });
});

describe('pages lost in a power cut', () => {
  const PAGE = 4096;
  const big = (name: string, count: number, syncedUpTo: readonly number[]): LogGroup[] =>
    Array.from({ length: count }, (_, g) => ({
      entries: [[`${name}${g}`, String(g).repeat(1500)] as const],
      syncedUpTo: syncedUpTo[g] ?? 0,
    }));

  test('a hole in the part that was never synced ends what counts', () => {
    const all = big('a', 20, []);
    const log = buildLog({ number: 7, firstSequence: 1, groups: all });
    for (let page = 0; (page + 1) * PAGE < log.bytes.length; page++) {
      const intact = Math.max(0, log.offsets.filter((offset) => offset <= page * PAGE).length - 2);
      const state = recover([zeroed(log, page * PAGE, (page + 1) * PAGE)]);
      assert.deepEqual(recoveredWrites(state), writesOf(all, intact), `page ${page}`);
    }
  });

  test('a hole below what a later record calls synced is refused', () => {
    const plain = buildLog({ number: 7, firstSequence: 1, groups: big('a', 20, []) });
    const syncedUpTo = plain.offsets[15]!;
    const all = big(
      'a',
      20,
      Array.from({ length: 20 }, (_, g) => (g >= 16 ? syncedUpTo : 0)),
    );
    const log = buildLog({ number: 7, firstSequence: 1, groups: all });
    for (let page = 0; (page + 1) * PAGE < log.offsets[17]!; page++) {
      const damaged = zeroed(log, page * PAGE, (page + 1) * PAGE);
      const start = log.offsets.findLast((offset) => offset <= page * PAGE)!;
      if (start < syncedUpTo) assertRefused(() => recover([damaged]), `page ${page}`);
      else recover([damaged]);
    }
  });
});

describe('a chain of logs', () => {
  const first = groups('a', 3);
  const second = groups('b', 3);
  const third = groups('c', 2);
  const a = buildLog({ number: 3, firstSequence: 1, groups: first });
  const b = buildLog({
    number: 5,
    firstSequence: a.nextSequence,
    previousLog: 3,
    previousBytes: a.bytes.length,
    groups: second,
  });
  const c = buildLog({
    number: 8,
    firstSequence: b.nextSequence,
    previousLog: 5,
    previousBytes: b.bytes.length,
    groups: third,
  });

  test('all of it comes back, in order, however often it is read', () => {
    for (let i = 0; i < 3; i++)
      assert.deepEqual(recoveredWrites(recover([a, b, c])), [
        ...writesOf(first),
        ...writesOf(second),
        ...writesOf(third),
      ]);
  });

  test('a log in the middle that was damaged or cut is refused or ends the prefix, and never leaves a gap', () => {
    for (let offset = 0; offset < b.bytes.length; offset++) {
      const bytes = b.bytes.slice();
      bytes[offset]! ^= 0x04;
      assertRefused(() => recover([a, withBytes(b, bytes), c]), `byte ${offset}`);
    }
    for (let length = 0; length < b.bytes.length; length++) {
      const writes = recoveredWrites(recover([a, cut(b, length), c]));
      const everything = [...writesOf(first), ...writesOf(second)];
      assert.deepEqual(writes, everything.slice(0, writes.length), `cut at ${length}`);
    }
  });

  test('a missing log drops what follows it, unless something there was synced', () => {
    assert.deepEqual(recoveredWrites(recover([a, c])), writesOf(first));
    for (const left of [cut(b, 0), cut(b, 20), zeroed(b, 0, b.bytes.length)])
      assert.deepEqual(recoveredWrites(recover([a, left, c])), writesOf(first));
    const synced = groups('c', 2, [0, 60]);
    const evidence = buildLog({
      number: 8,
      firstSequence: 1,
      previousLog: 5,
      previousBytes: 100,
      groups: synced,
    });
    assertRefused(() => recover([a, evidence]), 'log 5 is missing, and log 8 was synced');
  });

  test('a synced log that is cut or missing is refused, although nothing later was ever synced', () => {
    const synced = b.offsets[2]!;
    const next = buildLog({
      number: 8,
      firstSequence: b.nextSequence,
      previousLog: 5,
      previousBytes: b.bytes.length,
      previousSynced: synced,
      groups: third,
    });
    assertRefused(() => recover([a, next]), 'log 5 is missing');
    for (let length = 0; length < b.bytes.length; length++) {
      if (length < synced) assertRefused(() => recover([a, cut(b, length), next]), `cut at ${length}`);
      else recover([a, cut(b, length), next]);
    }
  });

  test('a log given up by an earlier recovery stays away, and what came after it stays', () => {
    const cutAt = a.offsets[2]!;
    const holed = withBytes(a, new Uint8Array(Buffer.concat([a.bytes.slice(0, cutAt), Buffer.alloc(300)])));
    const kept = writesOf(first, 1);
    assert.deepEqual(recoveredWrites(recover([holed, b])), kept, 'log 5 is given up');
    const after = groups('d', 3);
    const d = buildLog({ number: 9, firstSequence: 2, previousLog: 3, previousBytes: cutAt, groups: after });
    for (let length = 0; length <= d.bytes.length; length++) {
      const intact = Math.max(0, d.offsets.filter((offset) => offset <= length).length - 2);
      const state = recover([holed, b, cut(d, length)]);
      assert.deepEqual(recoveredWrites(state), [...kept, ...writesOf(after, intact)], `cut at ${length}`);
    }
  });

  test('records behind the length that the next log names do not count', () => {
    const after = groups('d', 2);
    for (const [i, offset] of a.offsets.entries()) {
      if (i < 1) continue;
      const kept = writesOf(first, i - 1);
      const next = {
        number: 9,
        firstSequence: 1 + kept.length,
        previousLog: 3,
        previousBytes: offset,
        groups: after,
      };
      assert.deepEqual(
        recoveredWrites(recover([a, buildLog(next)])),
        [...kept, ...writesOf(after)],
        `cut at ${offset}`,
      );
    }
  });

  test('logs below the number of the manifest are not looked at', () => {
    const manifest = { logNumber: 5, lastSequence: a.nextSequence - 1, sealedLogs: [] };
    const expected = [...writesOf(second), ...writesOf(third)];
    assert.deepEqual(recoveredWrites(recover([b, c], manifest)), expected);
    assert.deepEqual(recoveredWrites(recover([cut(a, 50), b, c], manifest)), expected);
  });

  test('a log that names itself or a later one as its predecessor is refused', () => {
    for (const previousLog of [8, 9]) {
      const loop = buildLog({ number: 8, firstSequence: 1, previousLog, previousBytes: 10, groups: third });
      assertRefused(() => recover([a, b, loop]), `predecessor ${previousLog}`);
    }
  });
});

function assertRefused(action: () => unknown, where: string): void {
  assert.throws(
    action,
    (error: unknown) => error instanceof CorruptionError && error.file !== undefined,
    `expected a CorruptionError with its file: ${where}`,
  );
}
