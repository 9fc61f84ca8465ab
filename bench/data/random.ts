/**
 * Random: a seeded generator (sfc32, Chris Doty-Humphrey's small fast chaotic PRNG), so that every store and every run
 * gets the same data in the same order.
 *
 * Not chosen: Math.random, which can't be seeded; node:crypto, which costs more than the operations measured.
 */
const TWO_TO_32 = 4_294_967_296;
/** The state is well mixed after this many steps. */
const WARM_UP_STEPS = 12;

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = 0x9e3779b9;
    this.#c = Math.floor(seed / TWO_TO_32) >>> 0;
    for (let i = 0; i < WARM_UP_STEPS; i++) this.next32();
  }

  /** Uniform in [0, 2^32). */
  next32(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.next32() / TWO_TO_32;
  }

  /** Uniform in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  /** 0 to count - 1, each once, in random order. */
  permutation(count: number): Uint32Array {
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[i] = i;
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swapped = order[i]!;
      order[i] = order[j]!;
      order[j] = swapped;
    }
    return order;
  }

  /** `length` numbers below `bound`, uniform and independent. */
  draws(length: number, bound: number): Uint32Array {
    const drawn = new Uint32Array(length);
    for (let i = 0; i < length; i++) drawn[i] = this.below(bound);
    return drawn;
  }
}
