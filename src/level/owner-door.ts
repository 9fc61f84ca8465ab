/**
 * How a thread gets a port of a store that another thread of the process owns, where the two know nothing of each other but the
 * directory's path.
 *
 *   thread                                             owner
 *   a channel named for the directory  -- request -->  OwnerDoor: engine.share(), and a lease
 *   a channel named for the request    <-- ports  --   both, transferred
 *
 * A BroadcastChannel takes no ports along by its public interface; the port that it is built on does, where two threads alone
 * have the channel, as they do here: its name is random. Where a version of Node hides that port, the owner says so, and the
 * request fails: `multithreading` is refused, and nothing else is.
 *
 * Invariants: the lease ends with close(), or with its thread. A channel that is not waited on keeps nothing alive.
 * Bound:      an owner that does not answer within ANSWER_MS counts as absent; its answer, should one come, is closed unread.
 * Thread:     any.     Owns: the channels; the leases, on the owner's side.
 * Not chosen: postMessageToThread(), which Node has since 22.5 only. The application's own ports, which it would have to hand
 *             over itself: that is engine.share().
 */
import { randomUUID } from 'node:crypto';
import * as threads from 'node:worker_threads';
import type { StorageEngine } from '../main/engine.ts';
import { StorageError } from '../shared/base/errors.ts';
import { clearTimeout, setTimeout } from '../shared/base/timers.ts';

const { BroadcastChannel, MessageChannel } = threads;
type MessagePort = threads.MessagePort;

/** An owner that computes for longer is asked again. */
const ANSWER_MS = 1000;

/** What a thread gets. */
export interface Handover {
  /** For StorageClient.attach(). */
  readonly port: MessagePort;
  /** Closed when the client is. */
  readonly lease: MessagePort;
}

type Reply = Handover | { readonly unsupported: true };

/** Incompatible versions of the package do not hear each other. */
function channelName(path: string): string {
  return `stratakv:level:1:${path}`;
}

/** The owner's side: answers requests, and counts the threads that are attached. */
export class OwnerDoor {
  readonly #channel: threads.BroadcastChannel;
  readonly #leases = new Set<MessagePort>();

  /** `onLess`: a thread has gone. */
  constructor(path: string, engine: StorageEngine, onLess: () => Promise<void>) {
    this.#channel = new BroadcastChannel(channelName(path));
    this.#channel.unref();
    this.#channel.onmessage = (event) => {
      const { data } = event as { readonly data: unknown };
      if (engine.status !== 'open' || typeof data !== 'string') return;
      const { port1, port2 } = new MessageChannel();
      this.#leases.add(port1);
      port1.once('close', () => {
        this.#leases.delete(port1);
        // A close() that fails has told so to whoever closes; here it comes from nobody's call.
        onLess().catch(() => undefined);
      });
      port1.unref();
      answer(data, { port: engine.share(), lease: port2 });
    };
  }

  /** Threads that are attached. */
  get leases(): number {
    return this.#leases.size;
  }

  close(): void {
    this.#channel.close();
    for (const lease of this.#leases) lease.close();
  }
}

/** Sends the ports to whoever asked, and closes its end: an answer that nobody takes ends the lease. */
function answer(id: string, ports: Handover): void {
  const channel = new BroadcastChannel(id);
  channel.unref();
  const inner = innerPort(channel);
  if (inner === undefined) {
    ports.port.close();
    ports.lease.close();
    channel.postMessage({ unsupported: true });
  } else {
    inner.postMessage(ports, [ports.port, ports.lease]);
  }
  channel.close();
}

/** The port that a BroadcastChannel is built on. */
function innerPort(channel: threads.BroadcastChannel): MessagePort | undefined {
  for (const symbol of Object.getOwnPropertySymbols(channel)) {
    if (symbol.description !== 'kHandle') continue;
    const inner = (channel as unknown as Readonly<Record<symbol, unknown>>)[symbol];
    if (typeof (inner as MessagePort | undefined)?.postMessage === 'function') return inner as MessagePort;
  }
  return undefined;
}

/** Asks the owner of `path`; undefined: nobody answers. */
export async function requestPorts(path: string): Promise<Handover | undefined> {
  const id = `stratakv:level:${randomUUID()}`;
  const inbox = new BroadcastChannel(id);
  const outbox = new BroadcastChannel(channelName(path));
  let timer: NodeJS.Timeout | undefined;
  try {
    const reply = await new Promise<Reply | undefined>((resolve) => {
      inbox.onmessage = (event) => resolve((event as { readonly data: Reply }).data);
      timer = setTimeout(() => resolve(undefined), ANSWER_MS);
      outbox.postMessage(id);
    });
    if (reply === undefined) return undefined;
    if ('unsupported' in reply)
      throw new StorageError(
        'STRATA_UNSUPPORTED',
        'this version of Node.js cannot hand a port to another thread, which multithreading needs: use engine.share()',
      );
    reply.lease.unref();
    return reply;
  } finally {
    clearTimeout(timer);
    inbox.close();
    outbox.close();
  }
}
