/**
 * Group commit: turns all writes made in one stretch of synchronous code into one log append.
 *
 *   1. encode the write into the active memtable's arena and index it (within the call: buffers are copied)
 *   2. end the group in the microtask that its first write queued (later while the gate is slow), and queue it
 *   3. seal its record (checksum) and write the log from the arena itself, one write at a time: in place, now or in the
 *      next turn, or through the thread pool (write-placement.ts)
 *   4. publish the group's last sequence: reads see the group from here on
 *   5. resolve the writers; those that asked for `sync` after a shared fdatasync, which overlaps the next groups' writes
 *
 * When the arena is full the memtable is frozen and the group goes to a new one. While the gate is closed or too many
 * frozen memtables wait, writes are copied into a queue and enter later, in order.
 *
 * Invariants: log order = sequence order = publication order. A group is visible whole or not at all.
 *             A failed log write or sync fails this and every later write: what reached the disk is then unknown
 *             ("fsyncgate": a second fsync may report success for lost pages).
 * Thread:     main only.     Owns: the open group, the queue, the held writes.
 */

import { viewOf } from '../shared/bytes.ts';
import { StorageError } from '../shared/errors.ts';
import type { InputBytes } from '../shared/input-bytes.ts';
import { EntryKind } from '../shared/iterator.ts';
import {
  LOG_FORMAT_VERSION,
  RECORD_HEADER_BYTES,
  RecordType,
  sealRecord,
  sealStart,
} from '../shared/log-format.ts';
import { encodedEntryBytes } from '../shared/memtable/entry-codec.ts';
import { worstCaseNodeBytes } from '../shared/memtable/node-room.ts';
import { keepProcessAlive } from '../shared/process-keeper.ts';
import { queueMicrotask, setTimeout } from '../shared/timers.ts';
import { WriteBatch } from '../shared/write-batch.ts';
import { CommitGroup, Deferred } from './commit-group.ts';
import { LogSync, type SyncableLog } from './log-sync.ts';
import type { LogWriter } from './log-writer.ts';
import { createMemtable, LiveMemtable, type MemtableList } from './memtable-list.ts';
import type { WriteGate } from './write-gate.ts';
import { WritePlacement } from './write-placement.ts';

/** Frozen memtables that may wait for their flush before writers are held. */
export const MAX_FROZEN_MEMTABLES = 2;

/** What the pipeline needs from the rest of the store. */
export interface CommitEnvironment {
  readonly memtables: MemtableList;
  readonly gate: WriteGate;
  readonly writeBufferBytes: number;
  /** Logs that recovery read and that may not be durable yet. */
  readonly recoveredLogs: readonly SyncableLog[];
  /** A writer for a new log, numbered after all files there are. */
  createLog(): LogWriter;
  /** The last sequence in use: the next write gets the one after it. */
  readonly lastSequence: number;
  /** Everything up to `sequence` is in the log. */
  publish(sequence: number, logBytes: number): void;
  /** A memtable was frozen, or a frozen one has settled. */
  frozen(): void;
  /** The log cannot be trusted any more: no write may be accepted. */
  failed(error: unknown): void;
}

/** A write that waits for the gate. */
interface HeldWrite {
  readonly batch: WriteBatch;
  readonly sync: boolean;
  readonly deferred: Deferred;
}

export class CommitPipeline {
  readonly #env: CommitEnvironment;
  readonly #logSync: LogSync;
  #open: CommitGroup | undefined;
  #queue: CommitGroup[] = [];
  #isWriting = false;
  readonly #placement = new WritePlacement();
  #held: HeldWrite[] = [];
  #error: unknown;
  #idleWaiters: (() => void)[] = [];
  /** Set while writes are held: somebody may await them. */
  #keepAlive: (() => void) | undefined;

  constructor(env: CommitEnvironment) {
    this.#env = env;
    this.#logSync = new LogSync(env.recoveredLogs, (error) => this.#fail(error));
  }

