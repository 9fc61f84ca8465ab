/**
 * A history of writes that main and its readers derive from the same seed: what must be found at any moment of it.
 */
import { seededRandom } from '../../helpers/rng.ts';

export const HISTORY_KINDS = ['random', 'rising', 'falling', 'long prefixes', 'few keys'] as const;
export type HistoryKind = (typeof HISTORY_KINDS)[number];

export interface SharedRun {
  readonly buffer: SharedArrayBuffer;
  readonly kind: HistoryKind;
  readonly seed: number;
  readonly writes: number;
  /** Of the reader, so that readers differ. */
  readonly readerSeed: number;
}

export class SharedHistory {
  /** All keys there ever will be, in order. */
  readonly keys: readonly Uint8Array[];
  /** The key of each write, as an index into `keys`. */
  readonly order: Uint32Array;
  /** Per key, its writes, ascending. */
  readonly writesOf: readonly number[][];

  constructor(kind: HistoryKind, seed: number, writes: number) {
    const random = seededRandom(seed);
    const count = kind === 'few keys' ? 300 : Math.ceil(writes * 0.7);
    const texts = new Set<string>();
    while (texts.size < count) texts.add(keyText(kind, random.below(2 ** 31)));
    const sorted = [...texts].map((text) => Buffer.from(text)).sort(Buffer.compare);
    this.keys = sorted.map((key) => new Uint8Array(key));
    this.order = Uint32Array.from({ length: writes }, (_, i) => {
      if (kind === 'rising') return Math.floor((i / writes) * count);
      if (kind === 'falling') return count - 1 - Math.floor((i / writes) * count);
      return random.below(count);
    });
    const writesOf: number[][] = this.keys.map(() => []);
    for (const [write, key] of this.order.entries()) writesOf[key]!.push(write);
    this.writesOf = writesOf;
  }

  /** The newest write of a key among the first `count`; undefined: none. */
  newest(key: number, count: number): number | undefined {
    return this.writesOf[key]!.findLast((write) => write < count);
  }

  /** The first key >= `key`, by its index. */
  firstFrom(key: Uint8Array): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(this.keys[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function keyText(kind: HistoryKind, number: number): string {
  if (kind === 'long prefixes') return `${'p'.repeat(20 + (number % 3) * 40)}${number}`;
  return kind === 'random' ? `${number}`.repeat(1 + (number % 3)) : `key-${number}`;
}
