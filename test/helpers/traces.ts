/** Traces in tests: a logger that keeps all records, and what to look for in them. */
import assert from 'node:assert/strict';
import type { EngineOptions, TraceRecord } from '../../src/main/index.ts';

/** Options whose logger keeps the records. */
export function traced(): { readonly records: TraceRecord[]; readonly options: EngineOptions } {
  const records: TraceRecord[] = [];
  return { records, options: { logger: (record) => void records.push(record) } };
}

export function of<E extends TraceRecord['event'], P extends TraceRecord['phase']>(
  records: readonly TraceRecord[],
  event: E,
  phase: P,
): Extract<TraceRecord, { event: E; phase: P }>[] {
  return records.filter((record) => record.event === event && record.phase === phase) as never;
}

/** `actual` has these properties, and maybe others. */
export function has(actual: object | undefined, expected: object): void {
  const names = Object.keys(expected);
  assert.deepEqual(
    Object.fromEntries(names.map((name) => [name, Reflect.get(actual ?? {}, name)])),
    expected,
  );
}
