/**
 * What the fuzz tests share: mutations that hurt decoders, and a loop that bounds time and memory.
 *
 * FUZZ_SECONDS lengthens each run; STRATA_SEED repeats one.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { StorageError } from '../../src/shared/base/errors.ts';
import { type Random, seededRandom } from './rng.ts';
import { freshSeed, reportSeed } from './run-budget.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 0.75);
/** A thousand times what an input takes, as the machine may be busy. */
const MAX_INPUT_MS = 3000;
/** Inputs are some KiB; what builds them leaves tens of megabytes of garbage before the first collection. */
const MAX_GROWTH_BYTES: number = 128 * 1024 * 1024;

/** Ends of ranges, long varints, values that are negative as 32-bit integers or unsafe as 64-bit ones. */
const NASTY: readonly (readonly number[])[] = [
  [0],
  [0xff],
  [0x7f],
  [0x80],
  [0x80, 0x00],
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0x7f],
  [0x00, 0x00, 0x00, 0x80],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

/** `bytes` with one to four changes, of length as well. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  let mutant = new Uint8Array(bytes);
  for (let n = random.between(1, 4); n > 0 && mutant.length > 0; n--) {
    // What ends a thing (a footer, a trailer, a checksum) says most about it.
    const at = random.chance(0.2)
      ? Math.max(0, mutant.length - random.between(1, 16))
      : random.below(mutant.length);
    const choice = random.below(6);
    if (choice === 0) mutant[at] = mutant[at]! ^ (1 << random.below(8));
    else if (choice === 1) mutant.set(random.pick(NASTY).slice(0, mutant.length - at), at);
    else if (choice === 2 && random.chance(0.3)) mutant = mutant.slice(0, at);
    else if (choice === 3) mutant.copyWithin(at, random.below(mutant.length), random.below(mutant.length));
    else if (choice === 4 && random.chance(0.3))
      mutant = new Uint8Array([...mutant.subarray(0, at), ...random.bytes(9), ...mutant.subarray(at)]);
    else mutant[at] = random.below(256);
  }
  return mutant;
}

/** Runs `read`, which may fail as damaged files may: CorruptionError, or a format or codec this release doesn't know. */
export function onlyCorruption(read: () => void): boolean {
  try {
    read();
    return true;
  } catch (error) {
    const isExpected =
      error instanceof StorageError &&
      (error.code === 'STRATA_CORRUPTION' || error.code === 'STRATA_UNSUPPORTED') &&
      error.file !== undefined;
    if (!isExpected) throw error;
    return false;
  }
}

/** Calls `once` again and again, and reports how often and how long the slowest call took. */
export function fuzz(t: TestContext, once: (random: Random) => boolean): void {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const rssBefore = process.memoryUsage().rss;
  const end = performance.now() + SECONDS * 1000;
  let executions = 0;
  let accepted = 0;
  let slowestMs = 0;
  for (let now = performance.now(); now < end; executions++) {
    const startedAt = now;
    if (once(random)) accepted++;
    now = performance.now();
    slowestMs = Math.max(slowestMs, now - startedAt);
  }
  const growth = process.memoryUsage().rss - rssBefore;
  t.diagnostic(`${executions} executions, ${accepted} accepted, the slowest took ${slowestMs.toFixed(1)} ms`);
  t.diagnostic(`FIGURE executions=${executions} slowest-ms=${slowestMs.toFixed(1)} failures=0`);
  assert.ok(slowestMs < MAX_INPUT_MS, `an input took ${slowestMs} ms`);
  assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes`);
}
