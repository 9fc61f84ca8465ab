/**
 * What a client may ask for: the arguments of each call, checked before anything happens upon it.
 *
 * A client is a thread of the same process, but whatever has a port may post into it: another version of this package, or a
 * program that mistook the port for its own. What it sends would go into the log of everybody, and into the manifest.
 *
 * Invariants: what passes here is of the right types, sizes and order; writes are what recovery would read out of the log; runs
 *             have the form that planning their merge relies on. Bytes belong to this thread alone: nobody changes them after.
 * Thread:     main. Pure.
 */
import { types } from 'node:util';
import { MessagePort } from 'node:worker_threads';
import { compareKeys } from '../../shared/base/bytes.ts';
import { EntryKind } from '../../shared/base/entry.ts';
import { userBytesOf } from '../../shared/base/expiry.ts';
import { MAX_BATCH_BYTES, MAX_KEY_BYTES } from '../../shared/base/limits.ts';
import { MAX_BOUND_BYTES } from '../../shared/base/range-delete.ts';
import { type RunMeta, sampleKey } from '../../shared/ingest/run.ts';
import type { ArgumentChecks } from '../../shared/threads/calls.ts';
import {
  MARK_WORDS,
  MarkFlag,
  type OwnerCalls,
  type WireWrites,
} from '../../shared/threads/share-protocol.ts';
import { EntryReader } from '../open/entry-walk.ts';

type Given = readonly unknown[];

const MAX_POSITION_LENGTH = 256;

export const CALL_CHECKS: ArgumentChecks<OwnerCalls> = {
  attach: (given) => given.length === 1 && given[0] instanceof MessagePort,
  write: (given) => given.length === 1 && isWrites(given[0]),
  flush: isEmpty,
  // Its bounds are those of the engine's own method, which checks them.
  compact: (given) => given.length === 1 && isRecord(given[0]),
  transactionBegin: (given) => given.length === 1 && (given[0] === undefined || isCount(given[0])),
  transactionCommit: ([id, reads, writes, ...more]) =>
    isCount(id) && isReads(reads) && isOneWrite(writes) && more.length === 0,
  transactionEnd: (given) => given.length === 1 && isCount(given[0]),
  ingestBegin: isEmpty,
  ingestReserve: (given) => given.length === 1 && isCount(given[0]),
  ingestFinish: ([id, sorted, progressPort, ...more]) =>
    isCount(id) &&
    isSorted(sorted) &&
    (progressPort === undefined || progressPort instanceof MessagePort) &&
    more.length === 0,
  ingestAbort: (given) => given.length === 1 && isCount(given[0]),
  // Whether it is a position is found out when it is read.
  changesBegin: (given) =>
    given.length === 1 && typeof given[0] === 'string' && given[0].length <= MAX_POSITION_LENGTH,
  changesNext: (given) => given.length === 1 && isCount(given[0]),
  changesEnd: (given) => given.length === 1 && isCount(given[0]),
};

