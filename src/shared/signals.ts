/**
 * AbortSignals of the application: their state is read, and their end awaited, by the platform's own functions, whatever
 * somebody has put over them.
 *
 * A signal may be a subclass, carry getters of its own, or be a mere object with that prototype. What it does when it is looked
 * at would happen in the middle of a step of ours.
 *
 * Thread: any.
 */
import { invalidArgument } from './errors.ts';

const readAborted = getterOf('aborted');
const readReason = getterOf('reason');
const { addEventListener, removeEventListener } = EventTarget.prototype;

function getterOf(name: 'aborted' | 'reason'): (this: AbortSignal) => unknown {
  return Object.getOwnPropertyDescriptor(AbortSignal.prototype, name)!.get!;
}

/** An option that is a signal, or is not there. Throws STRATA_INVALID_ARGUMENT for anything else. */
export function signalOption(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  try {
    readAborted.call(value as AbortSignal);
  } catch {
    throw invalidArgument("option 'signal' must be an AbortSignal");
  }
  return value as AbortSignal;
}

export function isAborted(signal: AbortSignal): boolean {
  return readAborted.call(signal) === true;
}

/** Throws the signal's reason, which may be anything, once it is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal !== undefined && isAborted(signal)) throw readReason.call(signal);
}

/** Calls `act` with the reason once the signal is aborted, at once if it is by now. The returned function takes that back. */
export function whenAborted(signal: AbortSignal | undefined, act: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => undefined;
  const onAbort = (): void => act(readReason.call(signal));
  if (isAborted(signal)) {
    onAbort();
    return () => undefined;
  }
  addEventListener.call(signal, 'abort', onAbort, { once: true });
  return () => removeEventListener.call(signal, 'abort', onAbort);
}
