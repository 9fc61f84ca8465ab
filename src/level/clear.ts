/**
 * db.clear(): one deleted range, however many keys lie in it; where there is a limit, or a snapshot that says which keys, deletes
 * of those keys, some at a time.
 *
 * Invariants: without limit and snapshot it is atomic, and costs the same for one key and for a million. With them it need not be
 *             atomic, as abstract-level says.
 * Thread:     that of the database.
 */
import { WriteBatch } from '../shared/log/write-batch.ts';
import { nextManyAwaited, type Scan } from '../shared/read/scan.ts';
import { inputOf, type LevelRange, rangeOf } from './formats.ts';
import { LevelSnapshot } from './level-snapshot.ts';
import type { LevelStore } from './level-store.ts';
import type { LevelWriteOptions, Writes } from './writes.ts';

/** What abstract-level hands on. */
export interface ClearOptions extends LevelRange, LevelWriteOptions {
  readonly reverse: boolean;
  /** -1: none. */
  readonly limit: number;
  readonly snapshot?: unknown;
}

const DELETES_AT_ONCE = 1000;

export async function clearRange(store: LevelStore, writes: Writes, options: ClearOptions): Promise<void> {
  const { reverse, limit } = options;
  const snapshot = LevelSnapshot.momentOf(options.snapshot);
  const range = rangeOf(options);
  const batch = new WriteBatch();
  if (limit === -1 && snapshot === undefined)
    return await writes.write(batch.deleteRange(range ?? { all: true }), options);
  const scan: Scan = store.scan({ ...range, reverse, limit, snapshot, values: false, fillCache: false });
  try {
    for (;;) {
      const entries = await nextManyAwaited(scan, DELETES_AT_ONCE);
      if (entries.length === 0) return;
      batch.clear();
      for (const [key] of entries) batch.delete(inputOf(key));
      await writes.write(batch, options);
    }
  } finally {
    scan.close();
  }
}
