/**
 * Waiting that a signal can end.
 *
 * Thread: any.
 */

/** `work`, or a rejection with the signal's reason as soon as that is aborted. */
export async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
