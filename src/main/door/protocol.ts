/**
 * What is said at the door of a store (door.ts), in frames:
 *
 *   u32   length of what follows, little-endian      u8   kind      bytes
 *
 *   kind           from       bytes
 *   1 request      visitor    JSON {protocol, owner, command, args}: one for each connection, and nothing after it
 *   2 progress     owner      JSON: how far the command has come
 *   3 data         owner      a piece of what the command gives: a value, records, ...
 *   4 result       owner      JSON: the command has ended; then the connection ends
 *   5 error        owner      JSON of a WireError: likewise
 *   6 alive        owner      nothing: the command goes on. At once, and then every second
 *
 *   records of a scan, in the data:   u32 key length | u32 value length, 2^32 - 1: none was asked for | key | value
 *
 * `owner` is what LOCK says (lock-record.ts), which nobody but the user of the store can read. A visitor who goes ends its
 * command.
 *
 * Invariants: what is too long, or unknown, ends the connection; no more than a frame of it was kept.
 * Thread:     main. Pure.
 * Not chosen: HTTP: a parser of another party's bytes in every process that has a store. JSON lines: values are bytes.
 */
/** Of the request and of all that follows. A door knows one version; another one is refused with STRATA_UNSUPPORTED. */
export const DOOR_PROTOCOL = 1;

export const FrameKind = { Request: 1, Progress: 2, Data: 3, Result: 4, Error: 5, Alive: 6 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** Two keys of 64 KiB in base64, and a path. */
export const MAX_REQUEST_BYTES: number = 512 * 1024;
/** What an owner sends in one frame: what is larger is data. */
export const MAX_ANSWER_BYTES: number = 1024 * 1024;
/** Of data: small enough to be sent while others are served. */
export const DATA_BYTES: number = 64 * 1024;
/** How often an owner shows that a command goes on. */
export const ALIVE_MS = 1000;

const HEADER_BYTES = 5;
const RECORD_HEADER_BYTES = 8;
const NO_VALUE = 0xffffffff;

export interface Frame {
  readonly kind: number;
  readonly bytes: Buffer;
}

export interface DoorRequest {
  readonly protocol: number;
  readonly owner: string;
  readonly command: string;
  readonly args: Readonly<Record<string, unknown>>;
}

export function encodeFrame(kind: FrameKind, bytes: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + bytes.length);
  frame.writeUInt32LE(bytes.length + 1, 0);
  frame[HEADER_BYTES - 1] = kind;
  frame.set(bytes, HEADER_BYTES);
  return frame;
}

export function encodeJson(kind: FrameKind, value: unknown): Buffer {
  return encodeFrame(kind, Buffer.from(JSON.stringify(value) ?? 'null'));
}

/** undefined: it is no JSON. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Of a visitor who does not speak the protocol.
    return undefined;
  }
}

/** undefined: it is no request. */
export function parseRequest(bytes: Buffer): DoorRequest | undefined {
  const value = parseJson(bytes);
  if (!isRecord(value)) return undefined;
  const { protocol, owner, command, args } = value;
  if (typeof protocol !== 'number' || typeof owner !== 'string' || typeof command !== 'string')
    return undefined;
  return isRecord(args) ? { protocol, owner, command, args } : undefined;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Puts frames together from what a socket gives. */
export class FrameReader {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The frames that are complete with `chunk`; undefined: one is longer than it may be, or empty. */
  push(chunk: Buffer): Frame[] | undefined {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#length < HEADER_BYTES) return frames;
      const length = this.#header().readUInt32LE(0);
      if (length < 1 || length - 1 > this.#maxBytes) return undefined;
      if (this.#length < HEADER_BYTES - 1 + length) return frames;
      const all = this.#joined();
      const end = HEADER_BYTES - 1 + length;
      frames.push({ kind: all[HEADER_BYTES - 1]!, bytes: all.subarray(HEADER_BYTES, end) });
      this.#parts = end < all.length ? [all.subarray(end)] : [];
      this.#length -= end;
    }
  }

  /** At least the first bytes, in one piece. */
  #header(): Buffer {
    const [first] = this.#parts;
    return first !== undefined && first.length >= HEADER_BYTES ? first : this.#joined();
  }

  #joined(): Buffer {
    if (this.#parts.length > 1) this.#parts = [Buffer.concat(this.#parts)];
    return this.#parts[0]!;
  }
}

/** A record of a scan. */
export function encodeRecord(key: Uint8Array, value: Uint8Array | undefined): Buffer {
  const valueStart = RECORD_HEADER_BYTES + key.length;
  const record = Buffer.allocUnsafe(valueStart + (value?.length ?? 0));
  record.writeUInt32LE(key.length, 0);
  record.writeUInt32LE(value?.length ?? NO_VALUE, 4);
  record.set(key, RECORD_HEADER_BYTES);
  if (value !== undefined) record.set(value, valueStart);
  return record;
}

/** Puts records together from pieces of data, which are joined only when a record is complete. */
export class RecordReader {
  #parts: Buffer[] = [];
  #length = 0;
  /** Of the record that has begun, as far as is known. */
  #needed: number = RECORD_HEADER_BYTES;

  /** Those that are complete with `data`. */
  push(data: Buffer): [Buffer, Buffer | undefined][] {
    this.#parts.push(data);
    this.#length += data.length;
    const records: [Buffer, Buffer | undefined][] = [];
    if (this.#length < this.#needed) return records;
    const all = Buffer.concat(this.#parts);
    let at = 0;
    for (;;) {
      this.#needed = lengthAt(all, at);
      if (at + this.#needed > all.length) break;
      records.push(recordAt(all, at, at + this.#needed));
      at += this.#needed;
    }
    this.#parts = [all.subarray(at)];
    this.#length = all.length - at;
    return records;
  }

  /** Whether nothing is left of a record that has begun. */
  get isAtEnd(): boolean {
    return this.#length === 0;
  }
}

/** Of the record at `at`; of its header, where that is not complete. */
function lengthAt(bytes: Buffer, at: number): number {
  if (at + RECORD_HEADER_BYTES > bytes.length) return RECORD_HEADER_BYTES;
  const valueLength = bytes.readUInt32LE(at + 4);
  return RECORD_HEADER_BYTES + bytes.readUInt32LE(at) + (valueLength === NO_VALUE ? 0 : valueLength);
}

function recordAt(bytes: Buffer, at: number, end: number): [Buffer, Buffer | undefined] {
  const valueStart = at + RECORD_HEADER_BYTES + bytes.readUInt32LE(at);
  const hasValue = bytes.readUInt32LE(at + 4) !== NO_VALUE;
  return [
    bytes.subarray(at + RECORD_HEADER_BYTES, valueStart),
    hasValue ? bytes.subarray(valueStart, end) : undefined,
  ];
}
