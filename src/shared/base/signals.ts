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

/** What is to happen when a signal is aborted. */
interface Watch {
  readonly actions: Set<(reason: unknown) => void>;
  readonly listener: () => void;
}

/** One listener for all that wait for a signal, as Node warns of more than ten on one. */
const watches = new WeakMap<AbortSignal, Watch>();

/** Calls `act` with the reason once the signal is aborted, at once if it is by now. The returned function takes that back. */
export function whenAborted(signal: AbortSignal | undefined, act: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => undefined;
  if (isAborted(signal)) {
    act(readReason.call(signal));
    return () => undefined;
  }
  const watch = watches.get(signal) ?? watchSignal(signal);
  // One of its own, as the same function may be given twice.
  const action = (reason: unknown): void => act(reason);
  watch.actions.add(action);
  return () => {
    if (!watch.actions.delete(action) || watch.actions.size > 0 || watches.get(signal) !== watch) return;
    watches.delete(signal);
    removeEventListener.call(signal, 'abort', watch.listener);
  };
}

function watchSignal(signal: AbortSignal): Watch {
  const actions = new Set<(reason: unknown) => void>();
  const listener = (): void => {
    watches.delete(signal);
    const reason = readReason.call(signal);
    for (const action of actions) action(reason);
  };
  const watch = { actions, listener };
  watches.set(signal, watch);
  addEventListener.call(signal, 'abort', listener, { once: true });
  return watch;
}
