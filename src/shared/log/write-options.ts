/**
 * The options of writes: validated at the call.
 *
 * Thread: any. Pure.
 */
import { boolean, checkObject } from '../base/option-checks.ts';

/** Options of put, delete and write. */
export interface WriteOptions {
  /** Wait until the write would survive power loss. Default: the engine's `sync` option. */
  readonly sync?: boolean | undefined;
}

const WRITE_NAMES: ReadonlySet<string> = new Set(['sync']);

export function resolveSync(options: WriteOptions | undefined, fallback: boolean): boolean {
  if (options === undefined) return fallback;
  checkObject(options, 'write options', WRITE_NAMES);
  return boolean(options, 'sync', fallback);
}
