/**
 * Every place at which code of the application runs, with code that calls back into the store, closes it, or throws: nothing of
 * it runs within a step of the engine, so whatever it does, every promise settles, the store goes on, and what was acknowledged
 * is there after reopening.
 */
import assert from 'node:assert/strict';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { type TestContext, test } from 'node:test';
import {
  type EngineOptions,
  StorageEngine,
  StorageError,
  type TraceLogger,
  WriteBatch,
} from '../../src/main/index.ts';
import type { ForeignPool } from '../../src/main/store/open-request.ts';
import { fill, newPath, TINY, turn } from '../helpers/engines.ts';

/** What the application does at the hook. */
type Act = () => void;

interface Hook {
  readonly name: string;
  /** Does what makes the hook run; how it ends is its own affair. */
  readonly run: (engine: StorageEngine, act: Act) => unknown;
  /** Where opening needs something. */
  readonly options?: (act: Act) => EngineOptions;
  /** What it throws is of no interest: the work has failed by then. */
  readonly isQuiet?: boolean;
  /** Where it throws again and again, the store ends up read-only. */
  readonly mayEndWrites?: boolean;
}

async function churn(engine: StorageEngine): Promise<void> {
  await Promise.allSettled([fill(engine, 400, 60), engine.flush()]);
  await engine.compact();
}

const EVENTS = ['flush', 'compaction', 'stall'] as const;

/** Called a hundred times in a run. */
const loggerThatActs = (act: Act): TraceLogger => ({
  debug: act,
  info: act,
  warn: act,
  error: act,
});

/** A subclass whose every property is the application's code. */
function arrayThatActs(text: string, act: Act): Uint8Array {
  class Acting extends Uint8Array {
    override get length(): number {
      act();
      return 1_000_000;
    }
    override get byteLength(): number {
      act();
      return 3;
    }
    override subarray(): never {
      act();
      throw new Error('subarray of the application');
    }
    override slice(): never {
      act();
      throw new Error('slice of the application');
    }
    static get [Symbol.species](): Uint8ArrayConstructor {
      act();
      return Uint8Array;
    }
  }
  return Acting.from(Buffer.from(text));
}

class ActingBatch extends WriteBatch {
  act: Act = () => undefined;
  override get length(): number {
    this.act();
    return 1;
  }
  override get byteLength(): number {
    this.act();
    return 1;
  }
  override get dataByteLength(): number {
    this.act();
    return -1;
  }
}

const records = (count: number): [string, string][] =>
  Array.from({ length: count }, (_, i) => [`in-${i}`, 'x']);

/** An iterable each of whose parts may act. */
function sourceThatActs(
  part: 'get' | 'open' | 'next' | 'value' | 'return',
  act: Act,
  isAsync: boolean,
): never {
  const iterator = {
    i: 0,
    next() {
      if (part === 'next') act();
      const step = {
        done: this.i++ >= 50,
        get value() {
          if (part === 'value') act();
          return ['in', 'x'];
        },
      };
      // Something that is no record ends the load early: then return() is called.
      const answer = part === 'return' && this.i > 5 ? { done: false, value: 'no record' } : step;
      return isAsync ? Promise.resolve(answer) : answer;
    },
    return() {
      if (part === 'return') act();
      return {};
    },
  };
  const open = (): unknown => {
    if (part === 'open') act();
    return iterator;
  };
  const source = {};
  Object.defineProperty(source, isAsync ? Symbol.asyncIterator : Symbol.iterator, {
    get: () => {
      if (part === 'get') act();
      return open;
    },
  });
  return source as never;
}

