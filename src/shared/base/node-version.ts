/**
 * The oldest Node that a store runs on, as `engines` in package.json has it (held by a test). npm only warns about it, and
 * Debian 12 has Node 18: without a word from us a store fails there at whatever it misses first.
 *
 * Thread:     any; pure.
 */
import { StorageError } from './errors.ts';

/** Major and minor. */
export const OLDEST_NODE: readonly [number, number] = [20, 19];

/** @throws {@link StorageError} STRATA_UNSUPPORTED under a Node that is older. */
export function refuseOldNode(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  const wanted = OLDEST_NODE.join('.');
  throw new StorageError('STRATA_UNSUPPORTED', `stratakv needs Node ${wanted} or newer; this is ${version}`);
}
