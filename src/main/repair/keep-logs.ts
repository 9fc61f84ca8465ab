/**
 * Whether the logs can stay as they are: open would replay them without complaint.
 *
 * Without a manifest it is not known where the logs in use begin. Logs are deleted oldest first, once they are in tables, so
 * those that are there and linked to the newest hold the newest writes of all: replaying them over the tables is right,
 * whether or not the first of them are in tables already.
 *
 * Thread: main. Reads only.
 */
import { CorruptionError } from '../../shared/base/errors.ts';
import { fileNumber } from '../../shared/base/ids.ts';
import { logName, logPath } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully } from '../../shared/files/file-system.ts';
import {
  MIN_START_PAYLOAD_BYTES,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
  readStart,
  START_RECORD_BYTES,
} from '../../shared/log/log-format.ts';
import type { ManifestState } from '../manifest/manifest.ts';
import { type LogManifest, recoverLogs } from '../open/recovery.ts';

export interface KeptLogs {
  readonly logNumber: number;
  /** The sequence number before the first in these logs: what a manifest that goes with them must at least know of. */
  readonly sequenceBefore: number;
  readonly logs: readonly { readonly name: string; readonly entries: number }[];
}

/**
 * @throws CorruptionError when open would; also, without a manifest, when the logs end before the tables do.
 * `tablesEndAt` is the highest sequence number in a table.
 */
export function keepLogs(
  fs: FileSystem,
  directory: string,
  numbers: readonly number[],
  manifest: ManifestState | undefined,
  tablesEndAt: number,
  writeBufferBytes: number,
): KeptLogs {
  const first = manifest === undefined ? firstInChain(fs, directory, numbers) : undefined;
  const logNumber = manifest?.logNumber ?? first?.number ?? 0;
  const sequenceBefore = Math.max(0, (first?.firstSequence ?? 1) - 1);
  const known: LogManifest = manifest ?? { logNumber, lastSequence: sequenceBefore, sealedLogs: [] };
  const { memtables, lastSequence, logs } = recoverLogs(fs, directory, known, writeBufferBytes);
  if (manifest === undefined && logs.length > 0 && lastSequence < tablesEndAt)
    throw new CorruptionError('the logs end before the tables do', { file: directory });
  // Small logs share a memtable; the report gives the sum to the first of them.
  const entries = new Map<number, number>();
  for (const live of memtables) {
    const first = live.logs()[0];
    if (first !== undefined) entries.set(first.number, live.memtable.arena.entryCount);
  }
  return {
    logNumber,
    sequenceBefore,
    logs: logs.map(({ number }) => ({ name: logName(number), entries: entries.get(number) ?? 0 })),
  };
}

interface ChainLink {
  readonly number: number;
  readonly firstSequence: number;
  readonly previousLog: number;
}

/** The oldest log that the newest leads back to; undefined without logs. */
function firstInChain(fs: FileSystem, directory: string, numbers: readonly number[]): ChainLink | undefined {
  const newest = numbers.at(-1);
  if (newest === undefined) return undefined;
  let first = readLink(fs, directory, newest);
  while (first.previousLog < first.number && numbers.includes(first.previousLog))
    first = readLink(fs, directory, first.previousLog);
  return first;
}

function readLink(fs: FileSystem, directory: string, number: number): ChainLink {
  const path = logPath(directory, fileNumber(number));
  const file = fs.openRead(path);
  try {
    const bytes = new Uint8Array(START_RECORD_BYTES);
    const count = readFully(file, bytes, 0);
    const record = readRecord(bytes, 0, count, number);
    if (record?.type !== RecordType.Start || record.payloadLength < MIN_START_PAYLOAD_BYTES)
      throw new CorruptionError('the log does not begin with a start record', { file: path, offset: 0 });
    const { previousLog } = readStart(bytes, RECORD_HEADER_BYTES);
    return { number, firstSequence: record.firstSequence, previousLog };
  } finally {
    file.close();
  }
}
