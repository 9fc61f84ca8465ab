/**
 * What a history is answered with, and its digest: runs are compared by one number per operation, so that a million of them
 * fit in memory and a comparison costs nothing.
 */
import { crc32 } from '../../src/shared/base/checksum.ts';
import { printable, toBytes, toText } from '../helpers/sorted-model.ts';

type Part = Uint8Array | string | boolean | undefined;

/** Values, or keys and values in turn; a snapshot or scan that was not there; or nothing but done. */
export type Answer = readonly Part[] | 'absent' | 'done';

export function digest(answer: Answer): number {
  if (typeof answer === 'string') return answer === 'done' ? 1 : 2;
  let sum = answer.length + 3;
  for (const part of answer) {
    if (typeof part === 'object' || typeof part === 'string') {
      const bytes = typeof part === 'string' ? toBytes(part) : part;
      sum = crc32(bytes, 0, bytes.length, (sum ^ Math.imul(bytes.length + 1, 0x9e3779b1)) >>> 0);
    } else sum = (Math.imul(sum, 31) + (part === undefined ? 7 : part ? 11 : 13)) >>> 0;
  }
  return sum;
}

/** Two answers for people: short ones whole, of long ones the first part in which they differ. */
export function describeBoth(found: Answer, wanted: Answer): readonly [found: string, wanted: string] {
  if (typeof found === 'string' || typeof wanted === 'string' || found.length + wanted.length <= 8)
    return [describe(found), describe(wanted)];
  const length = Math.max(found.length, wanted.length);
  const at = Array.from({ length }, (_, i) => i).find((i) => textOf(found[i]) !== textOf(wanted[i])) ?? 0;
  const part = (answer: readonly Part[]): string => `part ${at} of ${answer.length}: ${textOf(answer[at])}`;
  return [part(found), part(wanted)];
}

function describe(answer: Answer): string {
  return typeof answer === 'string' ? answer : `[${answer.map(textOf).join(', ')}]`;
}

function textOf(part: Part): string {
  if (typeof part === 'boolean') return String(part);
  return printable(typeof part === 'object' ? toText(part) : part);
}
