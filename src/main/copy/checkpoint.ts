/**
 * checkpoint(): an openable store of one moment in another directory, while writes go on.
 *
 *   1. refuse a target that exists, in any form
 *   2. capture a moment (capture.ts)
 *   3. make the parents, and DIR.partial-0a1b2c3d beside the target
 *   4. link or copy the files (copy-file.ts); sync the directory
 *   5. write the manifest, durably: from here on the copy is a store
 *   6. rename it to the target, sync the parent
 *
 * Invariants: at the target there is a whole store, durable once this resolves, or nothing. Whatever fails leaves nothing of it;
 *             a process that is killed, DIR.partial-.. at most. The store is not changed, but for a flush.
 *             What is there is never replaced, but for an empty directory that somebody makes between steps 1 and 6.
 * Thread:     main; waits for the disk outside of the call.     Owns: the unfinished copy.
 * Not chosen: making the target first: a kill would leave a directory that has to be told from a store. Links of the manifest's
 *             pages: an edit may delete them at any time, and 20,000 tables are 200 of them.
 */

import { basename, dirname, join } from 'node:path';
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import { randomHex } from '../../shared/base/random.ts';
import { parseFileName } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { makeDirectories, removeDirectories } from '../../shared/files/make-directories.ts';
import { saveManifest } from '../manifest/manifest.ts';
import { type Capture, type CaptureParts, type CaptureScheduler, captureStore } from './capture.ts';
import { linkOrCopy } from './copy-file.ts';

/** Of the name of the target, in bytes, in that of the unfinished copy: together with its ending it is to be a name. */
const MAX_NAME_BYTES = 200;

/** A copy of a store that {@link StorageEngine.checkpoint} made. */
export interface CheckpointReport {
  /** Of the moment that it shows. */
  readonly position: string;
  /** All files in it, those that are links included; `bytes` likewise. */
  readonly files: number;
  readonly bytes: number;
  /** Files that it shares with the store: hard links. */
  readonly linked: number;
}

/** What a checkpoint needs of a store. */
export interface CheckpointParts extends CaptureParts {
  isClosing(): boolean;
}

/** `target` is an absolute path. */
export async function checkpoint(
  parts: CheckpointParts,
  scheduler: CaptureScheduler,
  target: string,
): Promise<CheckpointReport> {
  const { fs } = parts;
  refuseExisting(fs, target);
  refuseNamesOfStores(fs, target);
  const capture = await captureStore(parts, scheduler);
  try {
    return await makeCopy(parts, capture, target);
  } finally {
    capture.release();
  }
}

/** A directory epoch-000001 with a manifest in it would be taken for where the files of the store around it are. */
function refuseNamesOfStores(fs: FileSystem, target: string): void {
  for (let path = target; path !== dirname(path); path = dirname(path)) {
    if (path !== target && fs.stat(path) !== undefined) return;
    if (parseFileName(basename(path)) !== undefined)
      throw invalidArgument(`a checkpoint can't be made in ${path}: files of a store have such names`);
  }
}

function refuseExisting(fs: FileSystem, target: string): void {
  if (fs.stat(target) !== undefined) throw existsError(target);
}

function existsError(target: string, cause?: unknown): StorageError {
  return new StorageError('STRATA_EXISTS', `${target} exists already`, { file: target, cause });
}

async function makeCopy(parts: CheckpointParts, capture: Capture, target: string): Promise<CheckpointReport> {
  const { fs } = parts;
  const partial = partialPath(target);
  const parents = makeDirectories(fs, dirname(target));
  let place = partial;
  try {
    fs.makeDirectory(partial);
    const linked = await fill(parts, capture, partial);
    const copied = measure(fs, partial);
    refuseIfClosing(parts);
    await publish(fs, partial, target);
    place = target;
    for (const made of [...parents, target]) await fs.syncDirectoryAsync(dirname(made));
    return { position: capture.position, ...copied, linked };
  } catch (error) {
    await discard(fs, place);
    removeDirectories(fs, parents);
    throw error;
  }
}

function partialPath(target: string): string {
  const name = basename(target);
  const start = Buffer.byteLength(name) > MAX_NAME_BYTES ? 'checkpoint' : name;
  return join(dirname(target), `${start}.partial-${randomHex(4)}`);
}

/** Returns how many files are links. */
async function fill(parts: CheckpointParts, capture: Capture, directory: string): Promise<number> {
  const { fs } = parts;
  let linked = 0;
  for (const file of capture.files) {
    refuseIfClosing(parts);
    const isLink = await linkOrCopy(fs, file, join(directory, file.name), () => refuseIfClosing(parts));
    if (isLink) linked++;
  }
  // The manifest must not be on the disk before the names of what it names.
  await fs.syncDirectoryAsync(directory);
  await saveManifest(fs, directory, capture.state);
  return linked;
}

function refuseIfClosing(parts: CheckpointParts): void {
  if (parts.isClosing()) throw new StorageError('STRATA_CLOSED', 'the store was closed');
}

function measure(fs: FileSystem, directory: string): { readonly files: number; readonly bytes: number } {
  const names = fs.list(directory);
  const sizes = names.map((name) => fs.stat(join(directory, name))?.sizeBytes ?? 0);
  return { files: names.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

async function publish(fs: FileSystem, partial: string, target: string): Promise<void> {
  refuseExisting(fs, target);
  try {
    await fs.renameAsync(partial, target);
  } catch (error) {
    // Somebody was faster: another checkpoint, say.
    if (fs.stat(partial) !== undefined && fs.stat(target) !== undefined) throw existsError(target, error);
    throw error;
  }
}

/** What was made of the copy goes. Never rejects, as it has failed for a reason that matters more. */
async function discard(fs: FileSystem, directory: string): Promise<void> {
  try {
    // The manifest first: without it nothing is a store.
    const names = fs.list(directory).sort((a, b) => Number(isManifest(b)) - Number(isManifest(a)));
    for (const name of names) await fs.unlinkAsync(join(directory, name)).catch(leave);
    fs.removeDirectory(directory);
  } catch {
    // The copy was not begun, or what could not be deleted is in it.
  }
}

function leave(): void {
  // The disk takes no more changes: the others may go all the same.
}

function isManifest(name: string): boolean {
  return parseFileName(name)?.kind === 'manifest';
}
