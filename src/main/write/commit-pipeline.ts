/**
 * Group commit: turns all writes made in one stretch of synchronous code into one log append.
 *
 *   1. encode the write into the active memtable's arena and index it (within the call: buffers are copied)
 *   2. end the group in the microtask that its first write queued (later while the gate is slow), and queue it
 *   3. (log-queue.ts) seal its records (checksums) and write the log from the arena itself, one write at a time: in place, now
 *      or in the next turn, or through the thread pool
 *   4. publish the group's last sequence: reads see the group from here on
 *   5. resolve the writers; those that asked for `sync` after a shared fdatasync, which overlaps the next groups' writes
 *
 * When the arena is full the memtable is frozen and the group goes to a new one. While the gate is closed or too many
 * frozen memtables wait, writes are copied into a queue (held-writes.ts) and enter later, in order, some of them in each turn
 * of the event loop. When more than maxHeldBytes wait, the next write is refused with STRATA_BUSY.
 *
 * Invariants: log order = sequence order = publication order. A group is visible whole or not at all.
 *             A failed log write or sync fails this and every later write: what reached the disk is then unknown
 *             ("fsyncgate": a second fsync may report success for lost pages). A log that could not be created, or of which
 *             nothing came to the disk, for want of room or descriptors, fails only the writes of that moment (log-queue.ts).
 * Thread:     main only.     Owns: the open group, the held writes; through LogQueue, all others.
 */
import { copyInto } from '../../shared/base/bytes.ts';
import { EntryKind } from '../../shared/base/entry.ts';
import { isError, StorageError } from '../../shared/base/errors.ts';
import { isExhaustion, isRoomProblem, toStorageError } from '../../shared/base/failures.ts';
import type { InputBytes } from '../../shared/base/input-bytes.ts';
import { clearTimeout, queueMicrotask, setImmediate, setTimeout } from '../../shared/base/timers.ts';
import { unitBytes } from '../../shared/base/write-unit.ts';
import { encodedEntryBytes, encodeEntry, tagOf } from '../../shared/log/entry-codec.ts';
import { WriteBatch } from '../../shared/log/write-batch.ts';
import { CommitGroup, type EncodedWrite, MOST_FRAMING_BYTES } from './commit-group.ts';
import { HeldIndex } from './held-index.ts';
import { type HeldGroup, HeldWrites } from './held-writes.ts';
import { type LogEnvironment, LogQueue } from './log-queue.ts';
import type { LiveMemtable } from './memtable-list.ts';
import { type MemtableEnvironment, newMemtable } from './new-memtable.ts';
import type { WriteGate } from './write-gate.ts';

/** Bytes of held writes that enter in one turn of the event loop: some milliseconds of work. */
const RELEASED_PER_TURN: number = 1024 * 1024;

/** The clock is asked once for so many writes of one turn, as asking costs a twentieth of a write. */
const WRITES_PER_TIME = 16;

/** More entries than an arena can hold: nearer to the last sequence than that, each write is checked against it. */
const NEAR_THE_END: number = Number.MAX_SAFE_INTEGER - 2 ** 30;

/** What others may know of the held writes. */
export type HeldInfo = Pick<HeldWrites, 'count' | 'byteLength' | 'memoryBytes' | 'roomForClients'>;

/** What the pipeline needs from the rest of the store. Its failed() calls refuse(). */
export interface CommitEnvironment extends MemtableEnvironment, LogEnvironment {
  readonly gate: WriteGate;
  /** When held writes come to more, no further one may wait. */
  readonly maxHeldBytes: number;
}

export class CommitPipeline {
  readonly #env: CommitEnvironment;
  readonly #queue: LogQueue;
  #open: CommitGroup | undefined;
  /** Ends the open group; undefined: a microtask will. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #held: HeldWrites;
  #heldIndex: HeldIndex | undefined;
  #isReleasing = false;
  /** The next held write enters when a memtable has left. */
  #isFull = false;
  /** Set: no write is accepted any more. */
  #error: StorageError | undefined;
  #isNearTheEnd = false;
  #idleWaiters: (() => void)[] = [];

