/**
 * What tests of ingestions have in common: records to load, slow sources, and what must be left when a load has failed.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { IngestRecord, StorageEngine } from '../../src/main/index.ts';
import { keyOf, reopen, textsOf, until } from './engines.ts';

/** `count` has no factor in common with the step, which then visits every number once, in no order. */
export function* recordsOf(count: number, value: string, prefix = ''): Generator<[string, string]> {
  for (let i = 0; i < count; i++) yield [`${prefix}${keyOf((i * 7919) % count)}`, value];
}

/** 2,000 records, and one that no load may take; tells whether the load has closed it. */
export class BadSource {
  hasEnded = false;

  *records(): Generator<IngestRecord> {
    try {
      yield* recordsOf(2000, 'x');
      yield ['a', 7 as never];
    } finally {
      this.hasEnded = true;
    }
  }
}

/** Gives the event loop a turn every few records. */
export async function* slowly(records: Iterable<IngestRecord>, every = 50): AsyncGenerator<IngestRecord> {
  let count = 0;
  for (const record of records) {
    if (++count % every === 0) await nextTurn();
    yield record;
  }
}

/** What a store holds after these records, the last of equal keys. */
export function modelOf(...loads: (readonly IngestRecord[])[]): [string, string][] {
  const model = new Map(loads.flat().map(([key, value]) => [String(key), String(value)]));
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Tables and runs in the directory. */
export function dataFiles(engine: StorageEngine): string[] {
  return readdirSync(engine.path)
    .filter((name) => /\.(?:sst|run)$/.test(name))
    .sort();
}

export function runFiles(engine: StorageEngine): string[] {
  return dataFiles(engine).filter((name) => name.endsWith('.run'));
}

export function liveTables(engine: StorageEngine): number {
  return engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
}

/** As if there had been no load; and the next one works. */
export async function isUntouched(
  t: TestContext,
  engine: StorageEngine,
  before: readonly [string, string][],
): Promise<void> {
  assert.deepEqual(textsOf(engine.scan()), before);
  await until(() => dataFiles(engine).length === liveTables(engine));
  assert.deepEqual(runFiles(engine), []);
  assert.equal(engine.stats().stalls.state, 'open');
  assert.equal(engine.stats().jobs.ingests, 0);
  await engine.put('zz', 'still takes writes');
  await engine.ingest([['zzz', 'and loads']]);
  const reopened = await reopen(t, engine);
  assert.deepEqual(textsOf(reopened.scan()), [...before, ['zz', 'still takes writes'], ['zzz', 'and loads']]);
}
