/**
 * A segment of an archive: the writes of a store between two positions, as one object of the target.
 *
 *   segment = "strata-log\n"  u32 header length  header (JSON)  frame*  sha256 (32 bytes, of everything before)
 *   frame   = u8 kind  u64 time  u64 first sequence  u32 part  u32 payload length  payload
 *   payload = entry+            in the form of the log (log-format.ts), whatever their ordinals say
 *
 *   kind 1  writes      each entry is a write of its own
 *        2  batch       all entries are one write
 *        3  load        a part of an ingestion, counted from 0: all entries have the first sequence; more of it follows
 *        4  load end    likewise, and nothing follows
 *
 * The time of a frame is the one by which its writes were made, in milliseconds since 1970; times never fall. All numbers are
 * little-endian.
 *
 * The name of a segment says what it reaches, so that a restore finds those it needs in a list of names:
 *
 *   log/<branch>-<after>.<parts>-<to>.<parts>-<covered>-<epoch>-<digest>.seg
 *
 * `after` and `to` are sequences, of 16 digits, and so many parts of the load behind it; `covered` is the time until which no
 * write is missing, of 15 digits; `epoch` is the id of the one that `to` belongs to, so that what a store has shipped that was
 * refused afterwards is not taken for a part of the history; `digest` are the first 16 hexadecimal digits of the sha256. So the
 * names of a branch sort by age.
 *
 * Invariants: a segment holds every write of its store above `after`, up to `to`, and nothing else. One with no frames says that
 *             nothing was written until `covered`.
 * Thread:     main. Pure.
 * Not chosen: the files of the log as they are. A log goes on growing while it is shipped, and a load is in none.
 */
import { createHash } from 'node:crypto';
import { readU32, readU64, writeU32, writeU64 } from '../shared/base/bytes.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import { openFields, type SealedFields, TARGET_FORMAT } from './sealed-text.ts';