const HOOKS: readonly Hook[] = [
  ...EVENTS.map((name) => ({
    name: `a listener of ${name}`,
    run: async (engine: StorageEngine, act: Act) => {
      engine.on(name, act);
      await churn(engine);
    },
  })),
  ...EVENTS.map((name) => ({
    name: `a subscriber of stratakv:${name}`,
    run: async (engine: StorageEngine, act: Act) => {
      const path = `stratakv:${name}`;
      subscribe(path, act);
      await churn(engine).finally(() => unsubscribe(path, act));
      await turn();
    },
  })),
  {
    name: 'a subscriber that subscribes and unsubscribes',
    run: async (engine, act) => {
      const second = (): void => act();
      const first = (): void => {
        unsubscribe('stratakv:flush', first);
        subscribe('stratakv:flush', second);
        act();
      };
      subscribe('stratakv:flush', first);
      await churn(engine).finally(() => {
        unsubscribe('stratakv:flush', first);
        unsubscribe('stratakv:flush', second);
      });
    },
  },
  ...(['get', 'open', 'next', 'value', 'return'] as const).flatMap((part) =>
    [false, true].map((isAsync) => ({
      name: `${part} of ${isAsync ? 'an async' : 'an'} iterable that is loaded`,
      isQuiet: part === 'return',
      run: (engine: StorageEngine, act: Act) => engine.ingest(sourceThatActs(part, act, isAsync)),
    })),
  ),
  { name: 'a logger', options: (act) => ({ logger: loggerThatActs(act) }), run: churn },
  { name: 'a logger that is a function', options: (act) => ({ logger: () => act() }), run: churn },
  {
    name: 'a subscriber of a tracing channel',
    run: async (engine, act) => {
      const subscribers = { start: act, end: act, asyncStart: act, asyncEnd: act, error: act };
      const channel = tracingChannel('stratakv:trace:flush');
      channel.subscribe(subscribers);
      await churn(engine).finally(() => channel.unsubscribe(subscribers));
    },
  },
  { name: 'progress of ingest', run: (engine, act) => engine.ingest(records(2000), { onProgress: act }) },
  {
    name: 'progress of verify',
    run: async (engine, act) => {
      await engine.flush();
      await engine.verify({ onProgress: act });
    },
  },
  {
    name: 'a handler of the signal that ends a load',
    run: async (engine, act) => {
      const controller = new AbortController();
      controller.signal.addEventListener('abort', act);
      const load = engine.ingest(
        sourceThatActs('next', () => controller.abort(null), true),
        controller,
      );
      await assert.rejects(load, (reason) => reason === null || reason instanceof StorageError);
    },
  },
  {
    name: 'the pool',
    options: (act) => ({
      pool: {
        run: async (job: unknown, { filename }: { filename: string }) => {
          act();
          const worker = (await import(filename)) as { default: (job: unknown) => Promise<unknown> };
          return await worker.default(job);
        },
      } as ForeignPool,
    }),
    isQuiet: true,
    mayEndWrites: true,
    run: churn,
  },
  ...(
    [
      ['put', 'sync', (engine, given) => engine.put('option', 'x', given)],
      ['write', 'sync', (engine, given) => engine.write(new WriteBatch().put('option', 'x'), given)],
      ['get', 'zeroCopy', (engine, given) => engine.get('kept', given)],
      ['getMany', 'zeroCopy', (engine, given) => engine.getMany(['kept'], given)],
      ['scan', 'limit', (engine, given) => Promise.resolve().then(() => engine.scan(given).nextMany(5))],
      ['compact', 'start', (engine, given) => engine.compact(given)],
      ['ingest', 'signal', (engine, given) => engine.ingest(records(10), given)],
      ['verify', 'onProgress', (engine, given) => engine.verify(given)],
    ] as readonly [string, string, (engine: StorageEngine, given: object) => Promise<unknown>][]
  ).map(([call, option, make]) => ({
    name: `option ${option} of ${call}, a getter`,
    run: (engine: StorageEngine, act: Act) =>
      make(
        engine,
        Object.defineProperty({}, option, {
          enumerable: true,
          get: () => {
            act();
            return undefined;
          },
        }),
      ),
  })),
  {
    name: 'a derived array for a key and a value',
    run: async (engine, act) => {
      for (const length of [3, 100, 3000]) {
        const text = 'a'.repeat(length);
        await engine.put(arrayThatActs(text, act), arrayThatActs(text, act));
        assert.equal((await engine.get(text))?.toString(), text);
        await engine.write(new WriteBatch().put(arrayThatActs(text, act), arrayThatActs(`${text}b`, act)));
        assert.equal((await engine.get(arrayThatActs(text, () => undefined)))?.toString(), `${text}b`);
      }
    },
  },
  {
    name: 'a derived batch',
    run: async (engine, act) => {
      const batch = new ActingBatch();
      batch.act = act;
      batch.put('of-a-batch', 'x'.repeat(500)).put('of-a-batch-too', 'y');
      await engine.write(batch);
      assert.equal((await engine.get('of-a-batch-too'))?.toString(), 'y');
    },
  },
  {
    name: 'a proxy for the keys of getMany',
    run: (engine, act) =>
      engine.getMany(
        new Proxy(['kept', 'kept'], {
          get: (target, name, receiver) => {
            act();
            return Reflect.get(target, name, receiver);
          },
        }),
      ),
  },
];

