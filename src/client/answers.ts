/**
 * What the owner of a store may answer: checked before a client goes by it.
 *
 * The other end of a port may be anything: another version of this package, or a program that made a port of its own look like
 * one. A client must then fail with an error of ours, and neither hang nor crash its thread.
 *
 * Thread: the client's. Pure. What shared memory holds is not looked at here; memtables and tables are, when they are read.
 */
import { types } from 'node:util';
import { isWireError } from '../shared/base/errors.ts';
import { MAX_FILE_NUMBER } from '../shared/base/ids.ts';
import { MAX_BATCH_BYTES } from '../shared/base/limits.ts';
import { PIECE_FIELDS, PieceKind } from '../shared/changes/change-page.ts';
import type { IngestProgress } from '../shared/ingest/ingest-options.ts';
import { LATCH_BYTES } from '../shared/ingest/latch.ts';
import type { ResultChecks } from '../shared/threads/calls.ts';
import { CONTROL_BLOCK_BYTES } from '../shared/threads/control-block.ts';
import type { OwnerCalls } from '../shared/threads/share-protocol.ts';
import { VIEW_SLOTS_BYTES } from '../shared/threads/view-slots.ts';

export const RESULT_CHECKS: ResultChecks<OwnerCalls> = {
  attach: isAttachment,
  write: (failed) =>
    Array.isArray(failed) &&
    failed.every((one) => isRecord(one) && isCount(one['index']) && isWireError(one['error'])),
  flush: isNothing,
  compact: isNothing,
  transactionBegin: (start) =>
    isRecord(start) &&
    isCount(start['id']) &&
    isCount(start['sequence']) &&
    typeof start['timeMs'] === 'number',
  transactionCommit: (isWritten) => typeof isWritten === 'boolean',
  transactionEnd: isNothing,
  ingestBegin: (terms) =>
    isRecord(terms) &&
    isCount(terms['id']) &&
    isCount(terms['chunkBytes'], MAX_BATCH_BYTES) &&
    terms['chunkBytes'] > 0 &&
    isShared(terms['latch'], LATCH_BYTES) &&
    isNumberRange(terms['numbers']),
  ingestReserve: isNumberRange,
  ingestFinish: (report) =>
    isRecord(report) &&
    ['records', 'bytes', 'entries', 'tables', 'tableBytes'].every((name) => isCount(report[name])) &&
    typeof report['elapsedMs'] === 'number',
  ingestAbort: isNothing,
  changesBegin: (id) => isCount(id),
  changesNext: isChangePage,
  changesEnd: isNothing,
};

/** Word of a load that the owner merges. */
export function isProgress(message: unknown): message is IngestProgress {
  return (
    isRecord(message) &&
    (message['phase'] === 'merging' || message['phase'] === 'installing') &&
    isCount(message['records']) &&
    isCount(message['bytes'])
  );
}

function isAttachment(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { directory, control, fileSystem, maxOpenFiles, cacheBytes, sync, slots, view } = value;
  const { maxHeldBytes, unitBytes } = value;
  return (
    typeof directory === 'string' &&
    isShared(control, CONTROL_BLOCK_BYTES) &&
    (fileSystem === undefined || isFileSystemSpec(fileSystem)) &&
    isCount(maxOpenFiles) &&
    maxOpenFiles > 0 &&
    isCount(cacheBytes) &&
    typeof sync === 'boolean' &&
    isCount(maxHeldBytes) &&
    isCount(unitBytes, MAX_BATCH_BYTES) &&
    isHistory(value['history']) &&
    isShared(slots, VIEW_SLOTS_BYTES) &&
    isRecord(view)
  );
}

/** Of its entries only that they lie within the page: decoding them reads nothing else. */
function isChangePage(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { bytes, pieces } = value;
  if (!types.isUint8Array(bytes) || !types.isFloat64Array(pieces)) return false;
  if (pieces.length === 0 || pieces.length % PIECE_FIELDS !== 0) return false;
  for (let at = 0; at < pieces.length; at += PIECE_FIELDS) {
    const [kind, start, end, sequence] = pieces.subarray(at, at + PIECE_FIELDS);
    if (!isCount(kind, PieceKind.LoadEnd) || !isCount(end, bytes.length)) return false;
    if (!isCount(start, end) || !isCount(sequence)) return false;
  }
  return true;
}

function isHistory(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { storeId, closed, id } = value;
  if (typeof storeId !== 'string' || typeof id !== 'string' || !Array.isArray(closed)) return false;
  return closed.every((one) => isRecord(one) && typeof one['id'] === 'string' && isCount(one['end']));
}

function isFileSystemSpec(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { module, anchors } = value;
  const isAnchor = (anchor: unknown): boolean =>
    isRecord(anchor) &&
    typeof anchor['directory'] === 'string' &&
    typeof anchor['place'] === 'string' &&
    typeof anchor['device'] === 'number' &&
    typeof anchor['inode'] === 'number';
  return typeof module === 'string' || (Array.isArray(anchors) && anchors.every(isAnchor));
}

function isNothing(value: unknown): boolean {
  return value === undefined;
}

function isNumberRange(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { first, count } = value;
  return isCount(first, MAX_FILE_NUMBER) && isCount(count, MAX_FILE_NUMBER - first + 1) && count > 0;
}

function isShared(value: unknown, leastBytes: number): boolean {
  return types.isSharedArrayBuffer(value) && value.byteLength >= leastBytes;
}

function isCount(value: unknown, most: number = Number.MAX_SAFE_INTEGER): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
