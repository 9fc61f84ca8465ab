/**
 * Takes a store out of the kernel's page cache, so that what reads it next asks the disk.
 *
 *   1. every file is synced, as only clean pages can be dropped
 *   2. `dd iflag=nocache count=0` drops them, file by file; it needs no privilege, but GNU's dd
 *   3. where that is missing: /proc/sys/vm/drop_caches, which drops everybody's, and needs root
 *
 * Not chosen: 3 first: programs that are no part of the measurement would lose their pages, those of Node among them, and
 *             ask the disk for them within it.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, fdatasyncSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DROP_CACHES = '/proc/sys/vm/drop_caches';
const PAGE_CACHE = '1';
const FILES_PER_SHELL = 500;
const DROP_EACH = 'for f do dd if="$f" iflag=nocache count=0 of=/dev/null status=none || exit 1; done';

/** Returns why it could not, or undefined when it could. */
export function dropFromPageCache(directory: string): string | undefined {
  const files = filesIn(directory);
  for (const file of files) sync(file);
  const problem = dropByFile(files);
  if (problem === undefined || !existsSync(DROP_CACHES)) return problem;
  try {
    writeFileSync(DROP_CACHES, PAGE_CACHE);
    return undefined;
  } catch (error) {
    return `${problem}; ${error instanceof Error ? error.message : String(error)}`;
  }
}

function filesIn(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function sync(file: string): void {
  const fd = openSync(file, 'r+');
  try {
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function dropByFile(files: readonly string[]): string | undefined {
  for (let begin = 0; begin < files.length; begin += FILES_PER_SHELL) {
    const some = files.slice(begin, begin + FILES_PER_SHELL);
    const { status, stderr, error } = spawnSync('sh', ['-c', DROP_EACH, 'sh', ...some], { encoding: 'utf8' });
    if (status !== 0) return error?.message ?? (stderr.trim().split('\n')[0] || 'dd failed');
  }
  return undefined;
}
