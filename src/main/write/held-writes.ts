/**
 * The writes that wait for the gate, in order, copied in the form of the log.
 *
 *   add         room for a write at the end of the last group; the caller encodes it there
 *   first       the oldest group, which takes no more writes from then on: to be entered as a whole, or not yet
 *   drop        the oldest group has entered or was refused
 *   rejectAll   all are refused
 *
 *   chunk     |group     |group   |group    ...             |   1 MiB, used again while writes wait
 *              write write write ...                            a large write has memory of its own
 *
 * A batch is a group by itself. The writes of a group have one fate (write-unit.ts): they enter together or are refused together,
 * and share their promises. So a put that waits costs its bytes and a few more, and `byteLength` is what all of them cost.
 *
 * Invariants: while one waits the process stays alive, as somebody may await it.
 *             A group is in one piece of memory, which no other write of the group's time is given.
 * Thread:     main.     Owns: the copies, and the promises of their writers.
 */
import { Deferred, WritePromises } from '../../shared/base/deferred.ts';
import { StorageError } from '../../shared/base/errors.ts';
import { freeBuffer } from '../../shared/base/free-buffer.ts';
import { keepProcessAlive } from '../../shared/base/process-keeper.ts';
import { setTimeout } from '../../shared/base/timers.ts';
import { MAX_UNIT_WRITES } from '../../shared/base/write-unit.ts';

const CHUNK_BYTES: number = 1024 * 1024;
/** A larger write has memory of its own: what it would leave over at the end of a chunk is too much. */
const MAX_SHARED_BYTES = 16384;
/** Empty chunks are kept this long for the next writes that wait: where writers outrun the store, some do every few
 * milliseconds. */
const KEPT_MS = 1000;

interface Chunk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  usedBytes: number;
  /** In it, and not dropped. */
  groupCount: number;
}

/** Writes that enter together. */
export class HeldGroup {
  readonly chunk: Chunk;
  readonly start: number;
  end: number;
  entryCount = 0;
  writeCount = 0;
  /** It is one write of several entries, alone. */
  readonly isBatch: boolean;
  /** It has entered or was refused: its memory may be another's. */
  isGone = false;
  readonly outcome: WritePromises = new WritePromises();

  constructor(chunk: Chunk, isBatch: boolean) {
    this.chunk = chunk;
    this.isBatch = isBatch;
    this.start = chunk.usedBytes;
    this.end = this.start;
  }

  get bytes(): Uint8Array {
    return this.chunk.bytes;
  }

  get byteLength(): number {
    return this.end - this.start;
  }
}

export class HeldWrites {
  readonly #unitBytes: number;
  /** From #oldest on, oldest first. */
  #groups: HeldGroup[] = [];
  #oldest = 0;
  #droppedCount = 0;
  /** The newest, as long as it takes writes. */
  #open: HeldGroup | undefined;
  /** With room for further groups. */
  #chunk: Chunk | undefined;
  /** Without any group. */
  #idleChunks: Chunk[] = [];
  #isFreeingDue = false;
  readonly #maxBytes: number;
  /** Resolved when half of what may wait is free again. */
  #room: Deferred | undefined;
  #memoryBytes = 0;
  #byteLength = 0;
  #count = 0;
  #keepAlive: (() => void) | undefined;

  /** `unitBytes`: at which a group takes no more. When more than `maxBytes` wait, no further write should. */
  constructor(unitBytes: number, maxBytes: number) {
    this.#unitBytes = unitBytes;
    this.#maxBytes = maxBytes;
  }

  /** Writes. */
  get count(): number {
    return this.#count;
  }

  /** Of all of them, encoded. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** What they take, with what is kept for those that come next. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** No further write may wait. */
  get isFull(): boolean {
    return this.#byteLength > this.#maxBytes;
  }

  /** Throws STRATA_BUSY when no further write may wait. */
  checkRoom(): void {
    if (!this.isFull) return;
    throw new StorageError(
      'STRATA_BUSY',
      `${this.#count} writes of ${this.#byteLength} bytes wait for room, more than maxHeldBytes (${this.#maxBytes}): nothing of this one was stored`,
    );
  }

  /** Resolves when {@link checkRoom} would not throw: at once, or when half of what may wait is free. Never rejects. */
  async room(): Promise<void> {
    if (this.#byteLength > this.#maxBytes) await this.#roomPromise();
  }

  /** The same for clients, who are slowed down before anybody is refused; undefined: there is room. */
  roomForClients(): Promise<void> | undefined {
    return this.#byteLength > this.#maxBytes / 2 ? this.#roomPromise() : undefined;
  }

  #roomPromise(): Promise<void> {
    this.#room ??= new Deferred();
    return this.#room.promise;
  }

