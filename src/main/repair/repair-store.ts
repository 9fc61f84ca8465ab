/**
 * repair(): makes a store open again, with everything that can still be believed.
 *
 *   1. lock it, see what is there (survey.ts)
 *   2. a sound manifest, every table of which is found in some state: each stays on its level, damaged ones are replaced by
 *      what verifies of them (repair-tables.ts)
 *      otherwise: all tables are taken together, and the newest version of each key counts (merge-tables.ts)
 *   3. logs that open would accept stay; else what verifies of them becomes tables (repair-logs.ts)
 *   4. if anything is to change: new tables are durable by now (and have their names, if the manifest is made anew); damaged
 *      tables get another name (NAME.set-aside), damaged logs and a damaged manifest a copy of that name; then, in one step, the
 *      new manifest
 *
 * Nothing that could hold data is deleted. What a later open removes are files whose every entry is in the new tables.
 * Killed at any point, a second run comes to the same result: before step 4 only tables with new numbers were added, which
 * hold copies; during step 4 the old manifest, sound or not, is still the one there, and tables it names are found aside.
 *
 * Invariants: refuses an open store (STRATA_LOCKED) and what is no store (STRATA_NO_DATABASE, or STRATA_CORRUPTION where
 *             only names look like one). A sound store is not changed. Errors of the disk are not taken for damage: they end the
 *             repair, with nothing lost.
 * Thread:     main; jobs on the pool. Memory: one block per table, one log, and the manifest.
 */
import { join } from 'node:path';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import { boolean } from '../../shared/base/option-checks.ts';
import { awaited } from '../../shared/base/process-keeper.ts';
import { now } from '../../shared/base/timers.ts';
import { MANIFEST_NAME, parseFileName } from '../../shared/files/file-names.ts';
import type { FileSystem, FileSystemSpec } from '../../shared/files/file-system.ts';
import { loadFileSystem } from '../../shared/files/node-file-system.ts';
import { nameTables } from '../files/deletion-queue.ts';
import { allEpochs } from '../files/epochs.ts';
import { refuseHalfRestored } from '../files/store-directory.ts';
import { acquireLock } from '../locking/directory-lock.ts';
import { saveManifest } from '../manifest/manifest.ts';
import { provesStore } from '../open/destroy-store.ts';
import { locate, throughAnchors } from '../open/open-store.ts';
import { resolveDirectory } from '../store/open-request.ts';
import { resolveOptions } from '../store/options.ts';
import { Rebuild, type RepairPlan } from './rebuild.ts';
import type { RepairOptions, RepairReport } from './repair-report.ts';
import { readRepairOptions } from './repair-report.ts';
import { copyAside, renameAside } from './set-aside.ts';
import { type Survey, surveyStore } from './survey.ts';
import { Workshop } from './workshop.ts';

/** What tests may put in place of the real thing. */
export interface RepairInternals {
  readonly fileSystem?: FileSystemSpec | undefined;
  readonly threads?: number | undefined;
}

export async function repairStore(
  path: string,
  options?: RepairOptions,
  internals: RepairInternals = {},
): Promise<RepairReport> {
  const isDryRun = boolean(readRepairOptions(options), 'dryRun', false);
  return await awaited(repair(resolveDirectory(path), isDryRun, internals));
}

async function repair(root: string, isDryRun: boolean, internals: RepairInternals): Promise<RepairReport> {
  const startedAt = now();
  const disk = await loadFileSystem(internals.fileSystem);
  refuseHalfRestored(disk, root);
  refuseForeign(disk, root);
  const lock = await acquireLock(disk, root);
  try {
    const { threads } = internals;
    // A disk that is not the system's may be one that fails or counts: what it does stays on threads of its own.
    const ofProcess = internals.fileSystem === undefined;
    const { fs, directory } = await locate(disk, throughAnchors(disk, lock), root, lock, isDryRun);
    const shop = new Workshop(
      fs,
      directory,
      resolveOptions(threads === undefined ? {} : { threads }),
      isDryRun,
      ofProcess,
    );
    try {
      const survey = surveyStore(fs, directory);
      shop.bumpFileNumber(survey.highestNumber);
      const plan = await new Rebuild(shop, survey).plan();
      if (plan.isChanged && !isDryRun) await carryOut(shop, survey, plan);
      shop.log.warnOfLosses();
      return {
        path: root,
        dryRun: isDryRun,
        isSound: !plan.isChanged,
        manifest: plan.isRebuilt ? 'rebuilt' : plan.isChanged ? 'updated' : 'kept',
        files: shop.log.files,
        warnings: shop.log.warnings,
        elapsedMs: now() - startedAt,
      };
    } finally {
      await shop.close();
    }
  } finally {
    await lock.release();
  }
}

/** Some file must prove by its content that this is a store: repair writes a manifest, and so must not guess. */
function refuseForeign(fs: FileSystem, directory: string): void {
  const found = fs.stat(directory)?.kind;
  const directories = found === undefined || found === 'file' ? [] : allEpochs(fs, directory);
  const ours = directories.flatMap((folder) =>
    fs
      .list(folder)
      .filter((name) => parseFileName(name) !== undefined && fs.stat(join(folder, name))?.kind === 'file')
      .map((name) => ({ folder, name })),
  );
  if (ours.length === 0)
    throw new StorageError('STRATA_NO_DATABASE', `the store ${directory} does not exist`);
  if (!ours.some(({ folder, name }) => provesStore(fs, folder, name)))
    throw new CorruptionError('no file shows by its content that this is a store', { file: directory });
}

/** Step 4. */
async function carryOut(shop: Workshop, survey: Survey, plan: RepairPlan): Promise<void> {
  const { fs, directory, log } = shop;
  if (survey.manifest.isPresent && survey.manifest.problem !== undefined)
    log.noteSetAside(MANIFEST_NAME, copyAside(fs, directory, MANIFEST_NAME));
  // A damaged manifest can't be read without its pages.
  if (plan.isRebuilt) for (const name of survey.pages) copyAside(fs, directory, name);
  const state = plan.state(shop.nextFileNumber);
  const tables = state.levels.flat().map((table) => table.number);
  // Where no manifest can say what is in use, what a killed repair has saved must be found by its name.
  if (plan.isRebuilt) await nameTables(fs, directory, tables);
  const copied: string[] = [];
  for (const name of plan.setAside) {
    const kind = parseFileName(name)?.kind;
    if (kind === 'table' || kind === 'new-table') log.noteSetAside(name, renameAside(fs, directory, name));
    else {
      log.noteSetAside(name, copyAside(fs, directory, name));
      copied.push(name);
    }
  }
  // Before the manifest: once that no longer names them, the next open would take them for orphans.
  await fs.syncDirectoryAsync(directory);
  await saveManifest(fs, directory, state);
  await nameTables(fs, directory, tables);
  for (const name of copied) fs.unlink(join(directory, name));
}
