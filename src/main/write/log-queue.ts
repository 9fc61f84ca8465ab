/**
 * The back half of group commit: writes the groups that are complete to their logs, publishes them, and settles the promises of
 * their writers.
 *
 *   add(group) -> queue -> sealed and written, the groups of one log in one go -> published -> written() / a shared sync
 *
 * One write at a time, in place or through the thread pool (write-placement.ts). What fails:
 *
 *   a shortage at the first write of a log    nothing of it is on the disk: its groups are refused, with those of the newer
 *                                             logs, which are empty. Their memtables leave as if they had never been, and
 *                                             their sequences are free again; later writes are accepted
 *   ... after a part came to the disk         the same, once the log is deleted and the deletion is durable: whole groups
 *                                             in it would be recovered
 *   anything else                             the log is dead: what reached the disk is unknown, nothing more is written
 *
 * Invariants: groups are written, and published, in the order in which they were added. Each is settled once.
 *             Whatever throws here, in a microtask or timer too, ends as a failure of the log does.
 * Thread:     main.     Owns: the groups that are complete, until their log write has ended.
 */
import type { StorageError } from '../../shared/base/errors.ts';
import { isRoomProblem, toStorageError } from '../../shared/base/failures.ts';
import { RECORD_HEADER_BYTES, sealRecord } from '../../shared/log/log-format.ts';
import type { CommitGroup } from './commit-group.ts';
import { LogSync, type SyncableLog } from './log-sync.ts';
import type { LogWriter } from './log-writer.ts';
import type { LiveMemtable, MemtableList } from './memtable-list.ts';
import { WritePlacement } from './write-placement.ts';

/** What the queue needs from the rest of the store. */
export interface LogEnvironment {
  readonly memtables: MemtableList;
  /** Logs that recovery read and that may not be durable yet. */
  readonly recoveredLogs: readonly SyncableLog[];
  /** Deletes a log of which nothing counts; false: that failed, and was reported. */
  discardLog(writer: LogWriter): boolean;
  /** Makes deletions in the store's directory survive power loss. */
  syncDirectory(): Promise<void>;
  /** Everything up to `sequence` is in the log. */
  publish(sequence: number, logBytes: number): void;
  /** A memtable was frozen, a frozen one has settled, or some have left. */
  frozen(): void;
  /** No write may be accepted any more; returns the error that writers get from now on. */
  failed(operation: string, error: unknown): StorageError;
}

export class LogQueue {
  readonly #env: LogEnvironment;
  readonly sync: LogSync;
  /** Takes back the group that is not complete yet, which fails with the others. */
  readonly #takeOpen: () => CommitGroup | undefined;
  /** Called whenever the queue may have become idle. */
  readonly #onIdle: () => void;
  readonly #placement = new WritePlacement();
  #queue: CommitGroup[] = [];
  #isWriting = false;
  /** Under way to the log. */
  #writing: readonly CommitGroup[] = [];
  /** Set: nothing is written any more. */
  #death: StorageError | undefined;

