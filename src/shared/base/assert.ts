/**
 * Assertions for programmer errors. What the disk may do wrong is a CorruptionError (errors.ts), never an assertion.
 *
 * Assertions stay on in production: a store that has lost its bearings must stop before it writes.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Ends a switch over a discriminated union: a new member fails the build until it is handled. */
export function assertNever(value: never): never {
  throw new Error(`assertion failed: unexpected variant ${JSON.stringify(value)}`);
}
