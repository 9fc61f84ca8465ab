/**
 * Directories for tests that write much and keep nothing: in memory where the system has a place for that.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { removeDirectory } from '../temp-directory.ts';

const BASE: string = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A path for a store, two levels below anything there is; with `exists` it is there, and empty. Removed after the test. */
export function storeDirectory(t: TestContext, exists = false): string {
  const base = realpathSync(mkdtempSync(join(BASE, 'stratakv-fault-')));
  t.after(() => removeDirectory(base));
  const directory = join(base, 'stores', 'store');
  if (exists) mkdirSync(directory, { recursive: true });
  return directory;
}