  constructor(env: LogEnvironment, takeOpen: () => CommitGroup | undefined, onIdle: () => void) {
    this.#env = env;
    this.#takeOpen = takeOpen;
    this.#onIdle = onIdle;
    this.sync = new LogSync(env.recoveredLogs, (error) => this.#fail(error));
  }

  /** Whether a write or sync of a log has failed: nobody knows what of it is on the disk. */
  get isDead(): boolean {
    return this.#death !== undefined;
  }

  /** No group is queued or being written. */
  get isIdle(): boolean {
    return !this.#isWriting && this.#queue.length === 0;
  }

  /** The last group that is queued or being written; undefined: none is. */
  get newest(): CommitGroup | undefined {
    return this.#queue.at(-1) ?? this.#writing.at(-1);
  }

  /** Requires: the log is not dead. */
  add(group: CommitGroup): void {
    this.#queue.push(group);
    this.#pump();
  }

  /** Writes what is queued, in order; the groups of one log in one go. */
  #pump(): void {
    while (!this.#isWriting && this.#queue.length > 0) {
      const { live } = this.#queue[0]!;
      let count = 1;
      while (count < this.#queue.length && this.#queue[count]!.live === live) count++;
      const writer = live.writer!;
      const start = live.memtable.arena.dataStart + writer.writtenUpTo;
      if (this.#placement.awaitsTurn(this.#queue[count - 1]!.end - start)) this.#pumpInNextTurn();
      else this.#write(live, writer, start, this.#queue.splice(0, count));
    }
    if (this.isIdle) this.#onIdle();
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
    const bytes = arena.bytes.subarray(start, groups.at(-1)!.end);
    let isWritten: boolean;
    try {
      seal(writer, groups);
      isWritten = this.#placement.tryInPlace(bytes.length, () => writer.write(bytes));
    } catch (error) {
      this.#writeFailed(error, live, writer, groups);
      return;
    }
    if (isWritten) {
      this.#complete(live, writer, groups, bytes.length);
      return;
    }
    this.#during(
      writer.writeAsync(bytes),
      groups,
      () => this.#complete(live, writer, groups, bytes.length),
      (error) => this.#writeFailed(error, live, writer, groups),
    );
  }

  /** Nothing else is written until `work` has ended. */
  #during(
    work: Promise<void>,
    groups: readonly CommitGroup[],
    onDone: () => void,
    onError: (error: unknown) => void,
  ): void {
    this.#isWriting = true;
    this.#writing = groups;
    const ended = (next: () => void): void => {
      this.#isWriting = false;
      this.#writing = [];
      if (this.#death === undefined) next();
      else for (const group of groups) group.outcome.fail(this.#death);
      this.#pump();
    };
    work
      .then(
        () => ended(onDone),
        (error: unknown) => ended(() => onError(error)),
      )
      .catch((error: unknown) => this.#fail(error, groups));
  }

  /** `groups` are not in the log, or nobody knows. */
  #writeFailed(cause: unknown, live: LiveMemtable, writer: LogWriter, groups: readonly CommitGroup[]): void {
    if (writer.writtenUpTo > 0 || !isRoomProblem(cause)) {
      this.#fail(cause, groups);
      return;
    }
    const error = toStorageError(cause, 'the log could not be written');
    const refused = [...groups, ...this.#takeAll()];
    const { hasNothing } = writer;
    // None of the newer ones has been written to either, as logs are written in order.
    const gone = this.#env.memtables.dropFrom(live).map((dropped) => this.#env.discardLog(dropped.writer!));
    const refuse = (): void => {
      for (const group of refused) group.outcome.fail(error);
      this.#env.frozen();
    };
    if (hasNothing) refuse();
    else if (gone.at(-1) === false) this.#fail(cause, refused);
    else this.#during(this.#env.syncDirectory(), refused, refuse, (failure) => this.#fail(failure, refused));
  }

  /** `groups` are in the log: reads may see them. */
  #complete(live: LiveMemtable, writer: LogWriter, groups: readonly CommitGroup[], logBytes: number): void {
    const last = groups.at(-1)!;
    live.memtable.arena.publish(last.entryCount);
    this.#env.publish(live.memtable.arena.firstSequence + last.entryCount - 1, logBytes);
    live.pendingGroups -= groups.length;
    for (const group of groups) group.outcome.written();
    this.sync.written(writer);
    for (const group of groups) if (group.outcome.wantsSync) this.sync.request(group.outcome);
    if (live.isSettled) this.#env.frozen();
  }

  /** A log write or sync failed. What reached the disk is unknown, so the writes under way are indeterminate. */
  #fail(cause: unknown, groups: readonly CommitGroup[] = []): void {
    const error = toStorageError(cause, 'the log could not be written');
    this.#death ??= error;
    this.#env.failed('log', error);
    for (const group of groups) group.outcome.fail(error);
    this.#failAll(error);
  }

  /** Fails everything, whatever may yet come of what is under way: the disk does not answer. */
  abandon(error: StorageError): void {
    this.#death ??= error;
    for (const group of this.#writing) group.outcome.fail(error);
    this.sync.abandon(error);
    this.#failAll(error);
  }

  #failAll(error: StorageError): void {
    for (const group of this.#takeAll()) group.outcome.fail(error);
    this.sync.fail(error);
    this.#onIdle();
  }

  /** All groups that are not on their way to the log. */
  #takeAll(): CommitGroup[] {
    const open = this.#takeOpen();
    const groups = open === undefined ? this.#queue : [...this.#queue, open];
    this.#queue = [];
    return groups;
  }
}

/** Fills in the headers of the records of `groups`. */
function seal(writer: LogWriter, groups: readonly CommitGroup[]): void {
  const { number: logNumber, syncedUpTo } = writer;
  for (const { live, records, end } of groups) {
    const { bytes } = live.memtable.arena;
    for (let i = 0; i < records.length; i++) {
      const { start, firstSequence, type } = records[i]!;
      const payloadLength = (records[i + 1]?.start ?? end) - start - RECORD_HEADER_BYTES;
      sealRecord(bytes, start, { type, logNumber, firstSequence, syncedUpTo, payloadLength });
    }
  }
}
