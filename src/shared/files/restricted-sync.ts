/**
 * Syncing where Node's permission model is on. It disables fsync and fdatasync of descriptors, however much is allowed (Node 20
 * to 24), but not those of a FileHandle, which has no synchronous forms.
 *
 *   asynchronous   open the path once more, sync that FileHandle, close it: a sync is of the file, not of a descriptor (POSIX)
 *   synchronous    owed: done before the next asynchronous sync in the same directory or below it resolves, and before a job is
 *                  answered
 *
 * Invariants: the order that durability rests on stays: a manifest is written by an asynchronous sync, so what was owed in its
 *             directory, or for the directory itself, is on the disk before that manifest is in force.
 * Thread:     any; what is owed is owed by a thread to itself.
 * Owns:       a FileHandle for the length of a sync.
 * Not chosen: opening files with O_DSYNC: every write of a log would wait for the disk, and a directory has no writes.
 *             Refusing to open a store: the process is allowed to write, and may want to be safe as well.
 */
import * as fs from 'node:fs';
import { dirname, sep } from 'node:path';
import { ioError, systemErrorCode } from '../base/errors.ts';

type Kind = 'file' | 'directory';

/** What distinguishes a file from another one that has come to bear its name. */
interface Identity {
  readonly dev: number;
  readonly ino: number;
}

interface Owed {
  readonly kind: Kind;
  running: Promise<void> | undefined;
}

const owed = new Map<string, Owed>();

/** To be synced as the header says. */
export function oweSync(path: string, kind: Kind): void {
  owed.set(path, { kind, running: undefined });
}

/** Syncs what is owed for `directory`, in it, and for the directories around it. */
export async function finishSyncs(directory: string): Promise<void> {
  for (const [path, debt] of [...owed]) {
    const home = debt.kind === 'file' ? dirname(path) : path;
    if (home !== directory && !directory.startsWith(home.endsWith(sep) ? home : home + sep)) continue;
    debt.running ??= syncOwed(path, debt);
    await debt.running;
  }
}

/** Syncs the file of an open descriptor, after what is owed around it. */
export async function syncFile(path: string, identity: Identity): Promise<void> {
  await finishSyncs(dirname(path));
  await attempt(path, () => syncThroughHandle(path, 'file', identity));
}

/** Syncs a directory, after what is owed for it. */
export async function syncDirectory(path: string): Promise<void> {
  await finishSyncs(path);
  await attempt(path, () => syncThroughHandle(path, 'directory'));
}

async function syncOwed(path: string, debt: Owed): Promise<void> {
  try {
    await syncThroughHandle(path, debt.kind);
  } catch (error) {
    // Deleted since, as the file of a job that failed is: then there is nothing left to sync.
    if (systemErrorCode(error) !== 'ENOENT') throw ioError('sync', path, error);
  } finally {
    // It may be owed once more by now.
    if (owed.get(path) === debt) owed.delete(path);
  }
}

async function syncThroughHandle(path: string, kind: Kind, identity?: Identity): Promise<void> {
  // Windows flushes only what is open for writing; elsewhere reading will do, and no link is followed to a file.
  const access = process.platform === 'win32' ? fs.constants.O_RDWR : fs.constants.O_RDONLY;
  const noFollow = kind === 'file' ? (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0) : 0;
  const handle = await fs.promises.open(path, access | noFollow);
  try {
    if (identity !== undefined) {
      const { dev, ino } = await handle.stat();
      if (dev !== identity.dev || ino !== identity.ino) throw new Error('another file has taken its place');
    }
    await (kind === 'file' ? handle.datasync() : handle.sync());
  } finally {
    await handle.close();
  }
}

async function attempt(path: string, sync: () => Promise<void>): Promise<void> {
  try {
    await sync();
  } catch (error) {
    throw ioError('sync', path, error);
  }
}
