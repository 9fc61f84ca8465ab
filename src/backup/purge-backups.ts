/**
 * purgeBackups(): deletes all backups but the newest ones, and every object that nothing needs.
 *
 *   1. now          by the target's clock: when an object that was just written was written
 *   2. leases       whose writer was not heard of for long are revoked: their backups can't come into being any more
 *   3. list         objects that neither a backup that stays needs, nor one under way (purge-lists.ts)
 *   4. look again   leases, then backups: whoever began, or ended, meanwhile is spared
 *   5. delete       descriptions first, then objects. A purge that is cut short leaves no description whose objects are gone
 *   6. sweep        leases of the dead, drafts, lists whose objects are all gone
 *
 * Invariants: what a backup that stays needs is never deleted, nor what one under way has written or builds upon, whatever runs
 *             at the same time, and however long any of them is stopped. Can be run again after any end, and finishes what was
 *             left.
 * Thread:     main.
 * Not chosen: leaving everything alone that is younger than a day. It only makes the race rarer.
 */

import { invalidArgument } from '../shared/base/errors.ts';
import { describe } from '../shared/base/input-bytes.ts';
import { integer } from '../shared/base/option-checks.ts';
import {
  type Description,
  encodeRevoked,
  listIds,
  readDescription,
  readDescriptions,
} from './description.ts';
import {
  BACKUPS,
  BRANCHES,
  backupKey,
  PROBES,
  PURGES,
  randomUpload,
  TABLES,
  UPLOADS,
  uploadOf,
} from './layout.ts';
import { isStrayBeat, LEASE_MS, type Lease, readLeases, removeLease } from './leases.ts';
import { probeConditions } from './probe.ts';
import { readPurgeLists, writePurgeList } from './purge-lists.ts';
import { purgeSegments } from './purge-segments.ts';
import type { BackupTarget, ListedObject } from './target.ts';
import { findMarker } from './target-marker.ts';
import { TargetSession } from './target-session.ts';
import { checkTarget, resolveTransfer, type TransferOptions } from './transfer-options.ts';

export interface PurgeOptions extends TransferOptions {
  /** How many backups stay: the newest ones. At least 1. */
  readonly keep: number;
}

