/**
 * The store of the demonstration: begun afresh in a directory that is empty or holds an earlier run, and nowhere else.
 *
 * The first record a run writes is its mark. A store without one is somebody's data: it is never touched.
 */
import { readdirSync } from 'node:fs';
import { StorageEngine, StorageError } from '../../src/main/index.ts';

export const DEMO_MARK = 'demo:wordnet';
/** Small enough that the data set fills it many times: the pool has tables to build while records still come in. */
const WRITE_BUFFER_BYTES = 8 * 1024 * 1024;

/** Something about the directory that only its owner can decide. Its message is the whole explanation. */
export class NotOurs extends Error {}

export async function openFreshStore(directory: string): Promise<StorageEngine> {
  if (await holdsEarlierRun(directory)) await StorageEngine.destroy(directory);
  const engine = await openStore(directory);
  await engine.put(DEMO_MARK, JSON.stringify({ startedAt: new Date().toISOString() }));
  return engine;
}

export function openStore(directory: string): Promise<StorageEngine> {
  return StorageEngine.open(directory, { writeBufferSize: WRITE_BUFFER_BYTES });
}

/** False when there is nothing to remove; throws when what is there isn't ours. */
async function holdsEarlierRun(directory: string): Promise<boolean> {
  const store = await openExisting(directory);
  if (store === undefined) {
    if (!isEmpty(directory)) throw notOurs(directory, 'is not empty and holds no store');
    return false;
  }
  try {
    const isMarked = store.hasSync(DEMO_MARK);
    // A run that was stopped before its first record left an empty store.
    const hasRecords = store.scan({ limit: 1 }).nextMany(1).length > 0;
    if (!isMarked && hasRecords) throw notOurs(directory, "holds a store that isn't this demonstration's");
    return true;
  } finally {
    await store.close();
  }
}

async function openExisting(directory: string): Promise<StorageEngine | undefined> {
  try {
    return await StorageEngine.open(directory, { createIfMissing: false, readOnly: true });
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    if (error.code === 'STRATA_NO_DATABASE') return undefined;
    const isUnreadable = error.code === 'STRATA_CORRUPTION' || error.code === 'STRATA_UNSUPPORTED';
    throw isUnreadable ? notOurs(directory, `holds a store that can't be read (${error.message})`) : error;
  }
}

/** LOCK may have been left by the attempt to open a store. */
function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).every((name) => name.startsWith('LOCK'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

function notOurs(directory: string, what: string): NotOurs {
  return new NotOurs(
    `${directory} ${what}; move it away, or name another directory: npm start -- ./elsewhere`,
  );
}
