/**
 * Shared fdatasync: all writers that wait for one are served by the next, and one runs at a time.
 *
 *   request(writers) -> sync every log with unsynced bytes, oldest first -> what was written before it began is durable
 *
 * A write is durable only when everything before it is, so a sync covers older logs too, in order.
 *
 * A sync that fails ends all writing ("fsyncgate"). One that could not be asked for, as there was no descriptor to open the
 * directory with, ends nothing: those that waited for it hear that their writes may not be durable, and the next one makes up.
 *
 * Thread: main.     Owns: which logs have unsynced bytes, and who waits.
 */
import { isOutOfDescriptors } from '../../shared/base/errors.ts';
import type { FileNumber } from '../../shared/base/ids.ts';

/** A log with bytes to make durable. */
export interface SyncableLog {
  readonly number: FileNumber;
  readonly writtenUpTo: number;
  /** How far a completed sync reaches. */
  readonly syncedUpTo: number;
  sync(): Promise<void>;
}

/** The writers of a group, who wait for the disk. */
export interface SyncWaiter {
  synced(): void;
  fail(error: unknown): void;
}

export class LogSync {
  readonly #onFailure: (error: unknown) => void;
  /** Oldest first. */
  #unsynced: SyncableLog[];
  #waiting: SyncWaiter[] = [];
  /** By the sync that runs. */
  #served: SyncWaiter[] = [];
  #running: Promise<void> | undefined;

  /** `recovered`: logs of the previous run, which the crash may have left in the page cache only. */
  constructor(recovered: readonly SyncableLog[], onFailure: (error: unknown) => void) {
    this.#unsynced = [...recovered];
    this.#onFailure = onFailure;
  }

  /** `writer` has bytes that no sync covers. */
  written(writer: SyncableLog): void {
    if (this.#unsynced.at(-1) !== writer) this.#unsynced.push(writer);
  }

  /** What `waiter` wrote is in its log, and it waits for a sync. */
  request(waiter: SyncWaiter): void {
    this.#waiting.push(waiter);
    this.#running ??= this.#run();
  }

  /** Resolves when no writer waits for a sync. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      this.#served = this.#waiting;
      this.#waiting = [];
      try {
        await this.syncAll();
        for (const waiter of this.#served) waiter.synced();
      } catch (error) {
        for (const waiter of this.#served) waiter.fail(error);
        if (isOutOfDescriptors(error)) continue;
        this.#onFailure(error);
        break;
      }
    }
    this.#served = [];
    this.#running = undefined;
  }

  async syncAll(): Promise<void> {
    for (const writer of [...this.#unsynced]) {
      // Forgotten while an older one was synced: a flush has made a table of it, and deletes the file.
      if (!this.#unsynced.includes(writer)) continue;
      const upTo = writer.writtenUpTo;
      await writer.sync();
      // The newest log may have been written to meanwhile; an older one never is.
      if (writer.writtenUpTo === upTo) this.#unsynced = this.#unsynced.filter((other) => other !== writer);
    }
  }

  /** Makes these logs durable, as far as they are not. A failure ends all writing, as any of a sync does. */
  async syncOf(numbers: readonly FileNumber[]): Promise<void> {
    for (const writer of this.#unsynced.filter(({ number }) => numbers.includes(number))) {
      try {
        await writer.sync();
      } catch (error) {
        if (!isOutOfDescriptors(error)) this.#onFailure(error);
        throw error;
      }
    }
  }

  /** How much of a recovered log that is still needed would survive power loss now. */
  durableBytes(log: { readonly number: FileNumber; readonly sizeBytes: number }): number {
    return this.#unsynced.find((other) => other.number === log.number)?.syncedUpTo ?? log.sizeBytes;
  }

  /** The log needs no sync any more: its writes are in a table. */
  forget(number: FileNumber): void {
    this.#unsynced = this.#unsynced.filter((log) => log.number !== number);
  }

  /** Fails those that wait for a sync to come. The one that runs settles its own. */
  fail(error: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) waiter.fail(error);
  }

  /** Fails all that wait, whatever the running sync may yet come to. */
  abandon(error: unknown): void {
    for (const waiter of this.#served) waiter.fail(error);
    this.fail(error);
  }
}
