/**
 * Waiting that a signal can end.
 *
 * Thread: any.
 */
import { whenAborted } from './signals.ts';

/** `work`, or a rejection with the signal's reason as soon as that is aborted: how `work` ends is nobody's affair then. */
export async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const forget = whenAborted(signal, reject);
    work.then(resolve, reject).finally(forget);
  });
}
