/**
 * A scan that has ended, in whichever way, and a snapshot that was closed hold nothing, however long the application keeps them:
 * no snapshot, no engine, no client, nothing that was read ahead.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { StorageClient } from '../../src/client/index.ts';
import { type Scan, type Snapshot, StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { fill, newPath, openTiny, TINY, turn } from '../helpers/engines.ts';
import { garbageCollector } from '../helpers/garbage.ts';

interface ScanOptions {
  readonly snapshot?: never;
  readonly signal?: AbortSignal;
  readonly limit?: number;
  readonly gte?: string;
}

/** What the engine and a client have in common here. */
interface Reader {
  scan(options: ScanOptions): Scan;
  snapshot(): { close(): void };
}

/** Makes a scan through `scan` and ends it. */
type Way = (scan: (options?: ScanOptions) => Scan) => Scan | Promise<Scan>;

function aborted(scan: (options?: ScanOptions) => Scan, begin: (scan: Scan) => void): Scan {
  const abort = new AbortController();
  const made = scan({ signal: abort.signal });
  begin(made);
  abort.abort();
  return made;
}

function leaveAfter(scan: Scan, count: number): Scan {
  let seen = 0;
  for (const entry of scan) if (entry !== undefined && ++seen === count) break;
  return scan;
}

const WAYS: Readonly<Record<string, Way>> = {
  'read to its end': (scan) => leaveAfter(scan(), 1e9),
  'read to its end by nextMany': (scan) => {
    const made = scan();
    while (made.nextMany(1000).length > 0);
    return made;
  },
  'with nothing to read': (scan) => leaveAfter(scan({ gte: 'z' }), 1),
  'at its limit': (scan) => {
    const made = scan({ limit: 5 });
    assert.equal(made.nextMany(5).length, 5);
    return made;
  },
  'left in the midst of a loop': (scan) => leaveAfter(scan(), 20),
  'left in the midst of an awaiting loop': async (scan) => {
    const made = scan();
    for await (const entry of made) if (entry !== undefined) break;
    return made;
  },
  'thrown out of': (scan) => {
    const made = scan();
    assert.throws(() => {
      for (const entry of made) throw new Error(String(entry.length));
    }, /^Error: 2$/);
    return made;
  },
  'closed before it began': (scan) => {
    const made = scan();
    made.close();
    return made;
  },
  'aborted before it was made': (scan) => scan({ signal: AbortSignal.abort() }),
  'aborted before it began': (scan) => aborted(scan, () => undefined),
  'aborted in the midst of a loop': (scan) => aborted(scan, (made) => void made[Symbol.iterator]().next()),
};

/** Counts those of `things` that are collected, which the caller has to let go of. */
function watchGarbage(): { readonly watch: <T extends object>(thing: T) => T; readonly gone: () => number } {
  let gone = 0;
  const registry = new FinalizationRegistry(() => gone++);
  const watch = <T extends object>(thing: T): T => {
    registry.register(thing, undefined);
    return thing;
  };
  return { watch, gone: () => gone };
}

/** Collections until `isDone`, but no more of them than there can be reason for. */
async function collect(isDone: () => boolean, missing: () => string): Promise<void> {
  const collectGarbage = garbageCollector();
  for (let i = 0; i < 200 && !isDone(); i++) {
    collectGarbage();
    await turn();
  }
  assert.ok(isDone(), missing());
}

/** A scan of `reader` for each way, ended, of a snapshot that nobody else has. */
async function endedScans(reader: Reader, watch: (name: string, snapshot: object) => void): Promise<Scan[]> {
  const scans: Scan[] = [];
  for (const [name, way] of Object.entries(WAYS)) {
    const scanOf = (options: ScanOptions = {}): Scan => {
      const snapshot = reader.snapshot();
      watch(name, snapshot);
      return reader.scan({ ...options, snapshot: snapshot as never });
    };
    scans.push(await way(scanOf));
  }
  return scans;
}

for (const kind of ['engine', 'client'] as const) {
  test(`scans of ${kind === 'engine' ? 'an engine' : 'a client'} let go of their snapshots when they end`, async (t) => {
    const engine = await openTiny(t);
    await fill(engine, 300);
    const reader = kind === 'engine' ? engine : await attachHere(t, engine);
    const left = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => left.delete(name));
    const scans = await endedScans(reader as Reader, (name, snapshot) => {
      left.add(name);
      registry.register(snapshot, name);
    });
    assert.equal(left.size, Object.keys(WAYS).length);
    await turn();
    await collect(
      () => left.size === 0 && reader.stats().openSnapshots === 0,
      () => `still held by scans: ${[...left].join(', ')}`,
    );
    assert.equal(scans.length, Object.keys(WAYS).length);
  });
}

/** What an application keeps of an engine and a client that it has closed and forgotten. */
async function leftovers(t: TestContext, watch: <T extends object>(thing: T) => T): Promise<unknown[]> {
  const engine = watch(await StorageEngine.open(newPath(t), TINY));
  const client = watch(await StorageClient.attach(engine.share()));
  await fill(engine, 300);
  const kept: unknown[] = [];
  for (const reader of [engine, client] as Reader[]) {
    kept.push(await endedScans(reader, () => undefined));
    const snapshot = reader.snapshot();
    kept.push(reader.scan({ snapshot: snapshot as never }));
    snapshot.close();
    const open = reader.scan({});
    leaveAfter(reader.scan({}), 3);
    open.nextMany(3);
    kept.push(snapshot, open);
  }
  const forgotten: Snapshot = engine.snapshot();
  kept.push(forgotten);
  await client.close();
  await engine.close();
  return kept;
}

test('ended scans and snapshots keep neither a closed engine nor a closed client', async (t) => {
  const { watch, gone } = watchGarbage();
  const kept = await leftovers(t, watch);
  await collect(
    () => gone() === 2,
    () => `${gone()} of 2 were collected`,
  );
  assert.ok(kept.length > 0);
});

test('an abort drops what was read ahead', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  for (let i = 0; i < 50; i++) await engine.put(`key-${i}`, Buffer.alloc(500));
  const abort = new AbortController();
  const scan = engine.scan({ signal: abort.signal, limit: 40 });
  const { watch, gone } = watchGarbage();
  // Entries of one run lie in one slab; the loop's own first entry is forgotten with the function.
  (() => void watch(scan[Symbol.iterator]().next().value![1].buffer))();
  assert.equal(gone(), 0);
  abort.abort();
  // Another scan takes another slab into use.
  for (let i = 0; i < 20; i++) engine.scan().nextMany(50);
  await collect(
    () => gone() === 1,
    () => 'what was read ahead is still there',
  );
  assert.throws(() => scan.nextMany(1), { name: 'AbortError' });
});
