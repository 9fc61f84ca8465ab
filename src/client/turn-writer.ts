/**
 * The writes of a client: those of one turn go to the owner as one message, in the form of the log.
 *
 *   put, delete, write   copied into one buffer within the call, each with its mark (share-protocol.ts)
 *   end of the turn      the buffer is transferred, not copied; each write's promise settles with its own outcome
 *
 * Invariants: writes arrive in the order of the calls. Each is atomic by itself: marks keep them apart.
 * Thread:     the client's.     Owns: the open turn.
 */
import type { Calls } from '../shared/calls.ts';
import { errorFromWire } from '../shared/errors.ts';
import type { InputBytes } from '../shared/input-bytes.ts';
import { EntryKind } from '../shared/iterator.ts';
import { encodedEntryBytes, encodeEntry } from '../shared/memtable/entry-codec.ts';
import type { OwnerCalls } from '../shared/share-protocol.ts';
import { queueMicrotask } from '../shared/timers.ts';
import { WriteBatch } from '../shared/write-batch.ts';

const INITIAL_BYTES = 4096;
/** A turn that comes to more is sent in parts. */
const MAX_TURN_BYTES: number = 16 * 1024 * 1024;

interface Writer {
  resolve(): void;
  reject(error: unknown): void;
}

export class TurnWriter {
  readonly #calls: Calls<OwnerCalls>;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #end = 0;
  #marks: number[] = [];
  #writers: Writer[] = [];

  constructor(calls: Calls<OwnerCalls>) {
    this.#calls = calls;
  }

  /** One put or delete. Copies the bytes before it returns. */
  append(kind: EntryKind, key: InputBytes, value: InputBytes, sync: boolean): Promise<void> {
    const valueEnd = kind === EntryKind.Put ? value.end : 0;
    const byteLength = encodedEntryBytes(key.end, valueEnd);
    const room = this.#room(byteLength);
    encodeEntry(room, this.#end, kind, key.bytes, 0, key.end, value.bytes, 0, valueEnd);
    return this.#mark(byteLength, 1, key.end + valueEnd, sync);
  }

  /** All of a batch, or nothing. Copies the bytes before it returns. */
  appendBatch(batch: WriteBatch, sync: boolean): Promise<void> {
    this.#room(batch.byteLength).set(WriteBatch.encoded(batch), this.#end);
    return this.#mark(batch.byteLength, batch.length, batch.dataByteLength, sync);
  }

  /** Sends what the turn has brought so far: what is asked of the owner next comes after it. */
  send(): void {
    const bytes = this.#bytes;
    if (bytes === undefined) return;
    const writers = this.#writers;
    const writes = { bytes: bytes.subarray(0, this.#end), marks: Uint32Array.from(this.#marks) };
    this.#bytes = undefined;
    this.#end = 0;
    this.#marks = [];
    this.#writers = [];
    this.#calls.call('write', [writes], [bytes.buffer, writes.marks.buffer]).then(
      (failed) => {
        for (const { index, error } of failed) writers[index]?.reject(errorFromWire(error));
        for (const writer of writers) writer.resolve();
      },
      (error: unknown) => {
        for (const writer of writers) writer.reject(error);
      },
    );
  }

  #mark(byteLength: number, count: number, dataByteLength: number, sync: boolean): Promise<void> {
    this.#end += byteLength;
    this.#marks.push(byteLength, count, dataByteLength, sync ? 1 : 0);
    return new Promise((resolve, reject) => this.#writers.push({ resolve, reject }));
  }

  /** A buffer with `byteLength` bytes free behind #end. */
  #room(byteLength: number): Uint8Array {
    if (this.#end > 0 && this.#end + byteLength > MAX_TURN_BYTES) this.send();
    const bytes = this.#bytes;
    const needed = this.#end + byteLength;
    if (bytes === undefined) {
      queueMicrotask(() => this.send());
      this.#bytes = new Uint8Array(Math.max(needed, INITIAL_BYTES));
    } else if (needed > bytes.length) {
      this.#bytes = new Uint8Array(Math.max(needed, bytes.length * 2));
      this.#bytes.set(bytes.subarray(0, this.#end));
    }
    return this.#bytes!;
  }
}
