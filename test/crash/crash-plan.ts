/**
 * What the child of the kill loop writes, known to the parent without being told: batch n of a round follows from the
 * seed, the round and n alone.
 *
 * A batch that was lost in one round comes again with the same number and other content in the next, so that a lost one
 * that comes back later is noticed.
 */

import type { EngineOptions } from '../../src/main/index.ts';
import { applyTo, type BatchEntry } from '../helpers/batch-entries.ts';
import { randomValue } from '../helpers/key-generator.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import type { ModelBounds, SortedModel } from '../helpers/sorted-model.ts';

const YEAR_MS = 365 * 24 * 3600 * 1000;

export interface CrashPlan {
  readonly directory: string;
  readonly seed: number;
  readonly round: number;
  /** Number of the first batch of this round; those before it are in the store. */
  readonly firstBatch: number;
  readonly options: EngineOptions;
  /** Batches in flight at most. */
  readonly inFlight: number;
  /** Kill the process after so many file operations; 0: it is killed from outside. */
  readonly killAfter: number;
  /** A consumer follows the changes from this position on; '': from where the store is opened. */
  readonly followFrom: string;
}

export interface PlannedBatch {
  readonly entries: readonly BatchEntry[];
  readonly sync: boolean;
}

export function plannedBatch({ seed, round }: Pick<CrashPlan, 'seed' | 'round'>, n: number): PlannedBatch {
  const random = seededRandom(seed ^ Math.imul(round + 1, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca77));
  const kind = random.below(10);
  const count = kind < 4 ? 1 : kind < 9 ? random.between(10, 60) : random.between(60, 200);
  const entries = Array.from({ length: count }, (_, i): BatchEntry => {
    if (random.chance(count === 1 ? 0.08 : 0.02)) return [rangeOf(random), undefined];
    const key = keyOf(random);
    // Expires when no test runs any more.
    if (random.chance(0.1)) return [key, `expires ${round}.${n}.${i}`, YEAR_MS];
    return [key, random.chance(0.25) ? undefined : randomValue(random, `${round}.${n}.${i}`, 800)];
  });
  return { entries, sync: random.chance(0.15) };
}

/** Mostly of some keys, now and then of a third of them. */
function rangeOf(random: Random): ModelBounds {
  const key = keyOf(random);
  const kind = random.below(10);
  if (kind === 0) return { prefix: random.pick(['a', 'user:', 'z/']) };
  if (kind < 5) return { prefix: key.length < 3 ? 'a1' : key };
  return { gte: key, [random.pick(['lt', 'lte'] as const)]: `${key.slice(0, -1)}~` };
}

function keyOf(random: Random): string {
  if (random.chance(0.02)) return '';
  return `${random.pick(['a', 'user:', 'z/long/prefix/'])}${random.below(700)}`;
}

/** What the store holds once `batch` is in it. */
export function applyBatch(model: SortedModel, batch: PlannedBatch): void {
  for (const entry of batch.entries) applyTo(model, entry);
}

/** Small buffers, so that a short life sees flushes and compactions. */
export function randomOptions(random: Random): EngineOptions {
  const KIB = 1024;
  return {
    writeBufferSize: random.pick([8, 16, 32, 64, 256, 1024]) * KIB,
    maxFileSize: random.pick([4, 8, 32, 128]) * KIB,
    blockSize: random.pick([64, 256, 1024, 4096]),
    blockRestartInterval: random.pick([1, 4, 16]),
    compression: random.pick(['none', 'snappy'] as const),
    bloomBitsPerKey: random.pick([0, 10]),
    cacheSize: random.pick([0, 64 * KIB, 8 * 1024 * KIB]),
    maxOpenFiles: random.pick([8, 1000]),
    threads: random.pick([0, 1, 1, 2]),
    sync: random.chance(0.1),
    retainChanges: { bytes: 2 ** 40 },
  };
}
