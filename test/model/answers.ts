/**
 * Answers of a store beside those of the model; buffers handed out are overwritten once they were looked at.
 */
import assert from 'node:assert/strict';
import { type ModelEntry, printable, toText } from '../helpers/sorted-model.ts';

/** What buffers are overwritten with. */
export const SCRIBBLE = 0xa5;

export function take(buffer: Buffer | undefined): string | undefined {
  if (buffer === undefined) return undefined;
  const text = toText(buffer);
  buffer.fill(SCRIBBLE);
  return text;
}

export function takeEntry([key, value]: [Buffer, Buffer]): ModelEntry {
  return [take(key)!, take(value)!];
}

export function assertEntries(actual: readonly ModelEntry[], expected: readonly ModelEntry[]): void {
  const length = Math.max(actual.length, expected.length);
  for (let i = 0; i < length; i++) {
    const [key, value] = actual[i] ?? [];
    const [wantedKey, wantedValue] = expected[i] ?? [];
    if (key === wantedKey && value === wantedValue) continue;
    assert.fail(
      `entry ${i} of ${expected.length} is ${printable(key)} = ${printable(value)}, ` +
        `not ${printable(wantedKey)} = ${printable(wantedValue)}`,
    );
  }
}
