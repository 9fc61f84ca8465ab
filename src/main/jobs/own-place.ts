/**
 * Whether this copy of the package is where it was installed, with the file of its threads beside it. A bundler that takes it
 * into the application's files leaves that one behind, and piscina's own as well: the store would take writes until its first
 * flush.
 *
 * Found out twice: the file is not there; or the running file is another one than `import.meta.url` says, as some bundlers put
 * in its place the path of the file as it was when they ran, which may exist.
 *
 * Invariants: what can't be found out is no reason to refuse.
 * Thread:     main.
 */
import { fileURLToPath } from 'node:url';
import { StorageError } from '../../shared/base/errors.ts';
import { nodeFileSystem } from '../../shared/files/node-file-system.ts';

const FRAME = /:\d+:\d+\)?$/m;

/** Throws STRATA_UNSUPPORTED where the threads of a store could not be started: `threadFile` makes the place of their code. */
export function requireThreadFile(threadFile: () => URL): void {
  if (!isElsewhere(import.meta.url, new Error().stack) && isThere(threadFile)) return;
  throw new StorageError(
    'STRATA_UNSUPPORTED',
    'stratakv was bundled into another file, away from the files of its threads: mark stratakv as external to the bundle ' +
      '(--external:stratakv of esbuild, `external` of rollup, `externals` of webpack; docs/bundlers.md), or open the store ' +
      'with { threads: 0 }',
  );
}

/** Whether the code in `url` is running in another file. */
export function isElsewhere(url: string | undefined, stack: unknown): boolean {
  // Bundlers that write CommonJS leave it undefined.
  if (url === undefined) return true;
  // Of the application's making, or cut off.
  if (typeof stack !== 'string' || !FRAME.test(stack)) return false;
  const { href, protocol } = new URL(url);
  if (protocol !== 'file:') return false;
  const plain = href.replace(/[?#].*$/, '');
  return !stack.includes(plain) && !stack.includes(fileURLToPath(plain));
}

function isThere(threadFile: () => URL): boolean {
  const url = threadFile();
  return url.protocol !== 'file:' || nodeFileSystem.stat(fileURLToPath(url)) !== undefined;
}