  /** A group whose last `byteLength` bytes are for one write of `entryCount` entries: to be encoded there in this step. */
  add(byteLength: number, entryCount: number, isBatch: boolean): HeldGroup {
    this.#keepAlive ??= keepProcessAlive();
    if (isBatch) this.#open = undefined;
    const group = this.#groupFor(byteLength, isBatch);
    group.end += byteLength;
    group.entryCount += entryCount;
    group.writeCount++;
    group.chunk.usedBytes = group.end;
    this.#byteLength += byteLength;
    this.#count++;
    if (isBatch || group.writeCount === MAX_UNIT_WRITES || group.byteLength >= this.#unitBytes)
      this.#open = undefined;
    return group;
  }

  /** The oldest group. What comes from now on is in another one. */
  first(): HeldGroup | undefined {
    const group = this.#groups[this.#oldest];
    if (group === this.#open) this.#open = undefined;
    return group;
  }

  /** The group with this number, counted from the first one that ever waited; undefined: there is none yet, or none any more. */
  numbered(number: number): HeldGroup | undefined {
    return this.#groups[number - this.#droppedCount + this.#oldest];
  }

  /** Of the oldest group, and of the one that comes next when none waits. */
  get oldestNumber(): number {
    return this.#droppedCount;
  }

  /** Nothing, when it is not the oldest any more. */
  drop(group: HeldGroup): void {
    if (this.#groups[this.#oldest] !== group) return;
    group.isGone = true;
    this.#droppedCount++;
    this.#oldest++;
    // Not one by one, as that would move all others each time.
    if (this.#oldest * 2 > this.#groups.length) {
      this.#groups = this.#groups.slice(this.#oldest);
      this.#oldest = 0;
    }
    this.#byteLength -= group.byteLength;
    this.#count -= group.writeCount;
    if (--group.chunk.groupCount === 0) this.#giveBack(group.chunk);
    if (this.#count === 0) this.#freeLater();
  }

  rejectAll(error: unknown): void {
    for (let group = this.first(); group !== undefined; group = this.first()) {
      this.drop(group);
      group.outcome.fail(error);
    }
    this.letGo();
  }

  /** Some have left: resolves whoever waits for room, and lets the process go when no write waits; returns whether that is so. */
  letGo(): boolean {
    if (this.#byteLength <= this.#maxBytes / 2) {
      this.#room?.resolve();
      this.#room = undefined;
    }
    if (this.#count > 0) return false;
    this.#keepAlive?.();
    this.#keepAlive = undefined;
    return true;
  }

  /** Of the last one that waits now; it settles after all before it. */
  lastPromise(): Promise<void> | undefined {
    return this.#groups.length === this.#oldest ? undefined : this.#groups.at(-1)!.outcome.last;
  }

  #groupFor(byteLength: number, isBatch: boolean): HeldGroup {
    const open = this.#open;
    if (
      open !== undefined &&
      open.byteLength + byteLength <= this.#unitBytes &&
      hasRoom(open.chunk, byteLength)
    )
      return open;
    const group = new HeldGroup(this.#chunkFor(byteLength), isBatch);
    group.chunk.groupCount++;
    this.#groups.push(group);
    this.#open = group;
    return group;
  }

  #chunkFor(byteLength: number): Chunk {
    if (byteLength > MAX_SHARED_BYTES) return this.#newChunk(byteLength);
    if (this.#chunk === undefined || !hasRoom(this.#chunk, byteLength))
      this.#chunk = this.#idleChunks.pop() ?? this.#newChunk(CHUNK_BYTES);
    return this.#chunk;
  }

  #giveBack(chunk: Chunk): void {
    chunk.usedBytes = 0;
    if (chunk === this.#chunk) return;
    if (chunk.bytes.length === CHUNK_BYTES) this.#idleChunks.push(chunk);
    else this.#free(chunk);
  }

  /** What is kept, once nothing has waited for a while. */
  #freeLater(): void {
    if (this.#isFreeingDue) return;
    this.#isFreeingDue = true;
    setTimeout(() => {
      this.#isFreeingDue = false;
      if (this.#count > 0) return;
      for (const chunk of this.#idleChunks.splice(0)) this.#free(chunk);
      if (this.#chunk !== undefined) this.#free(this.#chunk);
      this.#chunk = undefined;
    }, KEPT_MS).unref();
  }

  #newChunk(byteLength: number): Chunk {
    this.#memoryBytes += byteLength;
    return { bytes: new Uint8Array(byteLength), usedBytes: 0, groupCount: 0 };
  }

  #free({ bytes }: Chunk): void {
    this.#memoryBytes -= bytes.length;
    freeBuffer(bytes.buffer);
  }
}

function hasRoom(chunk: Chunk, byteLength: number): boolean {
  return chunk.usedBytes + byteLength <= chunk.bytes.length;
}
