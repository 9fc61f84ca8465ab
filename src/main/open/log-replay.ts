/**
 * Makes memtables of logs. A log's bytes are those of a memtable, so a log is read into the memory of an arena, judged there,
 * and stays: what is left to be made is the index.
 *
 *   load(log)   reads it behind the logs before it, at the start of a bucket, or into a new arena if it does not fit
 *   keep(log)   so much of what was loaded last counts
 *   finish()    per arena: note the sequences of its buckets, sort the entries, build the tree (ref-sort.ts, tree-builder.ts)
 *
 * Memory: an arena per memtable, no more of it touched than the logs' bytes, and 9 bytes per entry of index; for one arena at a
 *         time 8 bytes per entry more, outside the heap. The heap holds nothing per record.
 *
 * Invariants: a log whose sequences do not follow on those before it begins a memtable: within one they are consecutive. Logs of
 *             which nothing counts keep a memtable, so that the next log names them.
 * Thread:     main.     Owns: the arenas, until finish().
 */
import { assert } from '../../shared/base/assert.ts';
import { copyInto } from '../../shared/base/bytes.ts';
import { CorruptionError } from '../../shared/base/errors.ts';
import { fileNumber } from '../../shared/base/ids.ts';
import { MIN_ENTRY_BYTES } from '../../shared/log/log-format.ts';
import { capacityFor, MAX_ARENA_BYTES, MemtableArena } from '../../shared/memtable/arena.ts';
import { Memtable } from '../../shared/memtable/memtable.ts';
import { MOST_PAGE_BYTES } from '../../shared/memtable/memtable-ranges.ts';
import { indexRecovered, type LogRegion } from '../../shared/memtable/recovered-index.ts';
import { builtNodeBytes } from '../../shared/memtable/tree-builder.ts';
import { createMemtable, LiveMemtable, type LogExtent } from '../write/memtable-list.ts';
import type { LogFile } from './log-files.ts';
import type { RecoveredLog } from './log-reader.ts';

/** Logs in an arena start at multiples of this: at the start of a bucket. */
const ALIGNMENT = 1024;

interface Loaded {
  arena: MemtableArena;
  readonly logs: RecoveredLog[];
  /** Where each of `logs` is, counted from the start of the data. */
  readonly offsets: number[];
  /** Where the last of them ends. */
  usedBytes: number;
  /** Bytes from here on were never written: what lies before it, behind `usedBytes`, is of logs of which less counts than was
   * read. */
  readBytes: number;
}

export class LogReplay {
  readonly #writeBufferBytes: number;
  readonly #loaded: Loaded[] = [];
  /** Of the logs still to come, this one included. */
  #bytesToCome: number;

  constructor(writeBufferBytes: number, totalLogBytes: number) {
    this.#writeBufferBytes = writeBufferBytes;
    this.#bytesToCome = totalLogBytes;
  }

