/** The records of an archived load on their way into an ingestion: that they arrive, and that a failure ends the waiting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LoadedRecord, type LoadedStore, LoadFeed } from '../../src/backup/load-feed.ts';

function part(name: string): LoadedRecord[] {
  return [[Buffer.from(name), Buffer.from('value')]];
}

test('parts arrive in order, and the end is the end of the ingestion', async () => {
  const keys: string[] = [];
  const store: LoadedStore = {
    ingest: async (source) => {
      for await (const [key] of source) keys.push(`${key}`);
    },
  };
  const feed = new LoadFeed(store, 7);
  for (const name of ['a', 'b', 'c']) await feed.add(part(name));
  await feed.end();
  assert.deepEqual([keys.join(''), feed.parts], ['abc', 3]);
});

test('parts that follow on a failed ingestion fail with it, and wait for nobody', async () => {
  const store: LoadedStore = {
    ingest: async (source) => {
      for await (const record of source) throw new Error(`no room for ${record[0]}`);
    },
  };
  const feed = new LoadFeed(store, 7);
  await assert.rejects(
    async () => {
      for (const name of ['a', 'b', 'c', 'd']) await feed.add(part(name));
    },
    { message: 'no room for a' },
  );
});
