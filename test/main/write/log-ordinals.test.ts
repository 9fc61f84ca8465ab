/**
 * Ordinals of log entries: what a memtable encodes, its log's reader and a recovery take; any other first byte of an entry is
 * refused, whatever the checksum says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLog } from '../../../src/main/open/log-reader.ts';
import { recoverLogs } from '../../../src/main/open/recovery.ts';
import { createMemtable } from '../../../src/main/write/memtable-list.ts';
import { EntryKind } from '../../../src/shared/base/entry.ts';
import { CorruptionError } from '../../../src/shared/base/errors.ts';
import {
  entryEnd,
  entryKeyEnd,
  entryKeyStart,
  entryValueEnd,
  LOG_FORMAT_VERSION,
  RECORD_HEADER_BYTES,
  RecordType,
  START_RECORD_BYTES,
  sealRecord,
  sealStart,
} from '../../../src/shared/log/log-format.ts';
import { MemtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import { buildLog, logDirectory, resealRecord } from '../../helpers/log-files.ts';
import { toWrite } from '../../helpers/memtable-model.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';

interface MadeLog {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly entryCount: number;
}

interface LogPlan {
  readonly number: number;
  readonly firstSequence: number;
  readonly previous: MadeLog | undefined;
  readonly entryCount: number;
}

/** A log as the store makes it: the bytes of a memtable's arena. Entry number n of all has the value n. */
function makeLog({ number, firstSequence, previous, entryCount }: LogPlan, random: Random): MadeLog {
  const memtable = createMemtable(4 << 20, 0, firstSequence);
  const { arena } = memtable;
  sealStart(arena.bytes, arena.dataStart, firstSequence, {
    version: LOG_FORMAT_VERSION,
    logNumber: number,
    previousLog: previous?.number ?? 0,
    previousBytes: previous?.bytes.length ?? 0,
    previousSynced: 0,
    flags: 0,
    epoch: 1,
    startedAtMs: 0,
    epochId: '',
  });
  assert.equal(arena.dataEnd - arena.dataStart, START_RECORD_BYTES);
  while (arena.entryCount < entryCount) {
    const start = arena.reserve(RECORD_HEADER_BYTES);
    const first = memtable.nextSequence;
    for (let n = Math.min(random.between(1, 60), entryCount - arena.entryCount); n > 0; n--) {
      const value = Buffer.from(`${memtable.nextSequence}${' '.repeat(random.pick([0, 0, 0, 30, 700]))}`);
      memtable.append(EntryKind.Put, Buffer.from('k'), 0, random.below(2), value, 0, value.length);
    }
    sealRecord(arena.bytes, start, {
      type: RecordType.Group,
      logNumber: number,
      firstSequence: first,
      syncedUpTo: 0,
      payloadLength: arena.dataEnd - start - RECORD_HEADER_BYTES,
    });
  }
  return { number, bytes: arena.bytes.slice(arena.dataStart, arena.dataEnd), entryCount };
}

test('recovered memtables, of one log or of several, have the sequences that were written', (t) => {
  const random = seededRandom(runSeed(t));
  for (let round = 0; round < 30; round++) {
    const logs: MadeLog[] = [];
    let nextSequence = 1 + random.below(1e9);
    const firstSequence = nextSequence;
    for (let i = 0; i < 4; i++) {
      const plan = { number: 3 + 2 * i, firstSequence: nextSequence, previous: logs.at(-1) };
      const log = makeLog({ ...plan, entryCount: random.below(400) }, random);
      logs.push(log);
      nextSequence += log.entryCount;
    }
    const directory = logDirectory(new Map(logs.map(({ number, bytes }) => [number, bytes])));
    const manifest = { logNumber: 3, lastSequence: firstSequence - 1, sealedLogs: [] };
    // Each log by itself, and as many together as there is room for.
    for (const writeBufferBytes of [1, 50_000, 8 << 20]) {
      const state = recoverLogs(directory, '/db', manifest, writeBufferBytes);
      assert.equal(state.lastSequence, nextSequence - 1);
      const sequences = state.memtables.flatMap(({ memtable }) => {
        const found: number[] = [];
        const iterator = new MemtableIterator(memtable, Number.MAX_SAFE_INTEGER);
        for (let stands = iterator.seekToFirst(); stands; stands = iterator.next()) {
          const { sequence, value } = toWrite(iterator.entry);
          assert.equal(Number(value), sequence);
          found.push(sequence);
        }
        return found.sort((a, b) => a - b);
      });
      for (const [i, sequence] of sequences.entries()) assert.equal(sequence, firstSequence + i);
      assert.equal(sequences.length, nextSequence - firstSequence);
    }
  }
});

