/**
 * Keys that hurt: shared prefixes, empty, runs of 0x00 and 0xff, one byte more or less than another, used again.
 */
import type { Random } from './rng.ts';
import type { ModelBounds } from './sorted-model.ts';

export interface KeyShape {
  /** How often a key that was used before comes again, 0..1. */
  readonly reuse: number;
  /** Keys are remembered up to this many; fewer mean more versions of each. */
  readonly remembered: number;
}

/** A quarter of all keys were there before. */
export const MIXED_KEYS: KeyShape = { reuse: 0.25, remembered: 600 };
/** Few keys, many versions of each. */
export const MANY_VERSIONS: KeyShape = { reuse: 0.96, remembered: 40 };

const PREFIXES: readonly string[] = [
  '',
  'user:',
  'user:0000',
  '\x00',
  '\xff\xff',
  'a'.repeat(70),
  'sensor/7/',
];

export class KeyGenerator {
  readonly #random: Random;
  readonly #shape: KeyShape;
  readonly #known: string[] = [];

  constructor(random: Random, shape: KeyShape) {
    this.#random = random;
    this.#shape = shape;
  }

  /** A key as a latin1 string: new, or one given out earlier. */
  next(): string {
    const random = this.#random;
    if (this.#known.length > 0 && random.chance(this.#shape.reuse)) return random.pick(this.#known);
    const key = this.#fresh();
    if (this.#known.length < this.#shape.remembered) this.#known.push(key);
    else this.#known[random.below(this.#known.length)] = key;
    return key;
  }

  /** A key that is probably there: for reads. */
  nearby(): string {
    const random = this.#random;
    if (this.#known.length === 0 || random.chance(0.15)) return this.#fresh();
    const key = random.pick(this.#known);
    const kind = random.below(10);
    if (kind === 0) return `${key}\x00`;
    if (kind === 1) return key.slice(0, -1);
    return key;
  }

  /** What a range delete takes: mostly some neighbours, now and then a good part of all keys. */
  doomed(): ModelBounds {
    const random = this.#random;
    const kind = random.below(20);
    const key = this.nearby();
    if (kind < 7) return { prefix: key.length < 3 ? key : key.slice(0, -1) };
    if (kind < 11) return { [random.pick(['gt', 'gte'] as const)]: key, lt: `${key.slice(0, -1)}\xff` };
    if (kind < 13) return { gte: key, lte: key };
    if (kind === 13) return { gt: key };
    if (kind === 14) return { lt: key };
    const other = this.nearby();
    // Now and then the wrong way round: an empty range.
    const [low, high] = key < other || random.chance(0.2) ? [key, other] : [other, key];
    return {
      [random.pick(['gt', 'gte'] as const)]: low,
      [random.pick(['lt', 'lte'] as const)]: high,
    };
  }

  #fresh(): string {
    const random = this.#random;
    const kind = random.below(20);
    if (kind === 0) return '';
    if (kind === 1) return '\x00'.repeat(random.between(1, 9));
    if (kind === 2) return '\xff'.repeat(random.between(1, 9));
    if (kind === 3) return String.fromCharCode(random.below(256));
    if (kind === 4) return random.pick(PREFIXES) + 'k'.repeat(random.between(100, 400));
    if (kind <= 8) return Buffer.from(random.bytes(random.between(1, 12))).toString('latin1');
    return random.pick(PREFIXES) + String(random.below(5000)).padStart(4, '0');
  }
}

/** A value, compressible or not, mostly small; `tag` makes each one unlike all others. */
export function randomValue(random: Random, tag: string, largest = 3000): string {
  const kind = random.below(12);
  if (kind === 0) return '';
  if (kind === 1) return tag + 'v'.repeat(random.between(0, largest));
  if (kind === 2) return tag + Buffer.from(random.bytes(random.between(0, largest >> 2))).toString('latin1');
  return `${tag}:${'0123456789'.repeat(random.below(9))}`;
}
