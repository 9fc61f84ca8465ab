/**
 * A trace of everything all threads did to the disk, with its bytes, in shared memory.
 *
 *   Int32 word 0   the clock: every start and every end of an operation, and every mark of the test, is one tick
 *              1   bytes of records so far        2   handles so far
 *   byte 16...     record*
 *
 *   record    total bytes u32 | start u32 | end u32 | header bytes u32 | payload bytes u32 | header (JSON) | payload | pad
 *
 * Start and end come from one Atomics counter, so that "the write had returned before the sync began" can be told across
 * threads. An operation that fails is not recorded: no trace is taken while faults are injected.
 *
 * Thread: any writes; the reader waits until the run is over.
 */
import type { OperationKind } from './fault-control.ts';

export interface TraceHeader {
  readonly kind: OperationKind;
  readonly path: string;
  /** Of a rename. */
  readonly to?: string;
  readonly position?: number;
  /** The handle: given by open and create, used by write and datasync. */
  readonly handle?: number;
  /** Of makeDirectory: the directories that came into being, outermost first. */
  readonly created?: readonly string[];
}

export interface TraceRecord extends TraceHeader {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

const RECORDS_START = 16;
const PREFIX_BYTES = 20;

export class Trace {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(bufferOrBytes: SharedArrayBuffer | number) {
    this.buffer = typeof bufferOrBytes === 'number' ? new SharedArrayBuffer(bufferOrBytes) : bufferOrBytes;
    this.#words = new Int32Array(this.buffer);
  }

  /** The next moment. The first is 1. */
  tick(): number {
    return Atomics.add(this.#words, 0, 1) + 1;
  }

  get now(): number {
    return Atomics.load(this.#words, 0);
  }

  newHandle(): number {
    return Atomics.add(this.#words, 2, 1) + 1;
  }

  add(start: number, end: number, header: TraceHeader, bytes: Uint8Array): void {
    const text = Buffer.from(JSON.stringify(header));
    const total = Math.ceil((PREFIX_BYTES + text.length + bytes.length) / 4) * 4;
    const at = RECORDS_START + Atomics.add(this.#words, 1, total);
    if (at + total > this.buffer.byteLength) throw new Error('the trace is full: give it more bytes');
    const view = new DataView(this.buffer, at);
    view.setUint32(0, total, true);
    view.setUint32(4, start, true);
    view.setUint32(8, end, true);
    view.setUint32(12, text.length, true);
    view.setUint32(16, bytes.length, true);
    const target = new Uint8Array(this.buffer);
    target.set(text, at + 20);
    target.set(bytes, at + 20 + text.length);
  }

  /** All records, in the order in which they started. */
  records(): TraceRecord[] {
    const records: TraceRecord[] = [];
    const end = RECORDS_START + Atomics.load(this.#words, 1);
    for (let at = RECORDS_START; at < end; ) {
      const view = new DataView(this.buffer, at);
      const textLength = view.getUint32(12, true);
      const text = new Uint8Array(this.buffer, at + 20, textLength).slice();
      const header = JSON.parse(Buffer.from(text).toString()) as TraceHeader;
      const bytes = new Uint8Array(this.buffer, at + 20 + textLength, view.getUint32(16, true)).slice();
      records.push({ ...header, start: view.getUint32(4, true), end: view.getUint32(8, true), bytes });
      at += view.getUint32(0, true);
    }
    return records.sort((a, b) => a.start - b.start);
  }
}
