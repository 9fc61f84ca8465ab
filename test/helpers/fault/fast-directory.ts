/**
 * Directories for tests that write much and keep nothing: in memory where the system has a place for that, with room for all of
 * them. A container has 64 MiB by default, which is not enough.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { removeDirectory } from '../temp-directory.ts';

const MEMORY = '/dev/shm';
const ROOM_BYTES: number = 2 * 1024 ** 3;
const BASE: string = hasRoom() ? MEMORY : tmpdir();

function hasRoom(): boolean {
  if (!existsSync(MEMORY)) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize >= ROOM_BYTES;
}

/** An empty directory, removed after the test. */
export function fastDirectory(t: TestContext): string {
  const path = realpathSync(mkdtempSync(join(BASE, 'stratakv-test-')));
  t.after(() => removeDirectory(path));
  return path;
}

/** A path for a store, two levels below anything there is; with `exists` it is there, and empty. Removed after the test. */
export function storeDirectory(t: TestContext, exists = false): string {
  const directory = join(fastDirectory(t), 'stores', 'store');
  if (exists) mkdirSync(directory, { recursive: true });
  return directory;
}
