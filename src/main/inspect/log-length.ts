/**
 * How long a log was when it was complete, which the log itself can't say: a clean close writes it into the manifest, and the
 * next log's start record names the log before it and its length. Bytes behind that do not count, and fewer are damage.
 *
 * Invariants: reads only. A manifest or a log that can't be read says nothing.
 * Thread:     main.
 */
import { basename, dirname, join } from 'node:path';
import { MANIFEST_NAME, parseFileName } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully } from '../../shared/files/file-system.ts';
import {
  RECORD_HEADER_BYTES,
  readRecord,
  readStart,
  START_RECORD_BYTES,
} from '../../shared/log/log-format.ts';
import { faultOf } from './inspected-file.ts';
import type { KnownLength } from './log-facts.ts';
import { readManifest } from './manifest-facts.ts';

/** undefined: nobody says. `path`: of the log `number`, under its name. */
export function knownLength(
  fs: FileSystem,
  path: string,
  number: number | undefined,
): KnownLength | undefined {
  if (number === undefined || parseFileName(basename(path))?.kind !== 'log') return undefined;
  const directory = dirname(path);
  return fromSuccessor(fs, directory, number) ?? fromManifest(fs, directory, number);
}

function fromManifest(fs: FileSystem, directory: string, number: number): KnownLength | undefined {
  const path = join(directory, MANIFEST_NAME);
  try {
    if (fs.stat(path)?.kind !== 'file') return undefined;
    const { state } = readManifest(fs, path);
    const sealed = state?.sealedLogs.find((log) => log.number === number);
    return sealed && { bytes: sealed.sizeBytes, from: MANIFEST_NAME };
  } catch (error) {
    // Damaged or just replaced: it says nothing of this log, and dump-manifest says why.
    faultOf(error);
    return undefined;
  }
}

/** Of several that say they followed this one the newest counts: each recovery makes a new one. */
function fromSuccessor(fs: FileSystem, directory: string, number: number): KnownLength | undefined {
  const later = fs.list(directory).flatMap((name) => {
    const file = parseFileName(name);
    return file?.kind === 'log' && file.number > number ? [{ name, number: file.number }] : [];
  });
  later.sort((a, b) => b.number - a.number);
  for (const log of later) {
    const start = startOf(fs, join(directory, log.name), log.number);
    if (start?.previousLog === number) return { bytes: start.previousBytes, from: log.name };
  }
  return undefined;
}

function startOf(fs: FileSystem, path: string, number: number): ReturnType<typeof readStart> | undefined {
  try {
    const file = fs.openRead(path);
    try {
      const bytes = new Uint8Array(START_RECORD_BYTES);
      const count = readFully(file, bytes, 0);
      return readRecord(bytes, 0, count, number) && readStart(bytes, RECORD_HEADER_BYTES);
    } finally {
      file.close();
    }
  } catch (error) {
    // Gone meanwhile, or not to be read: it says nothing of this log.
    faultOf(error);
    return undefined;
  }
}
