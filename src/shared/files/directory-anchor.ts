/**
 * A directory held by a descriptor, and how its files are reached through that: `/proc/self/fd/N/NAME` (Linux).
 *
 *   path of the caller   /data/db/000012.sst      what the system is asked for   /proc/self/fd/23/000012.sst
 *
 * A path names whatever lies there now; the descriptor names the directory that was opened. Should that be moved, every
 * create, rename and unlink follows it; should it be removed, they fail with ENOENT. Whatever has taken its place at the path
 * is not touched. Looking at the path first and acting then would be a race, however close the two are.
 *
 * Invariants: a place is used only while the descriptor is open, as its number may become another directory's afterwards: whoever
 *             closes it makes the place of its anchor lead nowhere. Descriptors belong to the process: jobs, which their owner
 *             waits for, use the owner's; clients, which may outlive it, open their own (holdAgain in lock-files.ts).
 * Thread:     any. Pure.
 * Not chosen: openat(2), which this imitates: Node has no binding for it. chdir(2): it is the process's, and threads may not.
 */
import { basename, dirname } from 'node:path';

/** Plain data: crosses to workers and clients of the process. */
export interface DirectoryAnchor {
  /** As callers spell it. */
  readonly directory: string;
  /** Through the descriptor; {@link CLOSED_PLACE} once that is closed. */
  readonly place: string;
  /** What was opened: to make sure that a descriptor still is what it was. */
  readonly device: number;
  readonly inode: number;
}

/** Leads nowhere. */
export const CLOSED_PLACE = '/proc/self/fd/closed';

/** What the system is to be asked for when a caller means `path`. */
export function placeOf(path: string, anchors: readonly DirectoryAnchor[]): string {
  for (const { directory, place } of anchors) {
    if (path === directory) return place;
    if (dirname(path) === directory) return `${place}/${basename(path)}`;
  }
  return path;
}

/** `text` of the system with the caller's names instead of places. */
export function nameOf(text: string, anchors: readonly DirectoryAnchor[]): string {
  return anchors.reduce((named, { directory, place }) => named.replaceAll(place, directory), text);
}
