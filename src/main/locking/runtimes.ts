/**
 * Runtimes that can't hold a store, which are refused before it is touched.
 *
 * Bun: the lock on Linux is a socket whose name has 108 bytes, as Node fills them up; Bun takes 107 at most. Under a shorter
 * name it would keep out nobody but itself.
 *
 * Thread: main.
 */
import { StorageError } from '../../shared/base/errors.ts';

/** Throws STRATA_UNSUPPORTED. */
export function refuseRuntime(
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): void {
  const bun = versions['bun'];
  if (bun === undefined) return;
  throw new StorageError(
    'STRATA_UNSUPPORTED',
    `stratakv does not run on Bun (this is ${bun}): it cannot take the lock that keeps other processes out of a store. ` +
      'Run the program with Node.js or Deno',
  );
}
