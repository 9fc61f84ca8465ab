/**
 * How long random tests run, and from which seed: set from outside for long runs and to repeat a failure.
 *
 *   STRATA_SEED          the seed of every random test; without it a fresh one, which the test prints
 *   STRATA_<NAME>        a budget: operations, rounds
 */
import type { TestContext } from 'node:test';
import { freshSeed, reportSeed } from './rng.ts';

/** The seed of this run, printed beside the test's result. */
export function runSeed(t: TestContext): number {
  const seed = freshSeed();
  reportSeed(t, seed);
  return seed;
}

/** The number in the environment variable `name`, or `fallback`. */
export function runBudget(name: string, fallback: number): number {
  const given = process.env[name];
  if (given === undefined || given === '') return fallback;
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} must be a positive integer`);
  return value;
}