/** What acts leave, and what has gone to the uncaught exceptions. */
interface Aftermath {
  readonly promises: Promise<unknown>[];
  readonly stored: Set<string>;
  acts: number;
}

const REENTRANT: Readonly<Record<string, (engine: StorageEngine, after: Aftermath) => void>> = {
  'calls everything': (engine, { promises, stored, acts }) => {
    const key = `told-${acts}`;
    promises.push(engine.put(key, 'x').then(() => stored.add(key)));
    promises.push(engine.flush(), engine.get('kept'), engine.getMany(['kept', key]));
    promises.push(Promise.resolve().then(() => engine.compact()));
    if (acts % 4 === 1) promises.push(engine.ingest(records(20)), engine.verify());
    if (engine.status !== 'open') return;
    engine.scan({ limit: 3 }).nextMany(2);
    engine.snapshot().close();
    engine.stats();
  },
  'closes the store': (engine, { promises }) => {
    promises.push(engine.close());
  },
  throws: () => {
    throw new Error('thrown by the application');
  },
};

const MAX_ACTS = 16;

for (const [kind, reentrant] of Object.entries(REENTRANT)) {
  for (const hook of HOOKS) {
    test(`${hook.name}: ${kind}`, { timeout: 60_000 }, async (t) => {
      const uncaught = catchUncaught(t);
      const after: Aftermath = { promises: [], stored: new Set(), acts: 0 };
      let engine: StorageEngine | undefined;
      const act = (): void => {
        if (engine === undefined || after.acts >= MAX_ACTS) return;
        after.acts++;
        reentrant(engine, after);
      };
      const path = newPath(t);
      engine = await StorageEngine.open(path, { ...TINY, ...hook.options?.(act) });
      await engine.put('kept', 'safe');
      const outcome = await Promise.allSettled([Promise.resolve(hook.run(engine, act))]);
      while (after.promises.length > 0) await Promise.allSettled(after.promises.splice(0));
      await turn();
      if (kind === 'throws') checkThrown(hook, outcome[0]!, after, uncaught);
      else assert.deepEqual(uncaught, []);
      if (kind !== 'closes the store' && !(kind === 'throws' && hook.mayEndWrites === true)) {
        await engine.put('kept', 'safe');
        assert.equal((await engine.get('kept'))?.toString(), 'safe');
      }
      await engine.close();
      await checkReopened(path, after.stored);
    });
  }
}

/** What nobody catches while the test runs. */
function catchUncaught(t: TestContext): unknown[] {
  const uncaught: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  return uncaught;
}

/** It came up where the application can see it: from the call, or as an uncaught exception. */
function checkThrown(
  hook: Hook,
  outcome: PromiseSettledResult<unknown>,
  { acts }: Aftermath,
  uncaught: readonly unknown[],
): void {
  const seen = outcome.status === 'rejected' ? [...uncaught, outcome.reason] : uncaught;
  for (const error of seen) assert.ok(error instanceof Error, String(error));
  if (acts > 0 && hook.isQuiet !== true)
    assert.ok(
      seen.some((error) => (error as Error).message === 'thrown by the application'),
      `nobody has seen it: ${String(seen)}`,
    );
}

async function checkReopened(path: string, stored: ReadonlySet<string>): Promise<void> {
  const engine = await StorageEngine.open(path, TINY);
  try {
    await engine.verify();
    for (const key of ['kept', ...stored]) assert.ok(await engine.has(key), `${key} is lost`);
  } finally {
    await engine.close();
  }
}
