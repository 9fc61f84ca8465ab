/**
 * The writes of a database, and what happens when nobody awaits them: where the engine would refuse one, as writes of
 * `maxHeldBytes` wait already, it waits here for room, and all later ones behind it, in the order of the calls.
 *
 * Invariants: what is written is copied in the call, also where it has to wait.
 * Thread:     that of the database.     Owns: the writes that wait for room.
 * Not chosen: to hand on STRATA_BUSY: programs that were written for LevelDB, whose writes queue without a bound, would not know
 *             what to do. Nor are these bounded, but by the promises that the program holds.
 */
import type { Bytes } from '../shared/base/input-bytes.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import type { PutOptions, WriteOptions } from '../shared/log/write-options.ts';
import { inputOf } from './formats.ts';
import type { LevelStore } from './level-store.ts';

/** What abstract-level hands on with a write. */
export interface LevelWriteOptions {
  readonly sync?: boolean | undefined;
  readonly ttl?: number | undefined;
}

export class Writes {
  readonly #store: LevelStore;
  /** Settled when the last of those that wait has been taken; undefined: none waits. */
  #last: Promise<void> | undefined;

  constructor(store: LevelStore) {
    this.#store = store;
  }

  put(key: Bytes, value: Bytes, options: LevelWriteOptions): Promise<void> {
    const store = this.#store;
    const terms = putOptionsOf(options);
    if (!this.#mustWait) return store.put(inputOf(key), inputOf(value), terms);
    const [ownKey, ownValue] = [copyOf(key), copyOf(value)];
    return this.#later(() => store.put(ownKey, ownValue, terms));
  }

  delete(key: Bytes, options: LevelWriteOptions): Promise<void> {
    const store = this.#store;
    const terms = writeOptionsOf(options);
    if (!this.#mustWait) return store.delete(inputOf(key), terms);
    const ownKey = copyOf(key);
    return this.#later(() => store.delete(ownKey, terms));
  }

  write(batch: WriteBatch, options: LevelWriteOptions | undefined): Promise<void> {
    const store = this.#store;
    const terms = writeOptionsOf(options);
    if (!this.#mustWait) return store.write(batch, terms);
    const own = WriteBatch.copy(batch);
    return this.#later(() => store.write(own, terms));
  }

  get #mustWait(): boolean {
    return this.#last !== undefined || this.#store.isBusy;
  }

  #later(write: () => Promise<void>): Promise<void> {
    let written: Promise<void> | undefined;
    const taken = (async (before) => {
      await before;
      while (this.#store.isBusy) await this.#store.writable();
      written = write();
    })(this.#last);
    const last = taken.then(
      () => undefined,
      () => undefined,
    );
    this.#last = last;
    void last.then(() => {
      if (this.#last === last) this.#last = undefined;
    });
    return taken.then(() => written);
  }
}

function copyOf(data: Bytes): Bytes {
  return typeof data === 'string' ? inputOf(data) : Buffer.from(data);
}

/** Without what is of no meaning to the engine, which refuses options that it does not know. */
export function writeOptionsOf(options: LevelWriteOptions | undefined): WriteOptions | undefined {
  const sync = options?.sync;
  return sync === undefined ? undefined : { sync: Boolean(sync) };
}

function putOptionsOf(options: LevelWriteOptions): PutOptions | undefined {
  const { ttl } = options;
  if (ttl === undefined) return writeOptionsOf(options);
  return { ...writeOptionsOf(options), ttl };
}
