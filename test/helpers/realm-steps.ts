/**
 * What an application does with a store, in the realm of realm-child.ts: everything here is of that realm, except what Node and
 * the outer realm hand in. No imports: the package is loaded as a test of an application would.
 */
import type * as Client from '../../src/client/index.ts';
import type * as Engine from '../../src/main/index.ts';

declare const engineUrl: string;
declare const clientUrl: string;
declare const directory: string;
declare const options: Engine.EngineOptions;
declare const foreign: { bytes: Uint8Array; map: Map<string, string>; error: Error };
declare const freeze: () => void;

const done: string[] = [];
const failures: string[] = [];

function expect(isRight: boolean, what: string): void {
  if (!isRight) failures.push(what);
}

async function step(name: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
    done.push(name);
  } catch (error) {
    failures.push(`${name}: ${String((error as { code?: unknown }).code)} ${(error as Error).message}`);
  }
}

export async function run(): Promise<{ done: string[]; failures: string[] }> {
  const engineModule = (await import(engineUrl)) as typeof Engine;
  const clientModule = (await import(clientUrl)) as typeof Client;
  const { StorageEngine, StorageError, WriteBatch } = engineModule;
  expect(!(foreign.error instanceof Error), 'the realm is not one of its own');
  freeze();

  const fails = async (code: string, act: () => unknown): Promise<void> => {
    const error: unknown = await Promise.resolve()
      .then(act)
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    const isRight = error instanceof StorageError && error instanceof Error && error.code === code;
    expect(isRight, `expected ${code}, not ${String(error)}`);
  };

  let engine!: Engine.StorageEngine;
  await step('open', async () => {
    engine = await StorageEngine.open(directory, options);
  });
  if (failures.length > 0) return { done, failures };
  await step('locked', () => fails('STRATA_LOCKED', () => StorageEngine.open(directory, options)));
  await step('put', async () => {
    await engine.put('a', '1');
    await engine.put('sync', '1', { sync: true });
    await engine.put(new Uint8Array([98]), new Uint8Array([50]));
    await engine.put(foreign.bytes, foreign.bytes);
  });
  await step('batch', async () => {
    await engine.write(new WriteBatch().put('c', '3').put('d', foreign.bytes).delete('sync'));
  });
  await step('get', async () => {
    expect((await engine.get('a'))?.toString() === '1', 'get');
    expect(engine.getSync(foreign.bytes)?.toString() === 'foo', 'getSync');
    const many = await engine.getMany(['a', new Uint8Array([98]), 'x']);
    expect(many.map(String).join() === '1,2,undefined', 'getMany');
    expect(engine.getSync('foo', { zeroCopy: true })?.toString() === 'foo', 'zeroCopy');
  });
  await step('invalid', async () => {
    await fails('STRATA_INVALID_ARGUMENT', () => engine.put(5 as never, 'x'));
    await fails('STRATA_INVALID_ARGUMENT', () => engine.scan({ signal: {} as never }));
    await fails('STRATA_INVALID_ARGUMENT', () => engine.ingest(5 as never));
  });
  await scans(engine);
  await maintenance(engine);
  await ingests(engine);
  await step('client', async () => {
    const client = await clientModule.StorageClient.attach(engine.share());
    await client.put('client', new Uint8Array([49]), { sync: true });
    expect(client.getSync('client')?.toString() === '1', 'client get');
    expect([...client.scan()].length === [...engine.scan()].length, 'client scan');
    await client.ingest([['client-load', foreign.bytes]]);
    await fails('STRATA_INVALID_ARGUMENT', () => client.put(5 as never, 'x'));
    await client.close();
    await fails('STRATA_CLOSED', () => client.put('x', 'x'));
  });
  await step('close', () => engine.close());
  await step('closed', () => fails('STRATA_CLOSED', () => engine.put('x', 'x')));
  await step('reopen', async () => {
    const again = await StorageEngine.open(directory, options);
    expect(again.getSync('client-load')?.toString() === 'foo', 'what was loaded is there after reopening');
    await again.close();
    await fails('STRATA_EXISTS', () => StorageEngine.open(directory, { ...options, errorIfExists: true }));
    await fails('STRATA_NO_DATABASE', () => StorageEngine.open(`${directory}-2`, { createIfMissing: false }));
  });
  return { done, failures };
}

async function scans(engine: Engine.StorageEngine): Promise<void> {
  await step('scan', async () => {
    const keys = Array.from(engine.scan({ gte: new Uint8Array([98]) }), ([key]) => key.toString());
    expect(keys.join() === 'b,c,d,foo', `scan: ${keys.join()}`);
    let count = 0;
    for await (const [key] of engine.scan({ lt: foreign.bytes })) count += key.length;
    expect(count === 4, 'async scan');
    const abort = new AbortController();
    const scan = engine.scan({ signal: abort.signal });
    abort.abort(foreign.error);
    let reason: unknown;
    try {
      scan.nextMany(1);
    } catch (error) {
      reason = error;
    }
    expect(reason === foreign.error, 'the reason of the signal');
  });
}

async function maintenance(engine: Engine.StorageEngine): Promise<void> {
  await step('flush', () => engine.flush());
  await step('background', async () => {
    // Several buffers full, so that writes are slowed down and held, and compactions run.
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 3000; i++) writes.push(engine.put(`fill-${i % 500}`, `${i}`.padEnd(60, '.')));
    await Promise.all(writes);
  });
  await step('compact', () => engine.compact({ start: new Uint8Array([0]), end: foreign.bytes }));
  await step('compact all', () => engine.compact());
  await step('verify', async () => {
    expect((await engine.verify()).tables > 0, 'verify');
  });
}

async function ingests(engine: Engine.StorageEngine): Promise<void> {
  await step('ingest', async () => {
    let estimate: number | undefined;
    await engine.ingest(foreign.map, { onProgress: ({ estimatedTotal }) => (estimate = estimatedTotal) });
    expect(estimate === 1, 'the size of a map of another realm is known');
    await engine.ingest(new Map([['n', new Uint8Array([49])]]));
    const source = (async function* (): AsyncGenerator<[string, Uint8Array]> {
      for (let i = 0; i < 3000; i++) yield [`load-${i}`, foreign.bytes];
    })();
    const report = await engine.ingest(source, { onProgress: () => undefined });
    expect(report.entries === 3000, 'ingest');
    expect(engine.getSync('m')?.toString() === '1', 'a map of another realm was loaded');
    const thrown = await engine
      .ingest(
        (function* (): Generator<[string, string]> {
          yield ['x', 'x'];
          throw foreign.error;
        })(),
      )
      .catch((error: unknown) => error);
    expect(thrown === foreign.error, 'what the source threw');
  });
}
