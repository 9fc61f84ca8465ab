/**
 * update(): reads a key, has the application say what becomes of it, and writes that, all within the call.
 *
 *   1. the newest value: of the writes that wait for the gate (held-index.ts), else of everything that has entered, published
 *      or not. So ten thousand updates of one key that nobody awaits see each other
 *   2. `fn`, once. Meanwhile the store refuses every write: what was read would not be the newest any more
 *   3. the write, as a put or delete
 *
 * Invariants: nothing comes between 1 and 3: it is one step of this thread, and no other thread writes.
 * Thread:     main.
 */
import { copyInto, viewOf } from '../../shared/base/bytes.ts';
import { Entry, EntryKind } from '../../shared/base/entry.ts';
import { invalidArgument } from '../../shared/base/errors.ts';
import { momentAfter, prependExpiry, userBytesOf } from '../../shared/base/expiry.ts';
import { type Bytes, describe, InputBytes } from '../../shared/base/input-bytes.ts';
import type { PutTerms } from '../../shared/log/write-options.ts';
import { answerOf } from '../../shared/read/found-entry.ts';
import { slab } from '../../shared/read/slab.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { CommitPipeline } from '../write/commit-pipeline.ts';

/** What becomes of a value; undefined: the key is deleted. */
export type UpdateFunction = (current: Buffer | undefined) => Bytes | undefined;

const KEY_ROOM_BYTES = 256;

/** What it needs of the store. */
export interface UpdateHost {
  readonly pipeline: CommitPipeline;
  readonly counters: { userBytes: number };
  readonly clock: Clock;
  /** The last value of `key` that has entered, published or not. */
  newest(key: Uint8Array): Buffer | undefined;
  checkWritable(): void;
  /** What `fn` returns; the store refuses all writes meanwhile. */
  refusingWrites<T>(fn: () => T): T;
}

export class Updater {
  readonly #host: UpdateHost;
  readonly #key = new InputBytes();
  readonly #value = new InputBytes();
  /** Of the key of an update, while its function runs. */
  #keyRoom: Uint8Array = new Uint8Array(KEY_ROOM_BYTES);
  readonly #entry = new Entry();

  constructor(host: UpdateHost) {
    this.#host = host;
  }

  /** Throws, or rejects, when nothing has come of it. */
  run(key: Bytes, fn: UpdateFunction, { sync, ttl }: PutTerms): Promise<Buffer | undefined> {
    if (typeof fn !== 'function') throw invalidArgument(`update takes a function, not ${describe(fn)}`);
    const host = this.#host;
    this.#key.setKey(key);
    const { bytes, end } = this.#key;
    const current = this.#current(end === bytes.length ? bytes : viewOf(bytes, 0, end));
    // The caller's bytes may change within `fn`.
    if (typeof key !== 'string') this.#keepKey(bytes, end);
    const next: unknown = host.refusingWrites(() => fn(current));
    // It may have closed the store.
    host.checkWritable();
    if (next === undefined) return this.#write(EntryKind.Delete, sync, undefined);
    this.#value.setValue(next as Bytes);
    const stored = slab.copy(this.#value.bytes, 0, this.#value.end);
    if (ttl === 0) return this.#write(EntryKind.Put, sync, stored);
    prependExpiry(this.#value, momentAfter(host.clock.now(), ttl));
    return this.#write(EntryKind.ExpiringPut, sync, stored);
  }

  #keepKey(bytes: Uint8Array, end: number): void {
    if (end > this.#keyRoom.length) this.#keyRoom = new Uint8Array(end);
    copyInto(this.#keyRoom, 0, bytes, 0, end);
    this.#key.bytes = this.#keyRoom;
  }

  #current(key: Uint8Array): Buffer | undefined {
    const { pipeline } = this.#host;
    if (pipeline.held.count === 0) return this.#host.newest(key);
    const entry = this.#entry;
    try {
      if (!pipeline.heldIndex.lookup(key, entry)) return this.#host.newest(key);
      return answerOf(entry, 'value', this.#host.clock, undefined);
    } finally {
      entry.release();
    }
  }

  #write(kind: EntryKind, sync: boolean, stored: Buffer | undefined): Promise<Buffer | undefined> {
    if (kind === EntryKind.Delete) this.#value.end = 0;
    const byteLength = userBytesOf(kind, this.#key.end, this.#value.end);
    const written = this.#host.pipeline.append(kind, this.#key, this.#value, sync);
    this.#host.counters.userBytes += byteLength;
    return written.then(() => stored);
  }
}
