/**
 * Plays one history under one option set and compares every answer with the model's.
 */
import { join } from 'node:path';
import { type Answer, describeBoth, digest } from './answers.ts';
import { LAST, ModelPlayer } from './model-player.ts';
import type { Operation } from './operations.ts';
import type { OptionSet } from './option-sets.ts';
import { StorePlayer } from './store-player.ts';

/** Where a store differs from the model first, in words. */
export interface Divergence {
  /** Index of the operation; LAST follows the history. */
  readonly at: number;
  readonly operation: Operation;
  readonly found: string;
  readonly wanted: string;
}

let runs = 0;

/** `expected`: expectedDigests(operations). `root`: a directory for the store, which is removed again. */
export async function findDivergence(
  operations: readonly Operation[],
  expected: Float64Array,
  set: OptionSet,
  root: string,
): Promise<Divergence | undefined> {
  const player = new StorePlayer(set.optionsOf, join(root, `run-${++runs}`));
  const all = [...operations, ...LAST];
  let at = 0;
  try {
    await player.open();
    for (; at < all.length; at++) {
      const answer = await player.perform(all[at]!);
      if (digest(answer) === expected[at]) continue;
      const [found, wanted] = describeBoth(answer, wantedAt(all, at));
      return { at, operation: all[at]!, found, wanted };
    }
    return undefined;
  } catch (error) {
    const found = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { at, operation: all[at] ?? ['reopen'], found, wanted: 'no failure' };
  } finally {
    await player.end();
  }
}

function wantedAt(operations: readonly Operation[], at: number): Answer {
  const player = new ModelPlayer();
  for (const operation of operations.slice(0, at)) player.perform(operation);
  return player.perform(operations[at]!);
}
