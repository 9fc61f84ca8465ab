/**
 * Logs made by hand, byte for byte, and a directory in memory that holds them: what recovery reads, without an engine.
 */

import type { RecoveredState } from '../../src/main/recovery.ts';
import { writeU32 } from '../../src/shared/bytes.ts';
import { logName } from '../../src/shared/file-names.ts';
import type { FileSystem } from '../../src/shared/file-system.ts';
import { fileNumber } from '../../src/shared/ids.ts';
import { EntryKind } from '../../src/shared/iterator.ts';
import {
  LOG_FORMAT_VERSION,
  RECORD_HEADER_BYTES,
  RecordType,
  START_PAYLOAD_BYTES,
  sealRecord,
} from '../../src/shared/log-format.ts';
import { encodedEntryBytes, encodeEntry } from '../../src/shared/memtable/entry-codec.ts';
import { MemtableIterator } from '../../src/shared/memtable/memtable-iterator.ts';
import { MemoryFile } from './memory-file.ts';

/** One write: a value, or undefined for a delete. */
export type LogEntry = readonly [key: string, value: string | undefined];

export interface LogGroup {
  readonly entries: readonly LogEntry[];
  readonly syncedUpTo?: number;
}

export interface LogSpec {
  readonly number: number;
  readonly firstSequence: number;
  readonly previousLog?: number;
  readonly previousBytes?: number;
  readonly previousSynced?: number;
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
  let relative = 0;
  for (const group of spec.groups) {
    parts.push(groupRecord(spec, group, relative));
    relative += group.entries.length;
  }
  const offsets = [0];
  for (const part of parts) offsets.push(offsets.at(-1)! + part.length);
  const bytes = new Uint8Array(Buffer.concat(parts));
  return { number: spec.number, bytes, offsets, nextSequence: spec.firstSequence + relative };
}

function startRecord(spec: LogSpec): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + START_PAYLOAD_BYTES);
  writeU32(bytes, RECORD_HEADER_BYTES, LOG_FORMAT_VERSION);
  writeU32(bytes, RECORD_HEADER_BYTES + 4, spec.previousLog ?? 0);
  writeU32(bytes, RECORD_HEADER_BYTES + 8, spec.previousBytes ?? 0);
  writeU32(bytes, RECORD_HEADER_BYTES + 12, spec.previousSynced ?? 0);
  sealRecord(bytes, 0, {
    type: RecordType.Start,
    logNumber: spec.number,
    firstSequence: spec.firstSequence,
    syncedUpTo: 0,
    payloadLength: START_PAYLOAD_BYTES,
  });
  return bytes;
}

function groupRecord(spec: LogSpec, group: LogGroup, firstRelative: number): Uint8Array {
  const entries = group.entries.map(([key, value], i) => encoded(key, value, firstRelative + i));
  const bytes = new Uint8Array(Buffer.concat([new Uint8Array(RECORD_HEADER_BYTES), ...entries]));
  sealRecord(bytes, 0, {
    type: RecordType.Group,
    logNumber: spec.number,
    firstSequence: spec.firstSequence + firstRelative,
    syncedUpTo: group.syncedUpTo ?? 0,
    payloadLength: bytes.length - RECORD_HEADER_BYTES,
  });
  return bytes;
}

function encoded(keyText: string, valueText: string | undefined, relative: number): Uint8Array {
  const key = Buffer.from(keyText);
  const value = Buffer.from(valueText ?? '');
  const kind = valueText === undefined ? EntryKind.Delete : EntryKind.Put;
  const bytes = new Uint8Array(encodedEntryBytes(key.length, value.length));
  encodeEntry(bytes, 0, relative, kind, key, 0, key.length, value, 0, value.length);
  return bytes;
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