  /** Whether writes are refused for good: the log or the manifest failed, or the store is closed. */
  get hasFailed(): boolean {
    return this.#error !== undefined;
  }

  /** Writes held back by the gate. */
  get heldCount(): number {
    return this.#held.length;
  }

  /** One put or delete. Copies the bytes before it returns. */
  append(kind: EntryKind, key: InputBytes, value: InputBytes, sync: boolean): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const valueEnd = kind === EntryKind.Put ? value.end : 0;
    const group = this.#groupFor(encodedEntryBytes(key.end, valueEnd), 1);
    if (group === undefined) return this.#holdOne(kind, key, value, sync);
    group.live.memtable.append(kind, key.bytes, 0, key.end, value.bytes, 0, valueEnd);
    return group.promise(sync);
  }

  /** All of a batch, or nothing. Copies the bytes before it returns. */
  appendBatch(batch: WriteBatch, sync: boolean): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const group = this.#groupFor(batch.byteLength, batch.length);
    if (group === undefined) return this.#hold(WriteBatch.copy(batch), sync);
    group.live.memtable.appendEncoded(WriteBatch.encoded(batch), 0, batch.byteLength);
    return group.promise(sync);
  }

  /** The open group with room for the entries, opening one (and a memtable) as needed; undefined: hold the write. */
  #groupFor(dataBytes: number, count: number): CommitGroup | undefined {
    const { memtables, gate } = this.#env;
    if (gate.state === 'closed' || this.#held.length > 0) return undefined;
    const open = this.#open;
    if (open?.live.memtable.hasRoom(dataBytes, count)) return open;
    const active = memtables.active;
    if (active === undefined) this.#activate(dataBytes, count);
    else if (!active.memtable.hasRoom(dataBytes + RECORD_HEADER_BYTES, count)) {
      if (memtables.frozen.length >= MAX_FROZEN_MEMTABLES) {
        gate.set('closed', 'memtables');
        return undefined;
      }
      this.freezeActive();
      this.#activate(dataBytes, count);
    }
    return this.#openGroup();
  }

  #openGroup(): CommitGroup {
    const live = this.#env.memtables.active!;
    const start = live.memtable.arena.reserve(RECORD_HEADER_BYTES);
    const group = new CommitGroup(live, start, live.memtable.nextSequence);
    live.pendingGroups++;
    this.#open = group;
    const delayMs = this.#env.gate.delayMs();
    if (delayMs >= 1) setTimeout(() => this.#commit(group), delayMs);
    else queueMicrotask(() => this.#commit(group));
    return group;
  }

  /** A new memtable, with its log's start record in place. The log's file is created by its first write. */
  #activate(dataBytes: number, count: number): void {
    const { memtables } = this.#env;
    const newest = memtables.newest;
    const previous = newest?.logs().at(-1);
    const minimum = dataBytes + RECORD_HEADER_BYTES + worstCaseNodeBytes(count, 0);
    const memtable = createMemtable(this.#env.writeBufferBytes, minimum, this.#env.lastSequence + 1);
    const writer = this.#env.createLog();
    const { bytes, dataStart, firstSequence } = memtable.arena;
    sealStart(bytes, dataStart, firstSequence, {
      version: LOG_FORMAT_VERSION,
      logNumber: writer.number,
      previousLog: previous?.number ?? 0,
      previousBytes: previous?.sizeBytes ?? 0,
      previousSynced: durableBytes(newest, this.#logSync),
    });
    memtables.activate(new LiveMemtable(memtable, writer));
  }

  /** Freezes the active memtable, for a flush. No-op without writes in it. */
  freezeActive(): void {
    const { memtables } = this.#env;
    if (memtables.active === undefined || memtables.active.isEmpty) return;
    if (this.#open !== undefined) this.#commit(this.#open);
    memtables.freezeActive();
    this.#env.frozen();
  }

  /** Step 2: no further write joins the group. */
  #commit(group: CommitGroup): void {
    if (this.#open !== group) return;
    this.#open = undefined;
    if (this.#error !== undefined) {
      group.fail(this.#error);
      return;
    }
    group.end = group.live.memtable.arena.dataEnd;
    group.entryCount = group.live.memtable.arena.entryCount;
    this.#env.gate.charge(group.end - group.start);
    this.#queue.push(group);
    this.#pump();
  }

  /** Step 3: writes what is queued, in order; the groups of one log in one go. */
  #pump(): void {
    while (!this.#isWriting && this.#queue.length > 0 && this.#error === undefined) {
      const { live } = this.#queue[0]!;
      let count = 1;
      while (count < this.#queue.length && this.#queue[count]!.live === live) count++;
      const writer = live.writer!;
      const start = live.memtable.arena.dataStart + writer.writtenUpTo;
      if (this.#placement.awaitsTurn(this.#queue[count - 1]!.end - start)) this.#pumpInNextTurn();
      else this.#write(live, writer, start, this.#queue.splice(0, count));
    }
    if (!this.#isWriting && this.#queue.length === 0) this.#notifyIdle();
  }

  /** Until then the queue grows, as it does while a write is under way. */
  #pumpInNextTurn(): void {
    this.#isWriting = true;
    this.#placement.afterTurn(() => {
      this.#isWriting = false;
      this.#pump();
    });
  }

  /** Writes all from arena offset `start` up to the end of `groups`. */
  #write(live: LiveMemtable, writer: LogWriter, start: number, groups: readonly CommitGroup[]): void {
    const { arena } = live.memtable;
    for (const group of groups)
      sealRecord(arena.bytes, group.start, {
        type: RecordType.Group,
        logNumber: writer.number,
        firstSequence: group.firstSequence,
        syncedUpTo: writer.syncedUpTo,
        payloadLength: group.end - group.start - RECORD_HEADER_BYTES,
      });
    const bytes = arena.bytes.subarray(start, groups.at(-1)!.end);
    let isWritten: boolean;
    try {
      isWritten = this.#placement.tryInPlace(bytes.length, () => writer.write(bytes));
    } catch (error) {
      this.#fail(error, groups);
      return;
    }
    if (isWritten) {
      this.#complete(live, writer, groups, bytes.length);
      return;
    }
    this.#isWriting = true;
    writer.writeAsync(bytes).then(
      () => {
        this.#isWriting = false;
        if (this.#error !== undefined) this.#fail(this.#error, groups);
        else this.#complete(live, writer, groups, bytes.length);
        this.#pump();
      },
      (error: unknown) => {
        this.#isWriting = false;
        this.#fail(error, groups);
        this.#notifyIdle();
      },
    );
  }

  /** Steps 4 and 5. */
  #complete(live: LiveMemtable, writer: LogWriter, groups: readonly CommitGroup[], logBytes: number): void {
    const last = groups.at(-1)!;
    live.memtable.arena.publish(last.entryCount);
    this.#env.publish(live.memtable.arena.firstSequence + last.entryCount - 1, logBytes);
    live.pendingGroups -= groups.length;
    for (const group of groups) group.written();
    this.#logSync.written(writer);
    for (const group of groups) if (group.wantsSync) this.#logSync.request(group);
    if (live.isSettled) this.#env.frozen();
  }

  #holdOne(kind: EntryKind, key: InputBytes, value: InputBytes, sync: boolean): Promise<void> {
    const batch = new WriteBatch();
    const keyBytes = viewOf(key.bytes, 0, key.end);
    if (kind === EntryKind.Delete) batch.delete(keyBytes);
    else batch.put(keyBytes, viewOf(value.bytes, 0, value.end));
    return this.#hold(batch, sync);
  }

  #hold(batch: WriteBatch, sync: boolean): Promise<void> {
    const deferred = new Deferred();
    this.#held.push({ batch, sync, deferred });
    this.#keepAlive ??= keepProcessAlive();
    return deferred.promise;
  }

  /** Lets held writes in, as many as there is room for: called whenever the gate opens or a memtable leaves. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    let entered = 0;
    for (; entered < held.length; entered++) {
      const { batch, sync, deferred } = held[entered]!;
      const group = this.#groupFor(batch.byteLength, batch.length);
      if (group === undefined) break;
      group.live.memtable.appendEncoded(WriteBatch.encoded(batch), 0, batch.byteLength);
      group.promise(sync).then(deferred.resolve, deferred.reject);
    }
    this.#held = held.slice(entered);
    // The log failed while they entered: #fail() could not see those that were left.
    if (this.#error !== undefined) this.#rejectAll(this.#error);
    else if (this.#held.length === 0) this.#nothingHeld();
  }

  /** Resolves once the writes held back now have been let in and written, or refused; undefined: there are none. */
  held(): Promise<void> | undefined {
    return this.#held.at(-1)?.deferred.promise.catch(() => undefined);
  }

  /** Resolves once what is encoded is in the log; rejects when it can't be written. */
  async written(): Promise<void> {
    while (this.#open !== undefined || this.#queue.length > 0 || this.#isWriting) {
      if (this.#open !== undefined) this.#commit(this.#open);
      if (this.#queue.length > 0 || this.#isWriting) await this.#idle();
    }
    if (this.#error !== undefined) throw this.#error;
  }

  /** Resolves once no write is open, held, queued, being written or being synced. */
  async drain(): Promise<void> {
    for (;;) {
      if (this.#open !== undefined) this.#commit(this.#open);
      const isBusy = this.#isWriting || this.#queue.length > 0 || this.#held.length > 0;
      if (!isBusy) break;
      await this.#idle();
    }
    await this.#logSync.idle();
  }

  /** Rejects the writes that wait for the gate, which will not open in time. */
  rejectHeld(error: StorageError): void {
    const held = this.#held;
    this.#held = [];
    for (const { deferred } of held) deferred.reject(error);
    this.#nothingHeld();
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Syncs every log that has unsynced bytes. */
  async syncAll(): Promise<void> {
    await this.#logSync.syncAll();
  }

  #nothingHeld(): void {
    this.#keepAlive?.();
    this.#keepAlive = undefined;
    this.#notifyIdle();
  }

  #notifyIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** A log write or sync failed. What reached the disk is unknown, so the writes under way are indeterminate. */
  #fail(cause: unknown, groups: readonly CommitGroup[] = []): void {
    if (this.#error === undefined) {
      const message = 'the store takes no more writes: its log could not be written; reopen it to go on';
      this.#error = new StorageError('STRATA_READ_ONLY', message, { cause });
      this.#env.failed(cause);
    }
    for (const group of groups) group.fail(cause);
    this.#rejectAll(cause);
  }

  /** Refuses every write from now on: the manifest failed, or the store is closed. */
  refuse(error: StorageError): void {
    this.#error ??= error;
    this.#rejectAll(error);
  }

  #rejectAll(error: unknown): void {
    const groups = this.#open === undefined ? this.#queue : [...this.#queue, this.#open];
    const held = this.#held;
    this.#open = undefined;
    this.#queue = [];
    this.#held = [];
    for (const group of groups) group.fail(error);
    for (const { deferred } of held) deferred.reject(this.#error);
    this.#logSync.fail(error);
    this.#nothingHeld();
  }

  /** The memtable has become a table: its logs need no sync any more. */
  retire(live: LiveMemtable): void {
    for (const { number } of live.logs()) this.#logSync.forget(number);
    live.writer?.retire();
  }
}

/** How much of the newest log would survive power loss now: of one being written, or of one recovered. */
function durableBytes(newest: LiveMemtable | undefined, logSync: LogSync): number {
  const log = newest?.logs().at(-1);
  if (newest === undefined || log === undefined) return 0;
  return newest.writer?.syncedUpTo ?? logSync.durableBytes(log);
}
