/**
 * A store whose gate is in the hands of a test: writes are held as long as it says, whatever the disk does.
 */
import type { TestContext } from 'node:test';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import type { RunningStore } from '../../src/main/running-store.ts';
import type { StoreParts } from '../../src/main/store-parts.ts';
import type { WriteGate } from '../../src/main/write/write-gate.ts';
import { openTiny } from './engines.ts';

export interface HeldGate {
  readonly engine: StorageEngine;
  readonly gate: WriteGate;
  readonly store: StoreParts;
  /** Writes are held from now on: nothing in the store asks for anything else until it has something to do. */
  hold(): void;
  /** The gate is the store's own again. */
  release(): void;
}

/** With room for all that a test writes, so that no flush begins by itself. */
export async function openWithGate(t: TestContext, options: EngineOptions = {}): Promise<HeldGate> {
  const { fromCore } = StorageEngine;
  let made: RunningStore | undefined;
  StorageEngine.fromCore = (make) =>
    fromCore.call(StorageEngine, (tell) => {
      const core = make(tell);
      made = core.store;
      return core;
    });
  try {
    const engine = await openTiny(t, { writeBufferSize: 64 * 1024 * 1024, ...options });
    const { parts: store, scheduler } = made!;
    return {
      engine,
      gate: store.gate,
      store,
      hold: () => store.gate.set('closed', 'level0'),
      release: () => scheduler.update(),
    };
  } finally {
    StorageEngine.fromCore = fromCore;
  }
}
