/**
 * Yarn's Plug'n'Play: packages lie in archives, and a hook in Node's loaders finds them there. Threads of ours take over
 * nothing of the environment or the command line, so they are given the hook by name.
 *
 * Thread:     whichever starts threads.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { nodeFileSystem } from './node-file-system.ts';

/** What Node needs on the command line of a thread to find packages as this one does. */
export function packageHooks(): string[] {
  if (process.versions['pnp'] === undefined) return [];
  let api: string;
  try {
    api = createRequire(import.meta.url).resolve('pnpapi');
  } catch {
    // The program is run by Plug'n'Play, but this package is none of those it manages.
    return [];
  }
  const loader = join(dirname(api), '.pnp.loader.mjs');
  const forModules =
    nodeFileSystem.stat(loader) === undefined
      ? []
      : ['--no-warnings', '--experimental-loader', pathToFileURL(loader).href];
  return ['--require', api, ...forModules];
}
