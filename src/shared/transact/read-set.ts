/**
 * What a transaction has read: keys, found or not, and ranges as far as its scans went. Whoever judges its commit looks whether
 * any of it was written since.
 *
 * What it wrote itself before it is no read: that depends on nobody else.
 *
 * Thread: any.
 */
import { compareKeys, copyInto, keySuccessor } from '../base/bytes.ts';
import type { KeyRange } from '../base/iterator.ts';
import type { ScanEntry, ScanWitness } from '../read/scan.ts';
import type { WireReads } from '../threads/share-protocol.ts';
import { KeySet } from './key-set.ts';

const INITIAL_KEY_BYTES = 64;
/** Of the keys that a transaction reads, at first. */
const ROOM_BYTES = 256;
const MAX_IDLE_ROOMS = 64;
const NOTHING = new Uint8Array(0);
/** At most this many ranges stay as they are; more are put together where they overlap, before they are walked. */
const FEW_RANGES = 8;

/** As it is judged, and as it goes to another thread. */
export type Reads = WireReads;

export class ReadSet {
  #keys: KeySet | undefined;
  /** Bytes of the keys. */
  #used = 0;
  #scans: RangeRead[] | undefined;

  /** It is read next. */
  addKey(key: Uint8Array): void {
    const { length } = key;
    this.#keys ??= new KeySet(takeRoom());
    const keys = this.#keys;
    const end = this.#used + length;
    if (end > keys.bytes.length) {
      const grown = new Uint8Array(Math.max(keys.bytes.length * 2, end));
      grown.set(keys.bytes);
      keys.bytes = grown;
    }
    copyInto(keys.bytes, this.#used, key, 0, length);
    const { count } = keys;
    // Else the next one takes its place.
    if (keys.note(this.#used, end) === count) this.#used = end;
  }

  /** Nothing is read any more, nor asked for. */
  end(): void {
    if (this.#keys !== undefined) giveBack(this.#keys.bytes);
    this.#keys = undefined;
    this.#scans = undefined;
  }

  /** `start` and `end` as in a scan's options resolved. Returns who is to be told what it hands out. */
  addScan(range: KeyRange, reverse: boolean): ScanWitness {
    const scan = new RangeRead(range, reverse);
    this.#scans ??= [];
    this.#scans.push(scan);
    return scan;
  }

  /** What was read of ranges. */
  ranges(): KeyRange[] {
    if (this.#scans === undefined) return [];
    const ranges = this.#scans.flatMap((scan) => scan.range() ?? []);
    return ranges.length > FEW_RANGES ? unionOf(ranges) : ranges;
  }

  /** A copy that is the receiver's own. `mayExpire`: something that was read may. */
  toReads(mayExpire: boolean): Reads {
    const keys = this.#keys;
    const length = keys?.count ?? 0;
    const ends = Uint32Array.from({ length }, (_, i) => keys!.endOf(i));
    return { keys: keys?.bytes.slice(0, this.#used) ?? NOTHING, ends, ranges: this.ranges(), mayExpire };
  }
}

/** Room for the keys of transactions to come: making it would cost a short one more than all else. */
const idleRooms: Uint8Array[] = [];

function takeRoom(): Uint8Array {
  return idleRooms.pop() ?? new Uint8Array(ROOM_BYTES);
}

function giveBack(room: Uint8Array): void {
  if (room.length === ROOM_BYTES && idleRooms.length < MAX_IDLE_ROOMS) idleRooms.push(room);
}

/** How far one scan went. */
class RangeRead implements ScanWitness {
  readonly #range: KeyRange;
  readonly #reverse: boolean;
  #key: Uint8Array = new Uint8Array(INITIAL_KEY_BYTES);
  /** -1: nothing was handed out. */
  #keyLength = -1;
  #isWhole = false;

  constructor(range: KeyRange, reverse: boolean) {
    this.#range = range;
    this.#reverse = reverse;
  }

  given([key]: ScanEntry): void {
    const { length } = key;
    if (length > this.#key.length) this.#key = new Uint8Array(length * 2);
    copyInto(this.#key, 0, key, 0, length);
    this.#keyLength = length;
  }

  ended(): void {
    this.#isWhole = true;
  }

  range(): KeyRange | undefined {
    if (this.#isWhole) return this.#range;
    if (this.#keyLength < 0) return undefined;
    const key = this.#key.slice(0, this.#keyLength);
    const { start, end } = this.#range;
    return this.#reverse ? { start: key, end } : { start, end: keySuccessor(key) };
  }
}

/** The same keys as ranges that don't touch each other, in order. */
export function unionOf(ranges: readonly KeyRange[]): KeyRange[] {
  const sorted = [...ranges].sort((a, b) => compareStarts(a.start, b.start));
  const union: KeyRange[] = [];
  for (const range of sorted) {
    const last = union.at(-1);
    if (last === undefined || isBehind(range.start, last.end)) union.push(range);
    else if (reachesFurther(range.end, last.end))
      union[union.length - 1] = { start: last.start, end: range.end };
  }
  return union;
}

function compareStarts(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b === undefined) return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
  return compareKeys(a, b);
}

function isBehind(start: Uint8Array | undefined, end: Uint8Array | undefined): boolean {
  return start !== undefined && end !== undefined && compareKeys(start, end) > 0;
}

function reachesFurther(end: Uint8Array | undefined, than: Uint8Array | undefined): boolean {
  return than !== undefined && (end === undefined || compareKeys(end, than) > 0);
}
