/**
 * Calls between the owner of a store and a client in another thread, by comlink over a MessagePort. The only importer of
 * comlink.
 *
 *   serveCalls(port, calls)        the owner's side: each call is checked, then runs a handler
 *   new Calls(port).call(name)     the client's side: a promise that settles even when the port closes
 *
 * Whoever has a port may post anything into it, and comlink acts on whatever looks like one of its own messages: reads, writes
 * and constructs along paths, makes ports, throws whatever they ask for. So each side has a gate (endpoint) before comlink, which
 * knows plain calls and plain answers of ours alone.
 *
 *   call    { id, type: 'APPLY', path: [], argumentList: [RAW name, RAW arguments] }
 *   answer  { id, type: 'RAW', value: { value } or { error: WireError } }
 *
 * Errors cross as plain data (WireError): comlink itself would keep of a StorageError only its message.
 *
 * Invariants: neither side's process or thread is kept alive by an idle port; the caller's is by a pending call.
 *             A call settles: with its result, its error, or what {@link Calls.end} was given.
 *             Nothing happens upon a call whose arguments are not what it takes: STRATA_INVALID_ARGUMENT. What is no call is
 *             answered with that, too, if it bears an id, as somebody may wait; else it is ignored.
 *             An answer that makes no sense ends the client: what else the owner says can't be trusted.
 * Thread:     any.      Owns: the port.
 */
import type { MessagePort, Transferable } from 'node:worker_threads';
import { type Endpoint, expose, type Remote, releaseProxy, transfer, wrap } from 'comlink';
import {
  errorFromWire,
  errorToWire,
  invalidArgument,
  isWireError,
  StorageError,
  type WireError,
} from '../base/errors.ts';

/** What handlers may look like: plain data in, plain data out. */
export type Handlers<T> = {
  [K in keyof T]: T[K] extends (...given: infer A) => infer R
    ? (...given: A) => R | Promise<Awaited<R>>
    : never;
};

/** Whether a list of arguments is what the call takes. */
export type ArgumentChecks<T> = { readonly [K in keyof T]: (given: readonly unknown[]) => boolean };
/** Whether a result is what the call gives. */
export type ResultChecks<T> = { readonly [K in keyof T]: (result: unknown) => boolean };

type Reply = { readonly value: unknown } | { readonly error: WireError };
type Served = (name: string, given: unknown[]) => Promise<Reply>;

/** A message as it came. */
type Message = Readonly<Record<string, unknown>>;
/** Whether comlink may see it. */
type Gate = (message: unknown) => boolean;

/** comlink's are of 60. */
const MAX_ID_LENGTH = 256;

/** Of results: buffers that go over to the other thread. */
const MOVED = new WeakMap<object, readonly Transferable[]>();

/** `value`, whose buffers `moved` go over to the other thread when a handler returns it. */
export function moving<T extends object>(value: T, moved: readonly Transferable[]): T {
  MOVED.set(value, moved);
  return value;
}

/** Runs a handler for each call that comes through `port`, if its arguments pass. `track` gets each that runs. */
export function serveCalls<T extends object>(
  port: MessagePort,
  handlers: Handlers<T>,
  checks: ArgumentChecks<T>,
  track: (handled: Promise<unknown>) => void,
): void {
  const serve: Served = async (name, given) => {
    try {
      if (!Object.hasOwn(checks, name)) throw invalidArgument('the owner of a store knows no such call');
      const call = name as keyof T & string;
      if (!checks[call](given)) throw invalidArgument(`${call} was called with what it does not take`);
      const handled = (async (): Promise<unknown> =>
        await (handlers[call] as (...given: unknown[]) => unknown)(...given))();
      track(handled);
      const value = await handled;
      const moved = typeof value === 'object' && value !== null ? MOVED.get(value) : undefined;
      return moved === undefined ? { value } : transfer({ value }, moved as Parameters<typeof transfer>[1]);
    } catch (error) {
      return { error: errorToWire(error) };
    }
  };
  const gate: Gate = (message) => {
    if (isCall(message)) return true;
    if (isMessage(message) && isId(message['id'])) port.postMessage(refusal(message['id']));
    return false;
  };
  expose(serve, endpoint(port, gate));
  port.unref();
}

