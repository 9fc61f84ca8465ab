/**
 * A directory for one test, removed after it.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export function temporaryDirectory(t: TestContext): string {
  // Resolved, as the temporary directory itself is a symbolic link on some systems.
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'stratakv-test-')));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
