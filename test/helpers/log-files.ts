/**
 * Logs made by hand, byte for byte, and a directory in memory that holds them: what recovery reads, without an engine.
 */

import { EntryWalk } from '../../src/main/open/entry-walk.ts';
import type { RecoveredState } from '../../src/main/open/recovery.ts';
import { writeU32, writeU64 } from '../../src/shared/base/bytes.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import { EntryKind } from '../../src/shared/base/entry.ts';
import { fileNumber } from '../../src/shared/base/ids.ts';
import { logName } from '../../src/shared/files/file-names.ts';
import type { FileSystem } from '../../src/shared/files/file-system.ts';
import { encodedEntryBytes, encodeEntry, tagOf } from '../../src/shared/log/entry-codec.ts';
import {
  holdsWrites,
  LOG_FORMAT_VERSION,
  NoteTag,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
  START_RECORD_BYTES,
  sealRecord,
  sealStart,
} from '../../src/shared/log/log-format.ts';
import { MemtableIterator } from '../../src/shared/memtable/memtable-iterator.ts';
import { MemoryFile } from './memory-file.ts';

/** One write: a value, or undefined for a delete; or, with a kind, the value as that kind has it, byte for byte. */
export type LogEntry = readonly [key: string, value: string | Uint8Array | undefined, kind?: EntryKind];

export interface LogGroup {
  /** Without: a note record. */
  readonly entries?: readonly LogEntry[];
  readonly timeMs?: number;
  readonly isBatch?: boolean;
  readonly syncedUpTo?: number;
}

export interface LogSpec {
  readonly number: number;
  readonly firstSequence: number;
  readonly previousLog?: number;
  readonly previousBytes?: number;
  readonly previousSynced?: number;
  readonly epoch?: number;
  readonly epochId?: string;
  readonly startedAtMs?: number;
  readonly groups: readonly LogGroup[];
}

export interface BuiltLog {
  readonly number: number;
  readonly bytes: Uint8Array;
  /** Where each record starts, the start record first, and last the end of the log. */
  readonly offsets: readonly number[];
  readonly nextSequence: number;
}

export function buildLog(spec: LogSpec): BuiltLog {
  const parts = [startRecord(spec)];
  const offsets = [0, START_RECORD_BYTES];
  const ordinals = new Ordinals();
  let nextSequence = spec.firstSequence;
  for (const group of spec.groups) {
    const offset = offsets.at(-1)!;
    const part = groupRecord(spec, group, { offset, firstSequence: nextSequence, ordinals });
    parts.push(part);
    offsets.push(offset + part.length);
    nextSequence += group.entries?.length ?? 0;
  }
  return { number: spec.number, bytes: new Uint8Array(Buffer.concat(parts)), offsets, nextSequence };
}

/** How many entries started in each 1024 bytes of a log so far. */
class Ordinals {
  readonly #counts = new Map<number, number>();

  next(offset: number): number {
    const bucket = Math.floor(offset / 1024);
    const ordinal = this.#counts.get(bucket) ?? 0;
    this.#counts.set(bucket, ordinal + 1);
    return ordinal;
  }
}

function startRecord(spec: LogSpec): Uint8Array {
  const bytes = new Uint8Array(START_RECORD_BYTES);
  sealStart(bytes, 0, spec.firstSequence, {
    version: LOG_FORMAT_VERSION,
    logNumber: spec.number,
    previousLog: spec.previousLog ?? 0,
    previousBytes: spec.previousBytes ?? 0,
    previousSynced: spec.previousSynced ?? 0,
    flags: 0,
    epoch: spec.epoch ?? 1,
    startedAtMs: spec.startedAtMs ?? 0,
    epochId: spec.epochId ?? '',
  });
  return bytes;
}

interface GroupPlace {
  readonly offset: number;
  readonly firstSequence: number;
  readonly ordinals: Ordinals;
}