export const FrameKind = { Writes: 1, Batch: 2, Load: 3, LoadEnd: 4 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export interface Frame {
  readonly kind: FrameKind;
  readonly timeMs: number;
  readonly firstSequence: number;
  /** Of a load, which part this is; otherwise 0. */
  readonly part: number;
  readonly payload: Uint8Array;
}

/** What a segment says of itself. */
export interface SegmentHeader {
  readonly storeId: string;
  readonly branch: string;
  /** Positions. */
  readonly after: string;
  readonly to: string;
  readonly coveredMs: number;
}

/** A place in the writes of a store: behind the write that ends with the sequence, and so many parts of the load that follows. */
export interface LogPlace {
  readonly sequence: number;
  readonly parts: number;
}

export function comparePlaces(a: LogPlace, b: LogPlace): number {
  return a.sequence - b.sequence || a.parts - b.parts;
}

/** What it reaches; `epochId` is that of `to`. */
export interface SegmentReach {
  readonly after: LogPlace;
  readonly to: LogPlace;
  readonly epochId: string;
}

/** An object of a target, as it is listed. */
interface NamedObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/** What the name of a segment says. */
export interface SegmentName {
  readonly key: string;
  readonly sizeBytes: number;
  readonly branch: string;
  readonly after: LogPlace;
  readonly to: LogPlace;
  readonly coveredMs: number;
  /** That the sequence of `to` belongs to. */
  readonly epochId: string;
  readonly digest: string;
}

export const SEGMENTS = 'log/';
const MAGIC: Uint8Array = Buffer.from('strata-log\n');
const SHA_BYTES = 32;
const FRAME_HEADER_BYTES = 25;
const NAME =
  /^log\/(main|[0-9a-f]{16})-(\d{16})\.(\d{8})-(\d{16})\.(\d{8})-(\d{15})-([0-9a-f]{16})-([0-9a-f]{16})\.seg$/;
const POSITION = /^p1[-\w]{48}$/;
const MAX_HEADER_BYTES = 4096;

/** undefined: something else lies there. */
export function parseSegmentName({ key, sizeBytes }: NamedObject): SegmentName | undefined {
  const parts = NAME.exec(key);
  if (parts === null) return undefined;
  const [, branch, after, afterParts, to, toParts, covered, epochId, digest] = parts as unknown as string[];
  return {
    key,
    sizeBytes,
    branch: branch!,
    after: { sequence: Number(after), parts: Number(afterParts) },
    to: { sequence: Number(to), parts: Number(toParts) },
    coveredMs: Number(covered),
    epochId: epochId!,
    digest: digest!,
  };
}

function nameOf(
  { branch, coveredMs }: SegmentHeader,
  { after, to, epochId }: SegmentReach,
  sha256: Buffer,
): string {
  const digits = (value: number, count: number): string => String(value).padStart(count, '0');
  const place = ({ sequence, parts }: LogPlace): string => `${digits(sequence, 16)}.${digits(parts, 8)}`;
  const reach = `${place(after)}-${place(to)}-${digits(coveredMs, 15)}`;
  return `${SEGMENTS}${branch}-${reach}-${epochId}-${sha256.toString('hex').slice(0, 16)}.seg`;
}

/** Collects frames until they are worth an object. */
export class SegmentWriter {
  readonly #parts: Uint8Array[] = [];
  #byteLength = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  /** `payload` stays as it is from now on. */
  add({ kind, timeMs, firstSequence, part, payload }: Frame): void {
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    header[0] = kind;
    writeU64(header, 1, timeMs);
    writeU64(header, 9, firstSequence);
    writeU32(header, 17, part);
    writeU32(header, 21, payload.length);
    this.#parts.push(header, payload);
    this.#byteLength += FRAME_HEADER_BYTES + payload.length;
  }

  /** The object and its key. */
  finish(header: SegmentHeader, reach: SegmentReach): { readonly key: string; readonly bytes: Uint8Array } {
    const { storeId, branch, after, to, coveredMs } = header;
    const text = Buffer.from(
      JSON.stringify({ format: TARGET_FORMAT, storeId, branch, after, to, coveredMs }),
    );
    const length = new Uint8Array(4);
    writeU32(length, 0, text.length);
    const content = Buffer.concat([MAGIC, length, text, ...this.#parts]);
    const sha256 = createHash('sha256').update(content).digest();
    return { key: nameOf(header, reach, sha256), bytes: Buffer.concat([content, sha256]) };
  }
}

/** A segment as it was read. */
export interface Segment {
  readonly header: SegmentHeader;
  frames(): IterableIterator<Frame>;
}

/** @throws {@link CorruptionError} naming `file`; STRATA_UNSUPPORTED for a newer format. */
export function readSegment(bytes: Uint8Array, name: SegmentName, file: string): Segment {
  const end = bytes.length - SHA_BYTES;
  const fail = (what: string, offset = 0): CorruptionError => new CorruptionError(what, { file, offset });
  if (end < MAGIC.length + 4 || !isMagic(bytes)) throw fail('it is no segment of an archive');
  const sha256 = createHash('sha256').update(bytes.subarray(0, end)).digest();
  if (Buffer.compare(sha256, bytes.subarray(end)) !== 0) throw fail('the checksum does not match');
  if (!sha256.toString('hex').startsWith(name.digest)) throw fail('it is another segment than its name says');
  const headerLength = readU32(bytes, MAGIC.length);
  const headerEnd = MAGIC.length + 4 + headerLength;
  if (headerLength > MAX_HEADER_BYTES || headerEnd > end) throw fail('the header is too long', MAGIC.length);
  const fields = openFields(bytes.subarray(MAGIC.length + 4, headerEnd), file);
  return { header: headerOf(fields, name), frames: () => framesIn(bytes, headerEnd, end, file) };
}

function headerOf(fields: SealedFields, { branch, coveredMs }: SegmentName): SegmentHeader {
  if (fields.text('branch') !== branch) fields.fail('branch');
  if (fields.count('coveredMs') !== coveredMs) fields.fail('coveredMs');
  const [after, to] = [fields.text('after', POSITION), fields.text('to', POSITION)];
  return { storeId: fields.text('storeId'), branch, after, to, coveredMs };
}

function* framesIn(bytes: Uint8Array, start: number, end: number, file: string): IterableIterator<Frame> {
  let at = start;
  while (at < end) {
    const payload = at + FRAME_HEADER_BYTES;
    const next = payload > end ? -1 : payload + readU32(bytes, at + 21);
    const kind = bytes[at]!;
    if (next < 0 || next > end || !isFrameKind(kind))
      throw new CorruptionError('a frame is malformed', { file, offset: at });
    const [timeMs, firstSequence] = [readU64(bytes, at + 1), readU64(bytes, at + 9)];
    yield {
      kind,
      timeMs,
      firstSequence,
      part: readU32(bytes, at + 17),
      payload: bytes.subarray(payload, next),
    };
    at = next;
  }
}

function isFrameKind(kind: number): kind is FrameKind {
  return kind >= FrameKind.Writes && kind <= FrameKind.LoadEnd;
}

function isMagic(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0;
}
