/**
 * The options of writes: validated at the call.
 *
 * Thread: any. Pure.
 */
import { boolean, checkObject, integer } from '../base/option-checks.ts';

/** Options of delete and write. */
export interface WriteOptions {
  /** Wait until the write would survive power loss. Default: the engine's `sync` option. */
  readonly sync?: boolean | undefined;
}

/** How long a value is there. */
export interface ExpiryOptions {
  /**
   * Milliseconds from the call after which the value is gone, an integer above 0. Default: it stays. To write the key again
   * without it takes the expiry away.
   */
  readonly ttl?: number | undefined;
}

/** Options of put. */
export interface PutOptions extends WriteOptions, ExpiryOptions {}

/** What the options of a put say. */
export interface PutTerms {
  readonly sync: boolean;
  /** 0: the value stays. */
  readonly ttl: number;
}

const WRITE_NAMES: ReadonlySet<string> = new Set(['sync']);

export function resolveSync(options: WriteOptions | undefined, fallback: boolean): boolean {
  if (options === undefined) return fallback;
  checkObject(options, 'write options', WRITE_NAMES);
  return boolean(options, 'sync', fallback);
}

const PUT_NAMES: ReadonlySet<string> = new Set(['sync', 'ttl']);
const EXPIRY_NAMES: ReadonlySet<string> = new Set(['ttl']);

export function resolvePut(options: PutOptions, fallback: boolean): PutTerms {
  checkObject(options, 'put options', PUT_NAMES);
  return { sync: boolean(options, 'sync', fallback), ttl: ttlOf(options) };
}

/** The ttl of a put into a batch; 0: none. */
export function resolveTtl(options: ExpiryOptions | undefined): number {
  if (options === undefined) return 0;
  checkObject(options, 'put options', EXPIRY_NAMES);
  return ttlOf(options);
}

function ttlOf(options: ExpiryOptions): number {
  return integer(options, 'ttl', 0, 1, Number.MAX_SAFE_INTEGER);
}
