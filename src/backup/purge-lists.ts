/**
 * purges/<purge>.json: the objects that a purge may delete. It is written before the purge looks, for the last time, for backups
 * under way; a backup looks at these lists after it has written its lease. So of a purge and a backup at least one sees the
 * other: the purge spares what a lease names, the backup does not build upon what is listed here.
 *
 * Invariants: a list is never changed. That of a purge that ended early counts as long as one of its objects is there: should the
 *             purge only have been stopped, and go on, it deletes nothing that anybody has built upon.
 * Thread:     main.
 */
import { OBJECT_PATTERN, PURGES } from './layout.ts';
import { openSealed, sealText, TARGET_FORMAT } from './sealed-text.ts';
import type { TargetSession } from './target-session.ts';

export interface PurgeList {
  readonly key: string;
  readonly objects: readonly string[];
}

export function purgeKey(purge: string): string {
  return `${PURGES}${purge}.json`;
}

export async function writePurgeList(
  session: TargetSession,
  purge: string,
  objects: readonly string[],
): Promise<PurgeList> {
  const key = purgeKey(purge);
  await session.put(key, sealText({ format: TARGET_FORMAT, objects }));
  return { key, objects };
}

export async function readPurgeLists(session: TargetSession): Promise<PurgeList[]> {
  const keys = (await session.list(PURGES)).flatMap(({ key }) => (key.endsWith('.json') ? [key] : []));
  const lists: PurgeList[] = [];
  await session.each(keys, async (key) => {
    const objects = await session.readSealed(key, ({ bytes }, file) =>
      openSealed(bytes, file).texts('objects', OBJECT_PATTERN),
    );
    if (objects !== undefined) lists.push({ key, objects });
  });
  return lists;
}

/** All objects that a purge may delete. */
export async function condemnedKeys(session: TargetSession): Promise<Set<string>> {
  return new Set((await readPurgeLists(session)).flatMap(({ objects }) => objects));
}
