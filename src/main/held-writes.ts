/**
 * The writes that wait for the gate, in order, copied.
 *
 *   hold -> ... -> takeAll, and putBack of those for which there was no room
 *               -> rejectAll
 *
 * Invariants: while one waits the process stays alive, as somebody may await it.
 * Thread:     main.     Owns: the copies, and the promises of their writers.
 */
import { keepProcessAlive } from '../shared/process-keeper.ts';
import type { WriteBatch } from '../shared/write-batch.ts';
import { Deferred } from './commit-group.ts';

export interface HeldWrite {
  readonly batch: WriteBatch;
  readonly sync: boolean;
  readonly deferred: Deferred;
}

export class HeldWrites {
  #writes: readonly HeldWrite[] = [];
  #added: HeldWrite[] = [];
  #keepAlive: (() => void) | undefined;

  get count(): number {
    return this.#writes.length + this.#added.length;
  }

  /** `batch` is a copy. */
  hold(batch: WriteBatch, sync: boolean): Promise<void> {
    const deferred = new Deferred();
    this.#added.push({ batch, sync, deferred });
    this.#keepAlive ??= keepProcessAlive();
    return deferred.promise;
  }

  /** Whoever takes them settles them or puts them back, in the same step. */
  takeAll(): readonly HeldWrite[] {
    const all = this.#writes.length === 0 ? this.#added : [...this.#writes, ...this.#added];
    this.#writes = [];
    this.#added = [];
    return all;
  }

  /** Those of takeAll() from some place on. */
  putBack(writes: readonly HeldWrite[]): void {
    this.#writes = writes;
  }

  rejectAll(error: unknown): void {
    for (const { deferred } of this.takeAll()) deferred.reject(error);
    this.letGo();
  }

  /** Lets the process go when nobody waits any more; returns whether that is so. */
  letGo(): boolean {
    if (this.count > 0) return false;
    this.#keepAlive?.();
    this.#keepAlive = undefined;
    return true;
  }

  /** Of the last one that waits now; it settles after all before it. */
  lastPromise(): Promise<void> | undefined {
    return (this.#added.at(-1) ?? this.#writes.at(-1))?.deferred.promise;
  }
}
