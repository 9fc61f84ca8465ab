/**
 * Ranges of keys as commands take them: [START] [END], of which START is inclusive and END exclusive, or --prefix P.
 */
import type { KeyRange } from '../index.ts';
import { usageError } from './exit-codes.ts';
import { type Notation, parseBytes } from './notation.ts';

/** {} when nothing is given. */
export function rangeOf(
  start: string | undefined,
  end: string | undefined,
  prefix: string | undefined,
  notation: Notation,
): KeyRange {
  if (prefix !== undefined && start !== undefined)
    throw usageError('give either a range or --prefix, not both');
  if (prefix !== undefined) return { prefix: parseBytes(prefix, notation) };
  return {
    ...(start === undefined ? {} : { gte: parseBytes(start, notation) }),
    ...(end === undefined ? {} : { lt: parseBytes(end, notation) }),
  };
}