test('an entry whose first byte says anything but its ordinal is refused, the checksum being right', () => {
  const groups = Array.from({ length: 12 }, (_, g) => ({
    entries: Array.from({ length: 1 + 9 * (g % 4) }, (__, i): [string, string | undefined] => [
      'k'.repeat(i % 3),
      i % 5 === 0 ? undefined : 'v'.repeat(g === 5 ? 700 : i % 9),
    ]),
  }));
  const { bytes, offsets } = buildLog({ number: 7, firstSequence: 90, groups });
  let largest = 0;
  for (const [r, start] of offsets.slice(1, -1).entries()) {
    const end = offsets[r + 2]!;
    for (let ref = start + RECORD_HEADER_BYTES; ref < end; ) {
      const sound = bytes[ref]!;
      largest = Math.max(largest, sound >>> 1);
      for (let tag = 0; tag < 256; tag++) {
        bytes[ref] = tag;
        resealRecord(bytes, start, end, 7);
        const isAccepted = tag >>> 1 === sound >>> 1;
        if (isAccepted) assert.equal(readLog(bytes, '7.log', 7).validBytes, bytes.length);
        else
          assert.throws(
            () => readLog(bytes, '7.log', 7),
            (error: unknown) => error instanceof CorruptionError && error.offset === ref,
            `${tag} for ${sound} at ${ref}`,
          );
      }
      bytes[ref] = sound;
      resealRecord(bytes, start, end, 7);
      ref = entryEnd(ref, entryValueEnd(bytes, ref, entryKeyEnd(bytes, ref, entryKeyStart(bytes, ref))));
    }
  }
  assert.ok(largest > 20, `the largest ordinal is ${largest}`);
});

test('zeros that fill an entry up, and are none, are refused', () => {
  const { bytes, offsets } = buildLog({ number: 7, firstSequence: 90, groups: [{ entries: [['a', '1']] }] });
  const [, start = 0, end = 0] = offsets;
  assert.equal(end - start, RECORD_HEADER_BYTES + 8);
  for (let at = end - 3; at < end; at++) {
    bytes[at] = 1;
    resealRecord(bytes, start, end, 7);
    assert.throws(() => readLog(bytes, '7.log', 7), CorruptionError, `byte ${at}`);
    bytes[at] = 0;
  }
  resealRecord(bytes, start, end, 7);
  assert.equal(readLog(bytes, '7.log', 7).validBytes, end);
});

test('a value that looks like a record of writes that no log has room for is no proof of damage', () => {
  const lookAlike = (firstSequence: number): string => {
    const record = Buffer.alloc(RECORD_HEADER_BYTES + 3);
    const header = { type: RecordType.Group, logNumber: 7, syncedUpTo: 0, payloadLength: 3 };
    sealRecord(record, 0, { ...header, firstSequence });
    return record.toString('latin1');
  };
  const judge = (firstSequence: number): number => {
    const entries: [string, string][] = [['key', `${'v'.repeat(100)}HERE${'w'.repeat(500)}`]];
    const log = buildLog({ number: 7, firstSequence: 90, groups: [{ entries: [['a', '1']] }, { entries }] });
    const torn = log.bytes.slice(0, log.bytes.length - 50);
    const at = Buffer.from(torn).indexOf('HERE');
    torn.set(Buffer.from(lookAlike(firstSequence), 'latin1'), at);
    const { validBytes } = readLog(torn, '7.log', 7);
    assert.equal(validBytes, log.offsets[2]);
    // What follows the first group, from sequence 91 on, has fewer bytes than this up to the look-alike.
    return at - log.offsets[2]!;
  };
  const distance = judge(2 ** 50);
  assert.equal(judge(91 + distance + 1), distance);
  for (const possible of [1, 90, 91, 92, 91 + distance])
    assert.throws(() => judge(possible), CorruptionError);
});
