/**
 * What changes() takes, validated at the call.
 *
 * Thread: any. Pure.
 */
import type { Bytes } from '../base/input-bytes.ts';
import type { KeyRange } from '../base/iterator.ts';
import { boundsOf } from '../base/key-range.ts';
import { checkObject, readOnce } from '../base/option-checks.ts';
import { signalOption } from '../base/signals.ts';
import { decodePosition } from './position.ts';

export interface ChangesOptions {
  /** Begin behind this position. Default: with the next write. */
  readonly after?: string | undefined;
  /** Leave out all that is about other keys than those that begin so; writes about no such key wholly. */
  readonly prefix?: Bytes | undefined;
  /** Ends the changes with its reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface ResolvedChanges {
  readonly after: string | undefined;
  /** undefined: all keys. */
  readonly range: KeyRange | undefined;
  readonly signal: AbortSignal | undefined;
}

const NAMES: ReadonlySet<string> = new Set<keyof ChangesOptions>(['after', 'prefix', 'signal']);

export function resolveChanges(options: ChangesOptions = {}): ResolvedChanges {
  checkObject(options, 'changes options', NAMES);
  const { after, prefix, signal } = readOnce(options, NAMES);
  if (after !== undefined) decodePosition(after);
  return {
    after,
    range: prefix === undefined ? undefined : boundsOf({ prefix }),
    signal: signalOption(signal),
  };
}
