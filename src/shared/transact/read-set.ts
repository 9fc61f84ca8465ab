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
import { KeySet } from './key-set.ts';

const INITIAL_KEY_BYTES = 64;
/** At most this many ranges stay as they are; more are put together where they overlap, before they are walked. */
const FEW_RANGES = 8;

/** As it is judged, and as it goes to another thread. */
export interface Reads {
  /** The keys, one behind the other. */
  readonly keys: Uint8Array;
  /** Where each of them ends. */
  readonly ends: Uint32Array;
  /** Of keys from `start` on, up to `end` without it. */
  readonly ranges: readonly KeyRange[];
}

export class ReadSet {
  readonly keys: KeySet = new KeySet();
  readonly #scans: RangeRead[] = [];

  /** `start` and `end` as in a scan's options resolved. Returns who is to be told what it hands out. */
  addScan(range: KeyRange, reverse: boolean): ScanWitness {
    const scan = new RangeRead(range, reverse);
    this.#scans.push(scan);
    return scan;
  }

  /** What was read of ranges. */
  ranges(): KeyRange[] {
    if (this.#scans.length === 0) return [];
    const ranges = this.#scans.flatMap((scan) => scan.range() ?? []);
    return ranges.length > FEW_RANGES ? unionOf(ranges) : ranges;
  }

  /** A copy that is the receiver's own. */
  toReads(): Reads {
    const { count } = this.keys;
    const ends = Uint32Array.from({ length: count }, (_, i) => this.keys.endOf(i));
    return { keys: this.keys.bytes.slice(0, ends.at(-1) ?? 0), ends, ranges: this.ranges() };
  }
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
