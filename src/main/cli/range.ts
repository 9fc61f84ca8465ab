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

/** Of `delete-range`: what comes to every record has to be said, as a variable of a script may be empty. */
export function rangeToDelete(
  start: string | undefined,
  end: string | undefined,
  { prefix, all }: { readonly prefix?: string; readonly all?: boolean },
  notation: Notation,
): KeyRange | { readonly all: true } {
  const range = rangeOf(start, end, prefix, notation);
  const isBounded = [range.gte, range.lt, range.prefix].some((bound) => bound !== undefined);
  if (all === true) {
    if (isBounded) throw usageError('give either a range or --all, not both');
    return { all };
  }
  const first = range.gte ?? range.prefix;
  if (range.lt === undefined && (first === undefined || first.length === 0))
    throw usageError('that is every record: say START, END, --prefix or --all');
  return range;
}
