/**
 * The writes of a client: those of one turn go to the owner as one message, in the form of the log.
 *
 *   put, delete, write   copied within the call to the end of the last parcel, in units that have one fate (write-unit.ts), each
 *                        with its mark (share-protocol.ts)
 *   end of the turn      parcels are transferred, not copied, as long as what was sent and not answered is within bounds
 *   an answer            settles the writes of its parcel, and sends what waits here
 *
 *     put -> parcel, parcel, ... parcel      |  sent: MAX_SENT_BYTES, MAX_SENT_CALLS  | -> owner
 *            waiting: maxHeldBytes, then STRATA_BUSY
 *
 * So a client that does not await its writes is slowed down here, in its own thread and memory: neither the queue of the port
 * nor what the owner has to hold grows by more than what is sent.
 *
 * Invariants: writes arrive in the order of the calls. Each is atomic: a unit enters whole, and a batch is one by itself.
 *             While one waits here another one is at the owner, whose answer sends it on.
 * Thread:     the client's.     Owns: what waits here.
 */
import { copyInto } from '../shared/base/bytes.ts';
import { Deferred } from '../shared/base/deferred.ts';
import { EntryKind } from '../shared/base/entry.ts';
import { errorFromWire, StorageError } from '../shared/base/errors.ts';
import { userBytesOf } from '../shared/base/expiry.ts';
import type { InputBytes } from '../shared/base/input-bytes.ts';
import { queueMicrotask } from '../shared/base/timers.ts';
import { MAX_UNIT_WRITES } from '../shared/base/write-unit.ts';
import { encodedEntryBytes, encodeEntry, tagOf } from '../shared/log/entry-codec.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import type { Calls } from '../shared/threads/calls.ts';
import {
  type Attachment,
  type FailedWrite,
  MARK_WORDS,
  MarkFlag,
  type OwnerCalls,
} from '../shared/threads/share-protocol.ts';

const INITIAL_BYTES = 4096;
/** A parcel that has come to so much takes no more: the owner copies it in some milliseconds. */
const PARCEL_BYTES: number = 1024 * 1024;
/** Sent and not answered: enough for the owner never to wait for the next parcel. One parcel may go beyond it. */
const MAX_SENT_BYTES: number = 4 * 1024 * 1024;
/** A message costs some kilobytes on either side, however small. */
const MAX_SENT_CALLS = 64;

/** What becomes one message. */
class Parcel {
  bytes: Uint8Array<ArrayBuffer>;
  end = 0;
  readonly marks: number[] = [];
  readonly units: Deferred[] = [];
  writeCount = 0;
  /** Writes of the last unit. */
  unitWrites = 0;
  /** For whoever waits until it is sent. */
  sent: Deferred | undefined;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  /** Makes room for `byteLength` more bytes. */
  grow(byteLength: number): void {
    const needed = this.end + byteLength;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, Math.min(this.bytes.length * 2, PARCEL_BYTES)));
    copyInto(grown, 0, this.bytes, 0, this.end);
    this.bytes = grown;
  }

  /** Counts a write that was put at the end: into the last unit, or a new one. */
  mark(
    byteLength: number,
    count: number,
    dataBytes: number,
    flags: number,
    unitBytes: number,
  ): Promise<void> {
    const { marks, units } = this;
    this.end += byteLength;
    this.writeCount++;
    const at = marks.length - MARK_WORDS;
    const joins =
      at >= 0 &&
      (flags & MarkFlag.Batch) === 0 &&
      marks[at + 3] === flags &&
      marks[at]! + byteLength <= unitBytes &&
      this.unitWrites < MAX_UNIT_WRITES;
    if (joins) {
      marks[at]! += byteLength;
      marks[at + 1]! += count;
      marks[at + 2]! += dataBytes;
      this.unitWrites++;
    } else {
      marks.push(byteLength, count, dataBytes, flags);
      units.push(new Deferred());
      this.unitWrites = 1;
    }
    return units.at(-1)!.promise;
  }

  answered(failed: readonly FailedWrite[]): void {
    for (const { index, error } of failed) this.units[index]?.reject(errorFromWire(error));
    for (const unit of this.units) unit.resolve();
  }

  fail(error: unknown): void {
    for (const unit of this.units) unit.reject(error);
    this.sent?.resolve();
  }
}

export class TurnWriter {
  readonly #calls: Calls<OwnerCalls>;
  readonly #maxHeldBytes: number;
  readonly #unitBytes: number;
  /** Oldest first; the last one may take more. */
  #waiting: Parcel[] = [];
  #waitingBytes = 0;
  #waitingWrites = 0;
  #sentBytes = 0;
  #sentCalls = 0;
  /** Takes more writes. */
  #open: Parcel | undefined;
  #isTurnEndDue = false;
  /** Resolved when half of what may wait is free again. */
  #room: Deferred | undefined;

  constructor(
    calls: Calls<OwnerCalls>,
    { maxHeldBytes, unitBytes }: Pick<Attachment, 'maxHeldBytes' | 'unitBytes'>,
  ) {
    this.#calls = calls;
    this.#maxHeldBytes = maxHeldBytes;
    this.#unitBytes = unitBytes;
  }

  /** Writes that wait in this thread. */
  get heldWrites(): number {
    return this.#waitingWrites;
  }

