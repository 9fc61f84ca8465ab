/**
 * What a history is answered with, and its digest: runs are compared by one number per operation, so that a million of them
 * fit in memory and a comparison costs nothing.
 */
import { crc32 } from '../../src/shared/checksum.ts';
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

/** For people. */
export function describe(answer: Answer): string {
  if (typeof answer === 'string') return answer;
  const parts = answer.map((part) =>
    typeof part === 'boolean' ? String(part) : printable(typeof part === 'object' ? toText(part) : part),
  );
  return `[${parts.join(', ')}]`;
}