export interface PurgeReport {
  /** Ids of backups, oldest first. */
  readonly kept: readonly string[];
  readonly removed: readonly string[];
  /** Objects that were deleted, those of the archive included, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
}

/**
 * Deletes all backups but the newest `keep`, and the objects that no backup needs, nor one under way.
 * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_EXISTS for a place that holds something else, STRATA_CORRUPTION
 * when what a backup needs can't be told, STRATA_UNSUPPORTED, STRATA_IO.
 * @example
 * const { removed, bytes } = await purgeBackups(target, { keep: 14 });
 */
export async function purgeBackups(target: BackupTarget, options: PurgeOptions): Promise<PurgeReport> {
  checkTarget(target);
  if (typeof options !== 'object' || options === null)
    throw invalidArgument(`options must be an object with 'keep', not ${describe(options)}`);
  const terms = resolveTransfer(options, 'options', ['keep']);
  const keep = integer(options, 'keep', 0, 1, Number.MAX_SAFE_INTEGER);
  if (keep === 0) throw invalidArgument("option 'keep' is missing: how many backups stay");
  const session = new TargetSession(target, terms);
  try {
    if ((await findMarker(session)) === undefined) return { kept: [], removed: [], objects: 0, bytes: 0 };
    await probeConditions(session);
    return await purge(session, keep);
  } finally {
    session.close();
  }
}

async function purge(session: TargetSession, keep: number): Promise<PurgeReport> {
  const id = randomUpload();
  const nowMs = await targetTime(session, id);
  await revokeDead(session, nowMs);
  const all = await readDescriptions(session);
  const removed = all.slice(0, Math.max(0, all.length - keep));
  const kept = all.slice(removed.length);
  // Leases before objects: an object that is listed belongs to a lease that was, to a backup, or to nobody.
  const leases = await readLeases(session);
  const needed = new Needed(kept, leases);
  const objects = (await session.list(TABLES)).filter(({ key }) => !needed.has(key));
  const list = await writePurgeList(
    session,
    id,
    objects.flatMap(({ key }) => (uploadOf(key) ? [key] : [])),
  );

  const spared = await readLeases(session);
  const ids = new Set(all.map((description) => description.id));
  const since = await readSince(session, ids);
  const neededSince = new Needed(since, spared);
  const doomed = objects.filter((object) => !neededSince.has(object.key) && isDead(object, nowMs));

  await session.each(removed, async (description) => await session.remove(backupKey(description.id)));
  await session.each(doomed, async ({ key }) => await session.remove(key));
  await session.remove(list.key);
  const segments = await purgeSegments(session, [...kept, ...since], spared.length === 0, nowMs - LEASE_MS);
  await sweep(session, nowMs);
  return {
    kept: [...kept, ...since].map((description) => description.id).sort(),
    removed: removed.map((description) => description.id),
    objects: doomed.length + segments.objects,
    bytes: segments.bytes + doomed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** What bears no name of ours is a draft of an upload: it is left alone as long as somebody may be writing it. */
function isDead({ key, modifiedMs }: ListedObject, nowMs: number): boolean {
  return uploadOf(key) !== undefined || (key.endsWith('.tmp') && modifiedMs < nowMs - LEASE_MS);
}

/** Objects that backups need, or may come to need. */
class Needed {
  readonly #keys = new Set<string>();
  readonly #uploads = new Set<string>();

  constructor(descriptions: readonly Description[], leases: readonly Lease[]) {
    for (const { files } of descriptions) for (const { object } of files) this.#keys.add(object);
    for (const { upload, reuses } of leases) {
      this.#uploads.add(upload);
      for (const key of reuses) this.#keys.add(key);
    }
  }

  has(key: string): boolean {
    return this.#keys.has(key) || this.#uploads.has(uploadOf(key) ?? '');
  }
}

/** The backups that have come into being since. */
async function readSince(session: TargetSession, ids: ReadonlySet<string>): Promise<Description[]> {
  const found: Description[] = [];
  for (const id of await listIds(session)) {
    const description = ids.has(id) ? undefined : await readDescription(session, id);
    if (description !== undefined) found.push(description);
  }
  return found;
}

/** Now, by the clock that dates the objects of the target. */
async function targetTime(session: TargetSession, purge: string): Promise<number> {
  const key = `${PURGES}${purge}.beat`;
  await session.put(key, Buffer.from(`${purge}\n`));
  const [found] = await session.list(key);
  await session.remove(key);
  return found?.modifiedMs ?? 0;
}

/** Step 2. Those that have become backups meanwhile have only left their lease behind. */
async function revokeDead(session: TargetSession, nowMs: number): Promise<void> {
  for (const { upload, id, heardMs } of await readLeases(session)) {
    if (heardMs >= nowMs - LEASE_MS) continue;
    await session.create(backupKey(id), encodeRevoked(id));
    await removeLease(session, upload);
  }
}

/** Step 6. */
async function sweep(session: TargetSession, nowMs: number): Promise<void> {
  const isOld = ({ modifiedMs }: ListedObject): boolean => modifiedMs < nowMs - LEASE_MS;
  const uploads = await session.list(UPLOADS);
  const strays = uploads.filter((object) => isStrayBeat(object, uploads) && isOld(object));
  const leftovers = [...(await session.list(PROBES)), ...(await session.list(PURGES))].filter(
    (object) => isOld(object) && (object.key.startsWith(PROBES) || object.key.endsWith('.beat')),
  );
  const drafts: ListedObject[] = [];
  for (const prefix of [BACKUPS, BRANCHES, UPLOADS, PURGES, PROBES])
    drafts.push(...(await session.list(prefix)).filter((one) => one.key.endsWith('.tmp') && isOld(one)));
  await session.each([...strays, ...leftovers, ...drafts], async ({ key }) => await session.remove(key));
  const present = new Set((await session.list(TABLES)).map(({ key }) => key));
  for (const { key, objects } of await readPurgeLists(session))
    if (!objects.some((object) => present.has(object))) await session.remove(key);
}
