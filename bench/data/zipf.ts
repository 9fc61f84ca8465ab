/**
 * Zipf: numbers of which few are drawn often, as YCSB draws them (Gray et al., "Quickly Generating Billion-Record
 * Synthetic Databases", 1994; theta 0.99), scattered over the key space so that the hot keys are not neighbours.
 */
import type { Random } from './random.ts';

const THETA = 0.99;

export class Zipf {
  readonly #random: Random;
  readonly #count: number;
  readonly #alpha: number = 1 / (1 - THETA);
  readonly #zeta: number;
  readonly #eta: number;

  constructor(random: Random, count: number) {
    this.#random = random;
    this.#count = count;
    this.#zeta = zeta(count);
    this.#eta = (1 - (2 / count) ** (1 - THETA)) / (1 - zeta(2) / this.#zeta);
  }

  /** A rank in [0, count); 0 is drawn most often. */
  rank(): number {
    const u = this.#random.fraction();
    const uz = u * this.#zeta;
    if (uz < 1) return 0;
    if (uz < 1 + 0.5 ** THETA) return Math.min(1, this.#count - 1);
    return Math.min(
      this.#count - 1,
      Math.floor(this.#count * (this.#eta * u - this.#eta + 1) ** this.#alpha),
    );
  }

  /** `length` record numbers; a rank is the same record throughout. */
  draws(length: number): Uint32Array {
    const drawn = new Uint32Array(length);
    for (let i = 0; i < length; i++) drawn[i] = scatter(this.rank()) % this.#count;
    return drawn;
  }
}

function zeta(count: number): number {
  let sum = 0;
  for (let i = 1; i <= count; i++) sum += 1 / i ** THETA;
  return sum;
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the output. */
function scatter(rank: number): number {
  let hash = rank;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
