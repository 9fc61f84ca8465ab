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
 * Bound:      an owner that does not answer within ANSWER_MS is asked again, by the same request: its answer is taken whenever it
 *             comes, as threads that are starved of processor time answer late. An owner answers a request once.
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

/** An owner that computes for longer is asked again: it may have gone, and another have come. */
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
  /** By the request that they answer. */
  readonly #leases = new Map<string, MessagePort>();

  /** `onLess`: a thread has gone. */
  constructor(path: string, engine: StorageEngine, onLess: () => Promise<void>) {
    this.#channel = new BroadcastChannel(channelName(path));
    this.#channel.unref();
    this.#channel.onmessage = (event) => {
      const { data } = event as { readonly data: unknown };
      if (engine.status !== 'open' || typeof data !== 'string' || this.#leases.has(data)) return;
      const { port1, port2 } = new MessageChannel();
      this.#leases.set(data, port1);
      port1.once('close', () => {
        this.#leases.delete(data);
        // A close() that fails has told so to whoever closes; here it comes from nobody's call.
        onLess().catch(() => undefined);
      });
      // Asked by endLease(): closing tells the other side that it was heard.
      port1.on('message', () => port1.close());
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
    for (const lease of this.#leases.values()) lease.close();
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

/** Gives a lease back, and waits until the owner has heard it: it may be asked to close right after. */
export async function endLease(lease: MessagePort): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    lease.once('close', resolve);
    timer = setTimeout(resolve, ANSWER_MS);
    lease.postMessage('end');
  });
  clearTimeout(timer);
  lease.close();
}

/** What one thread asks of the owner of `path`, whoever that is at the time. */
export class PortRequest {
  readonly #id = `stratakv:level:${randomUUID()}`;
  readonly #inbox = new BroadcastChannel(this.#id);
  readonly #outbox: threads.BroadcastChannel;
  readonly #replies: Reply[] = [];
  #onReply: () => void = () => undefined;

  constructor(path: string) {
    this.#outbox = new BroadcastChannel(channelName(path));
    this.#inbox.onmessage = (event) => {
      this.#replies.push((event as { readonly data: Reply }).data);
      this.#onReply();
    };
  }

  /** Asks, and waits; undefined: nobody has answered yet. */
  async reply(waitMs: number = ANSWER_MS): Promise<Handover | undefined> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onReply = resolve;
      timer = setTimeout(resolve, waitMs);
      this.#outbox.postMessage(this.#id);
      if (this.#replies.length > 0) resolve();
    });
    clearTimeout(timer);
    const reply = this.#replies.shift();
    if (reply === undefined) return undefined;
    if ('unsupported' in reply)
      throw new StorageError(
        'STRATA_UNSUPPORTED',
        'this version of Node.js cannot hand a port to another thread, which multithreading needs: use engine.share()',
      );
    reply.lease.unref();
    return reply;
  }

  /** Gives back what was answered and not taken. */
  close(): void {
    this.#inbox.close();
    this.#outbox.close();
    for (const reply of this.#replies.splice(0)) {
      if ('unsupported' in reply) continue;
      reply.port.close();
      reply.lease.close();
    }
  }
}
