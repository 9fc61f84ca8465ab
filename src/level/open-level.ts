/**
 * From a location and options to a store for StrataLevel.
 *
 * Thread: that of the database.
 */
import { StorageEngine } from '../main/engine.ts';
import { engineOptionsOf, type GivenOptions } from './level-options.ts';
import type { LevelStore } from './level-store.ts';

/** A store that is open for one database. */
export interface OpenLevel {
  readonly store: LevelStore;
  /** undefined: another thread has it. */
  readonly engine: StorageEngine | undefined;
  close(): Promise<void>;
}

export async function openLevel(location: string, given: GivenOptions): Promise<OpenLevel> {
  const engine = await StorageEngine.open(location, engineOptionsOf(given));
  return { store: storeOf(engine), engine, close: () => engine.close() };
}

/** The engine takes its own snapshots alone, and checks them; LevelStore says that any may be passed. */
function storeOf(engine: StorageEngine): LevelStore {
  return engine as unknown as LevelStore;
}
