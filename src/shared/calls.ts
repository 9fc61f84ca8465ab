/**
 * Calls between the owner of a store and a client in another thread, by comlink over a MessagePort. The only importer of
 * comlink.
 *
 *   serveCalls(port, handlers)     the owner's side: each call runs a handler
 *   new Calls(port).call(name)     the client's side: a promise that settles even when the port closes
 *
 * Errors cross as plain data (WireError): comlink itself would keep of a StorageError only its message.
 *
 * Invariants: neither side's process or thread is kept alive by an idle port; the caller's is by a pending call.
 *             A call settles: with its result, its error, or what {@link Calls.end} was given.
 * Thread:     any.      Owns: the port.
 */
import type { MessagePort, Transferable } from 'node:worker_threads';
import { type Endpoint, expose, type Remote, transfer, wrap } from 'comlink';
import { errorFromWire, errorToWire, type WireError } from './errors.ts';

/** What handlers may look like: plain data in, plain data out. */
export type Handlers<T> = {
  [K in keyof T]: T[K] extends (...given: infer A) => infer R
    ? (...given: A) => R | Promise<Awaited<R>>
    : never;
};

type Reply = { readonly value: unknown } | { readonly error: WireError };
type Served = (name: string, given: unknown[]) => Promise<Reply>;

/** Runs a handler for each call that comes through `port`. `onReply` is told of each handler's end. */
export function serveCalls<T extends object>(
  port: MessagePort,
  handlers: Handlers<T>,
  track: (handled: Promise<unknown>) => void,
): void {
  const serve: Served = async (name, given) => {
    const handler = Object.hasOwn(handlers, name) ? handlers[name as keyof T] : undefined;
    if (typeof handler !== 'function') return { error: errorToWire(new Error(`no such call: ${name}`)) };
    try {
      const handled = (async (): Promise<unknown> => await handler.apply(handlers, given))();
      track(handled);
      return { value: await handled };
    } catch (error) {
      return { error: errorToWire(error) };
    }
  };
  expose(serve, endpoint(port));
  port.unref();
}

/** The calls of one client. */
export class Calls<T extends object> {
  readonly #port: MessagePort;
  readonly #serve: Remote<Served>;
  readonly #pending = new Set<(error: Error) => void>();
  #idleWaiters: (() => void)[] = [];
  #ended: Error | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    this.#serve = wrap<Served>(endpoint(port));
    port.unref();
  }

  /** Sends the call before it returns. `moved`: buffers and ports among `given` that go over to the other thread. */
  call<K extends keyof T & string>(
    name: K,
    given: T[K] extends (...given: infer A) => unknown ? A : never,
    moved: readonly Transferable[] = [],
  ): Promise<T[K] extends (...given: never[]) => infer R ? Awaited<R> : never> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#pending.add(reject);
      if (this.#pending.size === 1) this.#port.ref();
      const settle = (done: () => void): void => {
        done();
        if (!this.#pending.delete(reject) || this.#pending.size > 0) return;
        this.#port.unref();
        this.#notifyIdle();
      };
      this.#serve(name, transfer([...given], moved as Parameters<typeof transfer>[1])).then(
        (reply) =>
          settle(() =>
            'error' in reply ? reject(errorFromWire(reply.error)) : resolve(reply.value as never),
          ),
        (error: unknown) => settle(() => reject(error)),
      );
    });
  }

  /** Resolves when no call is pending. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Rejects what is pending and every later call with `error`, and closes the port. */
  end(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.#port.close();
    this.#notifyIdle();
  }

  #notifyIdle(): void {
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}

/** A MessagePort of Node's as comlink knows ports. */
function endpoint(port: MessagePort): Endpoint {
  return {
    postMessage: (message: unknown, moved: readonly Transferable[] = []) => port.postMessage(message, moved),
    addEventListener: (_type: string, listener: unknown) =>
      port.on('message', (data: unknown) => (listener as (event: { data: unknown }) => void)({ data })),
    // Only comlink's own release asks for it, and closing the port is ours to do.
    removeEventListener: () => undefined,
  } as unknown as Endpoint;
}