function groupRecord(spec: LogSpec, group: LogGroup, place: GroupPlace): Uint8Array {
  const parts: Uint8Array[] = [new Uint8Array(RECORD_HEADER_BYTES)];
  let offset = place.offset + RECORD_HEADER_BYTES;
  if (group.timeMs !== undefined) parts.push(timeNote(group.timeMs));
  for (const entry of group.entries ?? []) {
    const part = encoded(entry, place.ordinals.next(offset));
    parts.push(part);
    offset += part.length;
  }
  const bytes = new Uint8Array(Buffer.concat(parts));
  sealRecord(bytes, 0, {
    type:
      group.timeMs !== undefined
        ? RecordType.Note
        : group.isBatch === true
          ? RecordType.Batch
          : RecordType.Group,
    logNumber: spec.number,
    firstSequence: place.firstSequence,
    syncedUpTo: group.syncedUpTo ?? 0,
    payloadLength: bytes.length - RECORD_HEADER_BYTES,
  });
  return bytes;
}

function timeNote(timeMs: number): Uint8Array {
  const field = new Uint8Array([NoteTag.Time, 8, ...new Uint8Array(8)]);
  writeU64(field, 2, timeMs);
  return field;
}

function encoded([keyText, given, asked]: LogEntry, ordinal: number): Uint8Array {
  const key = Buffer.from(keyText);
  const value = typeof given === 'string' ? Buffer.from(given) : (given ?? new Uint8Array(0));
  const kind = asked ?? (given === undefined ? EntryKind.Delete : EntryKind.Put);
  const bytes = new Uint8Array(encodedEntryBytes(key.length, value.length, kind));
  encodeEntry(bytes, 0, tagOf(kind) + ordinal * 2, key, 0, key.length, value, 0, value.length);
  return bytes;
}

/** Makes the checksum of bytes[start, end), a record of log `number`, right again, as a hostile writer would. */
export function resealRecord(bytes: Uint8Array, start: number, end: number, number: number): void {
  writeU32(bytes, start, crc32(bytes, start + 4, end, number));
}

/** A directory of logs in memory; only what recovery calls is there. */
export function logDirectory(logs: ReadonlyMap<number, Uint8Array>): FileSystem {
  const byName = new Map([...logs].map(([number, bytes]) => [logName(fileNumber(number)), bytes]));
  const partial: Partial<FileSystem> = {
    list: () => [...byName.keys()],
    openRead: (path) => {
      const bytes = byName.get(path.slice(path.lastIndexOf('/') + 1));
      if (bytes === undefined) throw new Error(`there is no ${path}`);
      return new MemoryFile(path, bytes);
    },
  };
  return partial as FileSystem;
}

/** Everything recovered, in the order of writing, as `key=value` or `key-` for a delete. */
export function recoveredWrites(state: RecoveredState): string[] {
  const writes: { readonly sequence: number; readonly text: string }[] = [];
  for (const { memtable } of state.memtables) {
    const iterator = new MemtableIterator(memtable, Number.MAX_SAFE_INTEGER);
    for (let ok = iterator.seekToFirst(); ok; ok = iterator.next()) {
      const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd, sequence, kind } = iterator.entry;
      const key = Buffer.from(keyBytes.slice(keyStart, keyEnd)).toString();
      const value = Buffer.from(valueBytes.slice(valueStart, valueEnd)).toString();
      writes.push({ sequence, text: kind === EntryKind.Delete ? `${key}-` : `${key}=${value}` });
    }
  }
  return writes.sort((a, b) => a.sequence - b.sequence).map(({ text }) => text);
}

/** Where the first record with entries begins: a note of the time may stand before it, when the clock has moved on. */
export function firstWrites(bytes: Uint8Array, number: number): number {
  for (let at = 0; ; ) {
    const record = readRecord(bytes, at, bytes.length, number)!;
    if (holdsWrites(record.type)) return at;
    at += RECORD_HEADER_BYTES + record.payloadLength;
  }
}

/** How many entries each record of a sound log has that has any. */
export function groupCounts(bytes: Uint8Array, number: number): number[] {
  const counts: number[] = [];
  const walk = new EntryWalk();
  for (let at = 0; at < bytes.length; ) {
    const record = readRecord(bytes, at, bytes.length, number)!;
    const end = at + RECORD_HEADER_BYTES + record.payloadLength;
    if (holdsWrites(record.type)) counts.push(walk.count(bytes, at + RECORD_HEADER_BYTES, end, 'log'));
    at = end;
  }
  return counts;
}