function isMessage(message: unknown): message is Message {
  return typeof message === 'object' && message !== null;
}

function isId(id: unknown): id is string {
  return typeof id === 'string' && id.length > 0 && id.length <= MAX_ID_LENGTH;
}

function isCall(message: unknown): boolean {
  if (!isMessage(message) || !isId(message['id']) || message['type'] !== 'APPLY') return false;
  const { path, argumentList } = message;
  if (!Array.isArray(path) || path.length > 0) return false;
  if (!Array.isArray(argumentList) || argumentList.length !== 2) return false;
  return typeof rawValue(argumentList[0]) === 'string' && Array.isArray(rawValue(argumentList[1]));
}

/** What comlink carries as it is; undefined for what it would make something of. */
function rawValue(wire: unknown): unknown {
  return isMessage(wire) && wire['type'] === 'RAW' ? wire['value'] : undefined;
}

function refusal(id: string): Message {
  return { id, type: 'RAW', value: { error: errorToWire(invalidArgument('a message is no call')) } };
}

function isReply(value: unknown): value is Reply {
  if (!isMessage(value)) return false;
  return 'error' in value ? isWireError(value['error']) : 'value' in value;
}

/** The calls of one client. */
export class Calls<T extends object> {
  readonly #port: MessagePort;
  readonly #checks: ResultChecks<T>;
  readonly #serve: Remote<Served>;
  readonly #pending = new Set<(error: Error) => void>();
  /** Of calls that have not been answered. */
  readonly #ids = new Set<unknown>();
  #idleWaiters: (() => void)[] = [];
  #ended: Error | undefined;

  constructor(port: MessagePort, checks: ResultChecks<T>) {
    this.#port = port;
    this.#checks = checks;
    const isAnswer: Gate = (message) => {
      const isOne = isMessage(message) && this.#ids.delete(message['id']) && isReply(rawValue(message));
      if (!isOne) this.#nonsense();
      return isOne;
    };
    port.on('messageerror', () => this.#nonsense());
    this.#serve = wrap<Served>(
      endpoint(port, isAnswer, (call) => {
        this.#ids.add(call['id']);
      }),
    );
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
        (reply) => {
          if ('error' in reply) settle(() => reject(errorFromWire(reply.error)));
          else if (this.#checks[name](reply.value)) settle(() => resolve(reply.value as never));
          else this.#nonsense();
        },
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
    this.#ids.clear();
    this.#port.close();
    // Comlink has a registry of what it wraps, which would hold the port, and by that the whole client, for ever. What it posts
    // for that goes nowhere, as the port is closed.
    this.#serve[releaseProxy]();
    this.#notifyIdle();
  }

  #nonsense(): void {
    this.end(new StorageError('STRATA_CLOSED', 'the owner of the store answered what makes no sense'));
  }

  #notifyIdle(): void {
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}

/** A MessagePort of Node's as comlink knows ports; `gate` lets messages pass to it, `onPost` sees what it sends. */
function endpoint(port: MessagePort, gate: Gate, onPost?: (message: Message) => void): Endpoint {
  return {
    postMessage: (message: Message, moved: readonly Transferable[] = []) => {
      port.postMessage(message, moved);
      onPost?.(message);
    },
    addEventListener: (_type: string, listener: unknown) =>
      port.on('message', (data: unknown) => {
        if (gate(data)) (listener as (event: { data: unknown }) => void)({ data });
      }),
    // Only comlink's own release asks for it, and closing the port is ours to do.
    removeEventListener: () => undefined,
  } as unknown as Endpoint;
}
