/**
 * What there has to be once in a thread, however often the package is loaded in it: as ES modules and as CommonJS, by two
 * dependents that have a copy each, bundled and not.
 *
 * Invariants: copies share it only if they are of the same version: what they keep in it is private to the package.
 *             Where the global object takes no property, each copy has its own.
 * Thread:     any; each has its own.
 */
import { PACKAGE_VERSION } from './package-version.ts';

/** What the first copy made under this name. */
export function onePerThread<T extends object>(name: string, make: () => T): T {
  const key = Symbol.for(`stratakv.${name}@${PACKAGE_VERSION}`);
  const known: unknown = Reflect.get(globalThis, key);
  if (known !== undefined) return known as T;
  const made = make();
  Reflect.defineProperty(globalThis, key, { value: made });
  return made;
}