  /** Reads the log; returns its bytes, and what they are. */
  load(file: LogFile): { readonly bytes: Uint8Array; readonly log: RecoveredLog } {
    const length = file.lengthBytes;
    let target = this.#loaded.at(-1);
    if (target === undefined || !this.#hasRoom(target, length)) target = this.#begin(length, file);
    this.#bytesToCome -= length;
    const at = target.arena.dataStart + aligned(target.usedBytes);
    target.readBytes = Math.max(target.readBytes, aligned(target.usedBytes) + length);
    const bytes = target.arena.bytes.subarray(at, at + length);
    return { bytes, log: file.load(bytes) };
  }

  #hasRoom({ arena, usedBytes }: Loaded, length: number): boolean {
    return (
      aligned(usedBytes) + length <= Math.min(this.#writeBufferBytes, arena.capacityBytes - arena.dataStart)
    );
  }

  /** As large as any memtable, or as what is to come can get; larger only for a log that would not fit. */
  #begin(length: number, file: LogFile): Loaded {
    const all = this.#bytesToCome + ALIGNMENT;
    const most = capacityFor(all + builtNodeBytes(Math.ceil(all / MIN_ENTRY_BYTES)) + MOST_PAGE_BYTES);
    const least = capacityFor(length + ALIGNMENT);
    if (least > MAX_ARENA_BYTES) throw tooLarge(file.path);
    const capacity = Math.max(least, Math.min(most, this.#writeBufferBytes));
    const loaded = {
      arena: MemtableArena.create(capacity, file.firstSequence),
      logs: [],
      offsets: [],
      usedBytes: 0,
      readBytes: 0,
    };
    this.#loaded.push(loaded);
    return loaded;
  }

  /** The log that was loaded last counts as far as `log` says. */
  keep(log: RecoveredLog): void {
    let target = this.#loaded.at(-1);
    assert(target !== undefined, 'no log was loaded');
    const before = target.logs.at(-1);
    if (before !== undefined && before.firstSequence + before.entryCount !== log.firstSequence)
      target = this.#move(target, log);
    const offset = aligned(target.usedBytes);
    target.logs.push(log);
    target.offsets.push(offset);
    target.usedBytes = offset + log.validBytes;
  }

  /** The log is to begin a memtable after all. */
  #move({ arena, usedBytes }: Loaded, log: RecoveredLog): Loaded {
    const moved = MemtableArena.create(capacityFor(log.validBytes + ALIGNMENT), log.firstSequence);
    const from = arena.dataStart + aligned(usedBytes);
    copyInto(moved.bytes, moved.dataStart, arena.bytes, from, from + log.validBytes);
    const loaded = { arena: moved, logs: [], offsets: [], usedBytes: 0, readBytes: log.validBytes };
    this.#loaded.push(loaded);
    return loaded;
  }

  /** The memtables, oldest first; `nextSequence` is that of the next write. */
  finish(nextSequence: number): LiveMemtable[] {
    return this.#loaded
      .splice(0)
      .filter(({ logs }) => logs.length > 0)
      .map((loaded) => finishOne(loaded, nextSequence));
  }
}

function finishOne(loaded: Loaded, nextSequence: number): LiveMemtable {
  const { logs, offsets } = loaded;
  const extents = logs.map(extentOf);
  const count = logs.reduce((sum, log) => sum + log.entryCount, 0);
  if (count === 0) return new LiveMemtable(createMemtable(0, 0, nextSequence), undefined, extents);
  const arena = withRoomFor(loaded, builtNodeBytes(count) + MOST_PAGE_BYTES);
  // The index will lie there, and takes it for what it was: zero.
  if (arena === loaded.arena)
    arena.bytes.fill(0, arena.dataStart + loaded.usedBytes, arena.dataStart + loaded.readBytes);
  arena.reserve(loaded.usedBytes);
  const regions: LogRegion[] = logs.map((log, i) => {
    const start = arena.dataStart + offsets[i]!;
    return { start, end: start + log.validBytes };
  });
  indexRecovered(arena, regions, count);
  arena.publish(count);
  return new LiveMemtable(new Memtable(arena), undefined, extents);
}

export function extentOf(log: RecoveredLog): LogExtent {
  return {
    number: fileNumber(log.number),
    sizeBytes: log.validBytes,
    firstSequence: log.firstSequence,
    startedAtMs: log.start?.startedAtMs ?? 0,
    hasBorders: (log.start?.epochId ?? '') !== '',
  };
}

/** The arena, or a larger copy: of entries that were written into a larger one there may be more than fit. */
function withRoomFor({ arena, usedBytes, logs }: Loaded, nodeBytes: number): MemtableArena {
  if (arena.dataStart + usedBytes + nodeBytes <= arena.capacityBytes) return arena;
  const capacity = capacityFor(usedBytes + nodeBytes + ALIGNMENT);
  if (capacity > MAX_ARENA_BYTES) throw tooLarge(logs.at(-1)!.path);
  const larger = MemtableArena.create(capacity, arena.firstSequence);
  copyInto(larger.bytes, larger.dataStart, arena.bytes, arena.dataStart, arena.dataStart + usedBytes);
  return larger;
}

function tooLarge(path: string): CorruptionError {
  return new CorruptionError('the log has more than a memtable can hold', { file: path });
}

function aligned(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT;
}
