/**
 * Checks that options objects have in common. An unknown option is an error, as a misspelt one would silently keep a default.
 *
 * Thread: any. Pure.
 */
import { invalidArgument } from './errors.ts';
import { describe } from './input-bytes.ts';

/** Refuses everything but a plain object with known properties. */
export function checkObject(options: unknown, what: string, known: ReadonlySet<string>): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidArgument(`${what} must be an object, not ${describe(options)}`);
  for (const name of Object.keys(options))
    if (!known.has(name)) throw invalidArgument(`unknown option '${name.slice(0, 64)}' in ${what}`);
}

/** A copy of options whose properties have been read once, for what is to look at them more often than that. */
export function readOnce<T extends object>(options: T, known: ReadonlySet<string>): T {
  const copy: Record<string, unknown> = {};
  for (const name of known) {
    const value: unknown = Reflect.get(options, name);
    if (value !== undefined) copy[name] = value;
  }
  return copy as T;
}

/** A boolean option of any options object. */
export function boolean<K extends string>(
  options: { readonly [P in K]?: boolean | undefined },
  name: K,
  fallback: boolean,
): boolean {
  const value: unknown = options[name];
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean')
    throw invalidArgument(`option '${name}' must be true or false, not ${describe(value)}`);
  return value;
}

/** An integer option of any options object. */
export function integer<K extends string>(
  options: { readonly [P in K]?: number | undefined },
  name: K,
  fallback: number,
  lowest: number,
  highest: number,
): number {
  const value: unknown = options[name];
  if (value === undefined) return fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < lowest || value > highest)
    throw invalidArgument(
      `option '${name}' must be an integer from ${lowest} to ${highest}, not ${describe(value)}`,
    );
  return value;
}
