/**
 * A directory for one test, removed after it.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const ATTEMPTS = 20;

export function temporaryDirectory(t: TestContext): string {
  // Resolved, as the temporary directory itself is a symbolic link on some systems.
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'stratakv-test-')));
  t.after(() => removeDirectory(path));
  return path;
}

/** A test's store may be open still, as what is to be done after a test is done in order, and a worker may write meanwhile. */
export function removeDirectory(path: string): void {
  for (let attempt = 1; ; attempt++)
    try {
      rmSync(path, { recursive: true, force: true });
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOTEMPTY' || attempt === ATTEMPTS) throw error;
    }
}