function isEmpty(given: Given): boolean {
  return given.length === 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** In memory of its own: what is shared could change after it was checked. */
function isPrivate(value: unknown): boolean {
  return ArrayBuffer.isView(value) && types.isArrayBuffer(value.buffer);
}

function isBytes(value: unknown): value is Uint8Array {
  return types.isUint8Array(value) && isPrivate(value);
}

const reader = new EntryReader();

/** The marks of a turn's writes, and the entries of each: as many, as long and of such bytes as they say. */
function isWrites(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { bytes, marks } = value;
  if (!isBytes(bytes) || !types.isUint32Array(marks) || !isPrivate(marks)) return false;
  if (marks.length === 0 || marks.length % MARK_WORDS !== 0) return false;
  let start = 0;
  for (let i = 0; i < marks.length; i += MARK_WORDS) {
    const byteLength = marks[i]!;
    if (
      byteLength > MAX_BATCH_BYTES ||
      byteLength > bytes.length - start ||
      marks[i + 3]! > (MarkFlag.Sync | MarkFlag.Batch)
    )
      return false;
    const end = start + byteLength;
    if (!isBatch(bytes, start, end, marks[i + 1]!, marks[i + 2]!)) return false;
    start = end;
  }
  return start === bytes.length;
}

/** The writes of a transaction: all of them or none. */
function isOneWrite(value: unknown): boolean {
  return isWrites(value) && (value as WireWrites).marks.length === MARK_WORDS;
}

/** Keys one behind the other, and ranges. */
function isReads(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { keys, ends, ranges } = value;
  if (!isBytes(keys) || !types.isUint32Array(ends) || !isPrivate(ends) || !Array.isArray(ranges))
    return false;
  if (typeof value['mayExpire'] !== 'boolean') return false;
  let start = 0;
  for (const end of ends) {
    if (end < start || end - start > MAX_KEY_BYTES) return false;
    start = end;
  }
  return start === keys.length && ranges.every(isRange);
}

function isRange(value: unknown): boolean {
  return isRecord(value) && isBound(value['start']) && isBound(value['end']);
}

function isBound(value: unknown): boolean {
  return value === undefined || (isBytes(value) && value.length <= MAX_BOUND_BYTES);
}

function isBatch(bytes: Uint8Array, start: number, end: number, count: number, dataBytes: number): boolean {
  let position = start;
  let found = 0;
  let foundBytes = 0;
  while (position < end) {
    // Without a place in a log the tag has no ordinal.
    if (bytes[position]! > 1) return false;
    position = reader.read(bytes, position, end);
    if (position < 0 || (reader.kind === EntryKind.Delete && reader.valueLength > 0)) return false;
    found++;
    foundBytes += userBytesOf(reader.kind, reader.keyLength, reader.valueLength);
  }
  return found > 0 && found === count && foundBytes === dataBytes;
}

/** Records, and runs that can hold them. */
function isSorted(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { runs, recordCount, byteCount } = value;
  if (!Array.isArray(runs) || !isCount(recordCount) || !isCount(byteCount)) return false;
  if (!runs.every(isRun)) return false;
  const numbers = new Set(runs.map(({ number }) => number));
  const stored = runs.reduce((sum, run) => sum + run.recordCount, 0);
  return numbers.size === runs.length && stored <= recordCount && runs.length > 0 === recordCount > 0;
}

function isRun(value: unknown): value is RunMeta {
  if (!isRecord(value)) return false;
  const { number, sizeBytes, recordCount, largestKey, samples } = value;
  return (
    isCount(number) &&
    isCount(sizeBytes) &&
    isCount(recordCount) &&
    recordCount > 0 &&
    isKey(largestKey) &&
    isSamples(samples, sizeBytes, largestKey)
  );
}

function isKey(value: unknown): value is Uint8Array {
  return isBytes(value) && value.length <= MAX_KEY_BYTES;
}

/** Keys and offsets rise strictly, the first block begins the file, and no key lies above the largest. */
function isSamples(value: unknown, sizeBytes: number, largestKey: Uint8Array): boolean {
  if (!isRecord(value)) return false;
  const { keys, ends, offsets } = value;
  if (!isBytes(keys) || !types.isUint32Array(ends) || !types.isFloat64Array(offsets)) return false;
  if (!isPrivate(ends) || !isPrivate(offsets)) return false;
  const count = offsets.length;
  if (count === 0 || ends.length !== count || ends[count - 1] !== keys.length || offsets[0] !== 0)
    return false;
  let previous: Uint8Array | undefined;
  for (let i = 0; i < count; i++) {
    const start = i === 0 ? 0 : ends[i - 1]!;
    if (ends[i]! < start || ends[i]! - start > MAX_KEY_BYTES) return false;
    if (!isCount(offsets[i]) || offsets[i]! >= sizeBytes || (i > 0 && offsets[i]! <= offsets[i - 1]!))
      return false;
    const key = sampleKey({ keys, ends, offsets }, i);
    if (previous !== undefined && compareKeys(previous, key) >= 0) return false;
    previous = key;
  }
  return previous !== undefined && compareKeys(previous, largestKey) <= 0;
}
