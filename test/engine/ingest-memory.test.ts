/**
 * The memory of an ingestion's chunks is given up when the load has ended, however it ends, and the collector takes it by itself.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { keyOf, openTiny } from '../helpers/engines.ts';

const CHUNK_BYTES = 8 * 1024 * 1024;

async function open(t: TestContext): Promise<StorageEngine> {
  return await openTiny(t, { writeBufferSize: 2 * CHUNK_BYTES });
}

/** In an order that is none. All of them are more than fill two chunks. */
function* records(failAt = Number.POSITIVE_INFINITY): Generator<[string, Buffer]> {
  const value = Buffer.alloc(32 * 1024, 'v');
  for (let i = 0; i < 600; i++) {
    if (i === failAt) throw new Error('no more');
    yield [keyOf((i * 7919) % 600), value];
  }
}

/** The chunks that are made from now on, and how many the collector has taken. */
function watchChunks(t: TestContext): { readonly made: () => number; comeBack(): Promise<void> } {
  let made = 0;
  let gone = 0;
  const registry = new FinalizationRegistry(() => gone++);
  const original = SharedArrayBuffer;
  globalThis.SharedArrayBuffer = new Proxy(original, {
    construct(target, [byteLength]: [number]) {
      const buffer = new target(byteLength);
      if (byteLength === CHUNK_BYTES) {
        made++;
        registry.register(buffer, undefined);
      }
      return buffer;
    },
  });
  t.after(() => {
    globalThis.SharedArrayBuffer = original;
  });
  const comeBack = async (): Promise<void> => {
    // Nobody forces a collection.
    for (let i = 0; i < 1500 && gone < made; i++)
      await new Promise<void>((resolve) => setTimeout(resolve, 20));
    assert.equal(gone, made);
  };
  return { made: () => made, comeBack };
}

test('ingest gives up its chunks when it has ended', async (t) => {
  const engine = await open(t);
  const chunks = watchChunks(t);
  assert.equal((await engine.ingest(records())).records, 600);
  assert.ok(chunks.made() > 1);
  await chunks.comeBack();
  assert.equal(engine.getSync(keyOf(599))?.length, 32 * 1024);
});

test('ingest gives up its chunks when its source fails, and when it is aborted', async (t) => {
  const engine = await open(t);
  const chunks = watchChunks(t);
  await assert.rejects(engine.ingest(records(400)), /no more/);
  assert.ok(chunks.made() > 1);
  await chunks.comeBack();
  const abort = new AbortController();
  const onProgress = (): void => abort.abort(new Error('enough'));
  await assert.rejects(engine.ingest(records(), { signal: abort.signal, onProgress }), /enough/);
  await chunks.comeBack();
});

test('a client gives up the chunks of its loads: finished, aborted, or ended with the client', async (t) => {
  const engine = await open(t);
  const client = await attachHere(t, engine);
  const chunks = watchChunks(t);
  assert.equal((await client.ingest(records())).records, 600);
  assert.ok(chunks.made() > 0);
  await chunks.comeBack();
  for (const end of ['abort', 'close'] as const) {
    const before = chunks.made();
    const writer = await client.ingestWriter();
    for (const [key, value] of records(300)) {
      writer.put(key, value);
      if (key === keyOf((299 * 7919) % 600)) break;
    }
    assert.ok(chunks.made() > before);
    if (end === 'abort') await writer.abort();
    else await client.close();
    // The writer is still held here.
    await chunks.comeBack();
    assert.equal(writer.recordCount, 300);
  }
});
