/**
 * Uses a store where an application's tests would, and says which steps went wrong.
 *
 *   node --experimental-vm-modules realm-child.js DIRECTORY OPTIONS MODE     prints a RealmReport as JSON
 *
 *   realm                in a realm of its own (realm.ts), as under jest and vitest's vm pools
 *   realm, frozen        once the package is loaded, the realm's timers, clocks and microtasks are fake ones that never come
 *   realm, frozen first  before the package is loaded (jest: `fakeTimers: { enableGlobally: true }`)
 *   realm, browser       with the globals of a browser, and little of Node's (jest's environment jsdom)
 *   process, frozen      no realm: the process's own globals, and the functions of its module node:timers (sinon)
 */
import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';
import vm from 'node:vm';
import { freezeTime, freezeTimers } from './frozen-time.ts';
import { Realm } from './realm.ts';

export interface RealmReport {
  readonly done: readonly string[];
  readonly failures: readonly string[];
}

const [directory = '', options = '{}', mode = ''] = process.argv.slice(2);
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const stepsUrl = new URL(`./realm-steps.${extension}`, import.meta.url);
const given = {
  engineUrl: new URL(`../../src/main/index.${extension}`, import.meta.url).href,
  clientUrl: new URL(`../../src/client/index.${extension}`, import.meta.url).href,
  directory,
  options: JSON.parse(options) as unknown,
};

/** An error and collections of the realm whose globals are given: those of the other part of the application. */
function foreignTo(inner: typeof globalThis): object {
  return {
    bytes: new inner.Uint8Array([102, 111, 111]),
    map: new inner.Map([['m', '1']]),
    error: new inner.Error('theirs'),
  };
}

/** Timers are numbers there, and some of what Node has is missing. */
function playBrowser(globals: typeof globalThis): void {
  const missing = [
    'TextEncoder',
    'TextDecoder',
    'structuredClone',
    'setImmediate',
    'clearImmediate',
    'MessageChannel',
  ];
  for (const name of missing) Reflect.deleteProperty(globals, name);
  const { setTimeout: later, setInterval: often } = globalThis;
  Reflect.set(globals, 'setTimeout', (act: () => void, ms: number) => Number(later(act, ms)));
  Reflect.set(globals, 'setInterval', (act: () => void, ms: number) => Number(often(act, ms)));
}

async function inRealm(): Promise<() => Promise<RealmReport>> {
  const realm = new Realm();
  const globals = vm.runInContext('globalThis', realm.context) as typeof globalThis;
  const freeze = (): void => {
    if (mode === 'realm, frozen') freezeTime(globals);
  };
  if (mode === 'realm, frozen first') freezeTime(globals);
  if (mode === 'realm, browser') playBrowser(globals);
  Object.assign(realm.context, given, { foreign: foreignTo(globalThis), freeze });
  const { run } = await realm.run(readFileSync(stepsUrl, 'utf8'), stepsUrl.href);
  return run as () => Promise<RealmReport>;
}

async function inProcess(): Promise<() => Promise<RealmReport>> {
  const other = vm.runInNewContext('globalThis') as typeof globalThis;
  const freeze = (): void => {
    freezeTime(globalThis);
    freezeTimers(timers);
    syncBuiltinESMExports();
  };
  Object.assign(globalThis, given, { foreign: foreignTo(other), freeze });
  const { run } = (await import(stepsUrl.href)) as { run: () => Promise<RealmReport> };
  return run;
}

const run = await (mode.startsWith('realm') ? inRealm() : inProcess());
process.stdout.write(JSON.stringify(await run()));