  /** Of these, in the form of the log. */
  get heldBytes(): number {
    return this.#waitingBytes;
  }

  /** Of writes that were sent and not answered. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** One put or delete. Copies the bytes before it returns. Throws STRATA_BUSY. */
  append(kind: EntryKind, key: InputBytes, value: InputBytes, sync: boolean): Promise<void> {
    const valueEnd = kind === EntryKind.Delete ? 0 : value.end;
    const byteLength = encodedEntryBytes(key.end, valueEnd, kind);
    const parcel = this.#parcelFor(byteLength);
    encodeEntry(parcel.bytes, parcel.end, tagOf(kind), key.bytes, 0, key.end, value.bytes, 0, valueEnd);
    return this.#added(parcel, byteLength, 1, userBytesOf(kind, key.end, valueEnd), sync);
  }

  /** All of a batch, or nothing, as {@link append}. */
  appendBatch(batch: WriteBatch, sync: boolean): Promise<void> {
    const parcel = this.#parcelFor(batch.byteLength);
    copyInto(parcel.bytes, parcel.end, WriteBatch.encoded(batch), 0, batch.byteLength);
    return this.#added(parcel, batch.byteLength, batch.length, batch.dataByteLength, sync);
  }

  /**
   * Sends what was written so far: what is asked of the owner next comes after it. Resolves when all of it is on its way,
   * whatever becomes of it; undefined: it is.
   */
  sent(): Promise<void> | undefined {
    this.#send();
    const last = this.#waiting.at(-1);
    if (last === undefined) return undefined;
    // What is written from now on may come later.
    this.#open = undefined;
    last.sent ??= new Deferred();
    return last.sent.promise;
  }

  /** The next write would be refused with STRATA_BUSY. */
  get isBusy(): boolean {
    return this.#waitingBytes > this.#maxHeldBytes;
  }

  /** Resolves when a write would not be refused with STRATA_BUSY: at once, or when half of what may wait is free. */
  async writable(): Promise<void> {
    if (!this.isBusy) return;
    this.#room ??= new Deferred();
    await this.#room.promise;
  }

  /** The client has ended. */
  end(error: StorageError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#open = undefined;
    this.#waitingBytes = 0;
    this.#waitingWrites = 0;
    for (const parcel of waiting) parcel.fail(error);
    this.#tellRoom();
  }

  /** The parcel that takes a write of `byteLength` bytes, with room for it. */
  #parcelFor(byteLength: number): Parcel {
    if (this.#waitingBytes > this.#maxHeldBytes)
      throw new StorageError(
        'STRATA_BUSY',
        `${this.#waitingWrites} writes of ${this.#waitingBytes} bytes wait in this thread, more than maxHeldBytes (${this.#maxHeldBytes}): nothing of this one was stored`,
      );
    if (!this.#isTurnEndDue) {
      this.#isTurnEndDue = true;
      queueMicrotask(() => {
        this.#isTurnEndDue = false;
        this.#send();
      });
    }
    if (this.#open !== undefined && this.#open.end + byteLength > PARCEL_BYTES) {
      this.#open = undefined;
      this.#send();
    }
    if (this.#open === undefined) {
      // Where others wait, much is being written.
      const expected = this.#waiting.length > 0 ? PARCEL_BYTES : INITIAL_BYTES;
      this.#open = new Parcel(Math.max(expected, byteLength));
      this.#waiting.push(this.#open);
    }
    this.#open.grow(byteLength);
    return this.#open;
  }

  #added(parcel: Parcel, byteLength: number, count: number, dataBytes: number, sync: boolean): Promise<void> {
    this.#waitingBytes += byteLength;
    this.#waitingWrites++;
    const flags = (sync ? MarkFlag.Sync : 0) | (count > 1 ? MarkFlag.Batch : 0);
    return parcel.mark(byteLength, count, dataBytes, flags, this.#unitBytes);
  }

  /** What waits, as far as it may be on its way. */
  #send(): void {
    while (this.#waiting.length > 0 && this.#sentBytes < MAX_SENT_BYTES && this.#sentCalls < MAX_SENT_CALLS)
      this.#sendOne(this.#waiting.shift()!);
    this.#tellRoom();
  }

  #sendOne(parcel: Parcel): void {
    if (parcel === this.#open) this.#open = undefined;
    const { end: byteLength, sent } = parcel;
    this.#waitingBytes -= byteLength;
    this.#waitingWrites -= parcel.writeCount;
    this.#sentBytes += byteLength;
    this.#sentCalls++;
    const writes = { bytes: parcel.bytes.subarray(0, byteLength), marks: Uint32Array.from(parcel.marks) };
    const done = (): void => {
      this.#sentBytes -= byteLength;
      this.#sentCalls--;
      this.#send();
    };
    this.#calls.call('write', [writes], [parcel.bytes.buffer, writes.marks.buffer]).then(
      (failed) => {
        parcel.answered(failed);
        done();
      },
      (error: unknown) => {
        parcel.fail(error);
        done();
      },
    );
    sent?.resolve();
  }

  #tellRoom(): void {
    if (this.#room === undefined || this.#waitingBytes > this.#maxHeldBytes / 2) return;
    this.#room.resolve();
    this.#room = undefined;
  }
}