  constructor(env: CommitEnvironment) {
    this.#env = env;
    this.#held = new HeldWrites(unitBytes(env.arenas.arenaBytes), env.maxHeldBytes);
    const takeOpen = (): CommitGroup | undefined => {
      const open = this.#open;
      this.#open = undefined;
      this.#stopTimer();
      return open;
    };
    this.#queue = new LogQueue(env, takeOpen, () => this.#notifyIdle());
  }

  /** Whether a write or sync of the log has failed: nobody knows what of it is on the disk. */
  get hasFailed(): boolean {
    return this.#queue.isDead;
  }

  /** The writes held back by the gate. */
  get held(): HeldInfo {
    return this.#held;
  }

  /** What keys will be once the held writes have entered. */
  get heldIndex(): HeldIndex {
    this.#heldIndex ??= new HeldIndex(this.#held);
    return this.#heldIndex;
  }

  /** Whether writes are held because two memtables wait for their flush, and the active one has no room. */
  get isFull(): boolean {
    return this.#isFull && this.#held.count > 0;
  }

  /** One put or delete. Copies the bytes before it returns. Throws, or rejects, when nothing has come of it. */
  append(kind: EntryKind, key: InputBytes, value: InputBytes, sync: boolean): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const valueEnd = kind === EntryKind.Delete ? 0 : value.end;
    const group = this.#groupFor(encodedEntryBytes(key.end, valueEnd, kind), 1, false);
    if (group === undefined) return this.#holdOne(kind, key, value, sync);
    group.live.memtable.append(kind, key.bytes, 0, key.end, value.bytes, 0, valueEnd);
    return group.outcome.promise(sync);
  }

  /** All of a batch, or nothing, as {@link append}. */
  appendBatch(batch: WriteBatch, sync: boolean): Promise<void> {
    const { byteLength } = batch;
    const bytes = WriteBatch.encoded(batch);
    const count = batch.length;
    return this.appendEncoded({ bytes, start: 0, end: byteLength, count, sync, isBatch: count > 1 }, false);
  }

  /** As {@link appendBatch}. `isAdmitted`: it may wait, whatever waits already. */
  appendEncoded(write: EncodedWrite, isAdmitted: boolean): Promise<void> {
    const { bytes, start, end, count, sync, isBatch } = write;
    if (this.#error !== undefined) throw this.#error;
    const group = this.#groupFor(end - start, count, isBatch);
    if (group !== undefined) {
      group.live.memtable.appendEncoded(bytes, start, end);
      return group.outcome.promise(sync);
    }
    const held = this.#hold(end - start, count, isBatch, isAdmitted);
    copyInto(held.bytes, held.end - (end - start), bytes, start, end);
    return held.outcome.promise(sync);
  }

  /** As {@link #groupWithRoom}, for a write that comes now: none overtakes those that are held. */
  #groupFor(dataBytes: number, count: number, isBatch: boolean): CommitGroup | undefined {
    return this.#held.count > 0 ? undefined : this.#groupWithRoom(dataBytes, count, isBatch);
  }

  /**
   * The open group with room for the entries, opening one (and a memtable) as needed; undefined: hold the write. Throws when
   * there can be none: nothing has come of the write then.
   */
  #groupWithRoom(dataBytes: number, count: number, isBatch: boolean): CommitGroup | undefined {
    const { memtables, gate } = this.#env;
    if (gate.state === 'closed') return undefined;
    if (this.#isNearTheEnd) this.#checkSequences(count);
    const open = this.#open;
    const framedBytes = dataBytes + MOST_FRAMING_BYTES;
    if (open?.live.memtable.hasRoom(framedBytes, count)) {
      const mayJoin = open.takesMore(dataBytes) && !isBatch && this.#timer === undefined;
      if (!mayJoin || ++open.writesSinceTime === WRITES_PER_TIME) this.#begin(open, isBatch);
      return open;
    }
    const active = memtables.active;
    if (active === undefined) this.#activate(dataBytes, count);
    else if (!active.memtable.hasRoom(framedBytes, count)) {
      if (memtables.isFull) {
        this.#isFull = true;
        gate.set('closed', 'memtables');
        return undefined;
      }
      active.isFull = true;
      this.freezeActive();
      this.#activate(dataBytes, count);
    }
    return this.#openGroup(isBatch);
  }

  #openGroup(isBatch: boolean): CommitGroup {
    const live = this.#env.memtables.active!;
    const group = new CommitGroup(live);
    this.#begin(group, isBatch);
    live.pendingGroups++;
    this.#open = group;
    this.#schedule(group);
    return group;
  }

  #begin(group: CommitGroup, isBatch: boolean): void {
    group.writesSinceTime = 0;
    group.begin(isBatch, this.#env.time());
  }

  #schedule(group: CommitGroup): void {
    const delayMs = this.#env.gate.delayMs();
    if (delayMs >= 1) this.#timer = setTimeout(() => this.#commit(group), delayMs);
    else queueMicrotask(() => this.#commit(group));
  }

  /** The gate has changed: the open group, if it waits for it, ends when it says now. */
  rateChanged(): void {
    if (this.#open === undefined || this.#timer === undefined) return;
    this.#stopTimer();
    this.#schedule(this.#open);
  }

  #stopTimer(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Opens a new memtable and its log. What throws has left the store as it was. */
  #activate(dataBytes: number, count: number): void {
    // The log of the memtable before it has failed on the way here.
    if (this.#error !== undefined) throw this.#error;
    this.#isNearTheEnd = this.#env.lastSequence() > NEAR_THE_END;
    if (this.#isNearTheEnd) this.#checkSequences(count);
    let live: LiveMemtable;
    try {
      live = newMemtable(this.#env, this.#queue.sync, dataBytes, count);
    } catch (error) {
      // Set: the directory was lost, which is told already. This write is refused as those that follow.
      if (this.#error ?? isExhaustion(error)) throw this.#error ?? this.#env.failed('file numbers', error);
      // Memory, too, may be there again for the next write.
      if (!isRoomProblem(error) && !isOutOfMemory(error)) this.#env.failed('log', error);
      throw toStorageError(error, 'a log could not be created');
    }
    this.#env.memtables.activate(live);
  }

  /** The last sequence is given to a write like any other; one for which there is none is refused, with all that follow. */
  #checkSequences(count: number): void {
    if (this.#env.lastSequence() <= Number.MAX_SAFE_INTEGER - count) return;
    const message = 'the store takes no more writes: its sequence numbers are used up';
    throw this.#env.failed('sequence numbers', new StorageError('STRATA_READ_ONLY', message));
  }

  /** Freezes the active memtable, for a flush. No-op without writes in it. */
  freezeActive(): void {
    const { memtables } = this.#env;
    const { active } = memtables;
    if (active === undefined || active.isEmpty) return;
    if (this.#open !== undefined) this.#commit(this.#open);
    // Nothing of it could be written: it has left.
    if (memtables.active !== active) return;
    memtables.freezeActive();
    this.#env.frozen();
  }

  /** Step 2: no further write joins the group. */
  #commit(group: CommitGroup): void {
    if (this.#open !== group) return;
    this.#open = undefined;
    this.#stopTimer();
    group.end = group.live.memtable.arena.dataEnd;
    group.entryCount = group.live.memtable.arena.entryCount;
    this.#env.gate.charge(group.end - group.start);
    this.#queue.add(group);
  }

  #holdOne(kind: EntryKind, key: InputBytes, value: InputBytes, sync: boolean): Promise<void> {
    const valueEnd = kind === EntryKind.Delete ? 0 : value.end;
    const byteLength = encodedEntryBytes(key.end, valueEnd, kind);
    const group = this.#hold(byteLength, 1, false, false);
    const start = group.end - byteLength;
    encodeEntry(group.bytes, start, tagOf(kind), key.bytes, 0, key.end, value.bytes, 0, valueEnd);
    return group.outcome.promise(sync);
  }

  /** Room for a write at the end of a held group. */
  #hold(byteLength: number, count: number, isBatch: boolean, isAdmitted: boolean): HeldGroup {
    if (!isAdmitted) this.#held.checkRoom();
    return this.#held.add(byteLength, count, isBatch);
  }

  /**
   * Lets held writes in, as many as there is room for and as a turn of the event loop should take: called whenever the gate
   * opens or a memtable leaves. Never throws.
   */
  release(): void {
    // What is called from in here may come back to here.
    if (this.#isReleasing) return;
    this.#isReleasing = true;
    this.#isFull = false;
    let releasedBytes = 0;
    for (let held = this.#held.first(); held !== undefined; held = this.#held.first()) {
      if (releasedBytes >= RELEASED_PER_TURN) {
        setImmediate(() => this.release());
        break;
      }
      if (!this.#enter(held)) break;
      releasedBytes += held.byteLength;
    }
    this.#isReleasing = false;
    if (this.#held.letGo()) this.#notifyIdle();
  }

  /** false: there is no room for it yet. */
  #enter(held: HeldGroup): boolean {
    try {
      if (this.#error !== undefined) throw this.#error;
      const group = this.#groupWithRoom(held.byteLength, held.entryCount, held.isBatch);
      if (group === undefined) return false;
      group.live.memtable.appendEncoded(held.bytes, held.start, held.end);
      held.outcome.follow(group.outcome);
    } catch (error) {
      // There may be no memory for this one, and yet some for the next.
      held.outcome.fail(toStorageError(error, 'the write could not enter'));
    }
    this.#held.drop(held);
    return true;
  }

  /** A write would be refused with STRATA_BUSY now. */
  get isBusy(): boolean {
    return this.#held.isFull;
  }

  /** Resolves when a write would not be refused with STRATA_BUSY now; rejects when it would be for another reason. */
  async writable(): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    await this.#held.room();
    if (this.#error !== undefined) throw this.#error;
  }

  /** Resolves once the writes held back now have been let in and written, or refused; undefined: there are none. */
  heldEntered(): Promise<void> | undefined {
    return this.#held.lastPromise()?.catch(() => undefined);
  }

  /** Resolves once what was written until now is visible, or refused; undefined: it is. */
  published(): Promise<void> | undefined {
    const group = this.#open ?? this.#queue.newest;
    return this.heldEntered() ?? group?.outcome.promise(false).catch(() => undefined);
  }

  /** Resolves once what is encoded is in the log; rejects when it can't be written. */
  async written(): Promise<void> {
    while (this.#open !== undefined || !this.#queue.isIdle) {
      if (this.#open !== undefined) this.#commit(this.#open);
      if (!this.#queue.isIdle) await this.#idle();
    }
    if (this.#error !== undefined) throw this.#error;
  }

  /** Resolves once no write is open, held, queued, being written or being synced. */
  async drain(): Promise<void> {
    for (;;) {
      if (this.#open !== undefined) this.#commit(this.#open);
      if (this.#queue.isIdle && this.#held.count === 0) break;
      await this.#idle();
    }
    await this.#queue.sync.idle();
  }

  /** Rejects the writes that wait for the gate, which will not open in time. */
  rejectHeld(error: StorageError): void {
    this.#held.rejectAll(error);
    this.#notifyIdle();
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Syncs every log that has unsynced bytes. */
  async syncAll(): Promise<void> {
    await this.#queue.sync.syncAll();
  }

  /** Makes the logs of a memtable durable: they are to be kept. */
  async syncLogsOf(live: LiveMemtable): Promise<void> {
    await this.#queue.sync.syncOf(live.logs().map(({ number }) => number));
  }

  #notifyIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  /** Accepts no write from now on: the log or the manifest failed, or the store is closed. What was accepted is written. */
  refuse(error: StorageError): void {
    this.#error ??= error;
    this.rejectHeld(this.#error);
  }

  /** Fails everything, whatever may yet come of what is under way: the disk does not answer. */
  abandon(error: StorageError): void {
    this.refuse(error);
    this.#queue.abandon(error);
  }

  /** The memtable has become a table: its logs need no sync any more. */
  retire(live: LiveMemtable): void {
    for (const { number } of live.logs()) this.#queue.sync.forget(number);
    live.writer?.retire();
  }
}

/** No memory for an arena: the first cause is a RangeError of whichever realm. */
function isOutOfMemory(error: unknown): boolean {
  for (let at = error; isError(at); at = at.cause) if (at.name === 'RangeError') return true;
  return false;
}
