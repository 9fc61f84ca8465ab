/**
 * Makes a history from a seed: always the same one. Knows nothing of any store; what it remembers of its own snapshots and
 * scans only makes most of its operations meaningful.
 */
import {
  type KeyGenerator,
  KeyGenerator as Keys,
  MANY_VERSIONS,
  MIXED_KEYS,
} from '../helpers/key-generator.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import type { ModelRange } from '../helpers/sorted-model.ts';
import type { Change, History, Operation, ValueSpec } from './operations.ts';

const MAX_SNAPSHOTS = 4;
const MAX_SCANS = 4;

export function generateHistory(seed: number, count: number): History {
  return { origin: `seed ${seed}, ${count} operations`, operations: new Generator(seed).take(count) };
}

class Generator {
  readonly #random: Random;
  readonly #keys: KeyGenerator;
  readonly #choices: readonly (readonly [weight: number, make: () => Operation])[];
  #snapshots: number[] = [];
  #scans: number[] = [];
  #ids = 0;
  #tags = 0;

  constructor(seed: number) {
    const random = seededRandom(seed);
    this.#random = random;
    this.#keys = new Keys(random, random.chance(0.5) ? MIXED_KEYS : MANY_VERSIONS);
    const key = (): string => this.#keys.nearby();
    this.#choices = [
      [270, () => ['put', this.#keys.next(), this.#value(), ...this.#ttl()]],
      [90, () => ['delete', random.chance(0.3) ? this.#keys.next() : key()]],
      [14, () => ['deleteRange', this.#keys.doomed()]],
      [1, () => ['deleteRange', {}]],
      [30, () => ['update', key(), random.chance(0.2) ? null : this.#value(), ...this.#ttl()]],
      [20, () => this.#transaction()],
      [20, () => ['expiresAt', key()]],
      [30, () => ['pass', random.chance(0.9) ? random.between(1, 20) : random.between(50, 900)]],
      [45, () => ['batch', this.#changes(random.chance(0.1) ? 150 : 12)]],
      [30, () => ['burst', this.#changes(30)]],
      [220, () => ['get', key(), ...this.#at()]],
      [40, () => ['has', key(), ...this.#at()]],
      [40, () => ['getMany', Array.from({ length: random.below(10) }, key), ...this.#at()]],
      [110, () => ['scan', this.#range(), ...this.#at()]],
      [20, () => this.#snapshot()],
      [16, () => ['closeSnapshot', this.#oneOf(this.#snapshots)]],
      [25, () => this.#openScan()],
      [60, () => ['step', this.#oneOf(this.#scans), random.between(1, 30)]],
      [8, () => ['closeScan', this.#oneOf(this.#scans)]],
      [8, () => ['flush', random.chance(0.6)]],
      [3, () => ['compact', random.chance(0.6)]],
      [3, () => this.#compactRange()],
      [1, () => ['verify']],
      [1, () => this.#restart('reopen')],
      [1, () => this.#restart('crash')],
    ];
  }

  take(count: number): Operation[] {
    const total = this.#choices.reduce((sum, [weight]) => sum + weight, 0);
    return Array.from({ length: count }, () => {
      let ticket = this.#random.below(total);
      for (const [weight, make] of this.#choices) {
        ticket -= weight;
        if (ticket < 0) return make();
      }
      throw new Error('the weights do not add up');
    });
  }

  #value(): ValueSpec {
    const random = this.#random;
    const length = random.chance(0.08) ? 0 : random.chance(0.06) ? random.below(3000) : random.below(80);
    return [++this.#tags, length, random.chance(0.2) ? 'random' : 'text'];
  }

  #changes(most: number): Change[] {
    const random = this.#random;
    return Array.from({ length: random.between(0, most) }, () => this.#change());
  }

  #change(): Change {
    const random = this.#random;
    if (random.chance(0.02)) return [this.#keys.doomed(), null];
    const key = this.#keys.next();
    return random.chance(0.25) ? [key, null] : [key, this.#value(), ...this.#ttl()];
  }

  #ttl(): [] | [number] {
    const random = this.#random;
    if (!random.chance(0.15)) return [];
    return [random.chance(0.8) ? random.between(1, 100) : 100_000];
  }

  #transaction(): Operation {
    const random = this.#random;
    const keys = Array.from({ length: random.below(5) }, () => this.#keys.nearby());
    const changes = random.chance(0.1) ? [] : this.#changes(6);
    const bounds = this.#keys.doomed();
    if (random.chance(0.4)) return ['transaction', keys, bounds, changes, this.#change()];
    if (keys.length === 0 || random.chance(0.7)) return ['transaction', keys, bounds, changes];
    return ['transaction', keys, bounds, changes, [random.pick(keys), this.#value()]];
  }

  #range(): ModelRange {
    const random = this.#random;
    const bound = (name: keyof ModelRange, chance: number): object =>
      random.chance(chance) ? { [name]: this.#keys.nearby() } : {};
    if (random.chance(0.15)) return { prefix: this.#keys.nearby().slice(0, -1), reverse: random.chance(0.5) };
    return {
      ...bound('gt', 0.25),
      ...bound('gte', 0.35),
      ...bound('lt', 0.25),
      ...bound('lte', 0.35),
      ...(random.chance(0.5) ? { reverse: true } : {}),
      ...(random.chance(0.8) ? { limit: random.below(16) } : {}),
    };
  }

  /** At a snapshot, or now. */
  #at(): [] | [number] {
    const isNow = this.#snapshots.length === 0 || this.#random.chance(0.6);
    return isNow ? [] : [this.#random.pick(this.#snapshots)];
  }

  /** 0 is nobody's id. */
  #oneOf(ids: readonly number[]): number {
    return ids.length === 0 ? 0 : this.#random.pick(ids);
  }

  #snapshot(): Operation {
    if (this.#snapshots.length >= MAX_SNAPSHOTS) return ['closeSnapshot', this.#snapshots.shift()!];
    this.#snapshots.push(++this.#ids);
    return ['snapshot', this.#ids];
  }

  #openScan(): Operation {
    if (this.#scans.length >= MAX_SCANS) return ['closeScan', this.#scans.shift()!];
    this.#scans.push(++this.#ids);
    return ['openScan', this.#ids, this.#range(), ...this.#at()];
  }

  #compactRange(): Operation {
    const [start, end] = [this.#keys.nearby(), this.#keys.nearby()].sort();
    return ['compact', this.#random.chance(0.6), start!, end!];
  }

  #restart(how: 'reopen' | 'crash'): Operation {
    this.#snapshots = [];
    this.#scans = [];
    return [how];
  }
}
