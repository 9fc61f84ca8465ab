/**
 * Asks a store that lost power for the changes behind positions that it gave out before: what comes leads from what it held there
 * to what it holds now, or the position is refused, as what was there is lost.
 */
import type { StorageEngine } from '../../../src/main/engine.ts';
import { batchesUntilNow } from '../feed.ts';
import type { GivenPosition } from './traced-run.ts';
import { StateHash, type WriteModel } from './write-model.ts';

export interface AskedPositions {
  readonly positions: readonly GivenPosition[];
  /** How many writes were promised to survive: a position behind one of those is not lost. */
  readonly least: number;
  readonly model: WriteModel;
}

/** Those that were refused. Throws when one is taken that was lost, or refused that was not. */
export async function checkPositions(
  engine: StorageEngine,
  { positions, least, model }: AskedPositions,
  holds: string,
): Promise<string[]> {
  const refused: string[] = [];
  for (const { position, writes } of positions) {
    const values = model.valuesAfter(writes);
    const isTaken = await applyChanges(engine, position, values);
    if (isTaken) {
      const hash = new StateHash();
      for (const [key, value] of values) hash.add(Buffer.from(key), value);
      if (hash.toString() !== holds)
        throw new Error(
          `the changes behind write ${writes} lead to ${hash.toString()}, and the store holds ${holds}`,
        );
    } else if (writes <= least)
      throw new Error(`the position behind write ${writes} is refused, ${least} being durable`);
    else refused.push(position);
  }
  return refused;
}

export async function checkRefused(engine: StorageEngine, position: string): Promise<void> {
  if (await applyChanges(engine, position, new Map()))
    throw new Error('a position that was lost is taken again');
}

/** false: the position is refused. */
async function applyChanges(
  engine: StorageEngine,
  position: string,
  values: Map<string, Uint8Array>,
): Promise<boolean> {
  try {
    for (const { changes } of await batchesUntilNow(engine, position))
      for (const change of changes)
        if (change.type === 'put') values.set(change.key.toString(), change.value);
        else if (change.type === 'delete') values.delete(change.key.toString());
        else
          for (const key of [...values.keys()]) {
            const bytes = Buffer.from(key);
            const isBelow = change.end === undefined || bytes.compare(change.end) < 0;
            if (bytes.compare(change.start) >= 0 && isBelow) values.delete(key);
          }
    return true;
  } catch (error) {
    if ((error as { readonly code?: string }).code === 'STRATA_POSITION_LOST') return false;
    throw error;
  }
}
