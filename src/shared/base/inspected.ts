/**
 * What `console.log` shows of an object of the public surface: what it is and how it stands, never keys or values.
 *
 * Thread: any.
 */

/** The method by which Node (and Deno, and Bun) asks; the symbol is registered, so nothing need be imported for it. */
export const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom') as never;

/** As much of Node's `util.inspect` as this needs. */
export type Inspect = (value: unknown, options: object) => string;

/** `Name { fact: 1, ... }`; `[Name]` where no more is to be shown, deep in something else. */
export function inspected(
  name: string,
  facts: Readonly<Record<string, unknown>>,
  depth: number,
  options: object,
  inspect: Inspect,
): string {
  return depth < 0 ? `[${name}]` : `${name} ${inspect({ ...facts }, options)}`;
}
