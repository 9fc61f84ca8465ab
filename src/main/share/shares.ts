/**
 * All clients of an open store: makes the ports that share() gives out, and ends them with the store.
 *
 * What answers them (client-session.ts, and comlink with it) is loaded by the first share(): few stores have clients, and what is
 * posted into a port meanwhile waits in it. The greeting is there at once: a client looks for it when it attaches.
 *
 * Thread: main.     Owns: the sessions. A port that nobody attaches to costs a few kilobytes until it is closed or the store is.
 */

import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { setImmediate } from '../../shared/base/timers.ts';
import { type Hello, SHARE_PROTOCOL_VERSION } from '../../shared/threads/share-protocol.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { MemtableList } from '../write/memtable-list.ts';
import type { IngestReceiver } from './client-ingestions.ts';
import type { ClientService, ClientSession, SessionHost, SessionParts } from './client-session.ts';
import type { TransactionService } from './client-transactions.ts';
import { ViewPublisher, type ViewStats } from './view-publisher.ts';

/** What clients in other threads need of a store. */
export interface ShareParts extends SessionParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
}

/** Loaded once for all stores of the thread. */
let sessionClass: typeof ClientSession | undefined;

/** Whoever has the other end of `port`: without a session until the code of one is there. */
class Guest {
  readonly #port: MessagePort;
  readonly #begin: (Session: typeof ClientSession) => ClientSession;
  #session: ClientSession | undefined;
  #loading: Promise<void> | undefined;
  #hasEnded = false;

  constructor(port: MessagePort, begin: (Session: typeof ClientSession) => ClientSession, onEnd: () => void) {
    this.#port = port;
    this.#begin = begin;
    port.on('close', () => {
      this.end();
      onEnd();
    });
    if (sessionClass === undefined) this.#loading = this.#load();
    else this.#session = begin(sessionClass);
  }

  async #load(): Promise<void> {
    try {
      sessionClass = (await import('./client-session.ts')).ClientSession;
      if (!this.#hasEnded) this.#session = this.#begin(sessionClass);
    } catch {
      // The package was removed or replaced, or there are no descriptors: the client finds its port closed.
      this.end();
    }
  }

  get queuedBytes(): number {
    return this.#session?.queuedBytes ?? 0;
  }

  /** Resolves when no call runs. */
  async settled(): Promise<void> {
    await this.#loading;
    await this.#session?.settled();
  }

  /** Idempotent. */
  end(): void {
    this.#hasEnded = true;
    if (this.#session === undefined) this.#port.close();
    else this.#session.end();
  }
}

export class Shares {
  readonly #host: SessionHost;
  readonly #guests = new Set<Guest>();

  constructor(
    parts: ShareParts,
    receiver: IngestReceiver,
    transactions: TransactionService,
    changes: SessionHost['changes'],
    write: SessionHost['write'],
  ) {
    const views = new ViewPublisher(parts.control, parts.memtables, parts.versions);
    this.#host = { parts, views, receiver, transactions, changes, write };
  }

  /** Bytes of clients' writes that have come and wait for room. */
  get queuedBytes(): number {
    let total = 0;
    for (const guest of this.#guests) total += guest.queuedBytes;
    return total;
  }

  /** Hears of every change to memtables and tables. */
  get views(): ViewPublisher {
    return this.#host.views;
  }

  /** How many threads are attached now. */
  get clientCount(): number {
    return this.#host.views.followerCount;
  }

  /** What is kept for them, and how far behind they are. */
  get viewStats(): ViewStats {
    return this.#host.views.stats();
  }

  /** A port for one client. */
  open(owner: ClientService): MessagePort {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ stratakv: 'share', protocolVersion: SHARE_PROTOCOL_VERSION } satisfies Hello);
    const guest: Guest = new Guest(
      port1,
      (Session) => new Session(this.#host, owner, port1),
      () => this.#guests.delete(guest),
    );
    this.#guests.add(guest);
    return port2;
  }

  /** Ends all clients, once the answers to what they asked are under way. */
  async close(): Promise<void> {
    if (this.#guests.size === 0) return;
    await Promise.all(Array.from(this.#guests, (guest) => guest.settled()));
    // comlink posts an answer some microtasks after its call has settled.
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.end();
  }

  /** Ends all clients now: what they asked is not answered any more. */
  end(): void {
    for (const guest of this.#guests) guest.end();
    this.#guests.clear();
  }
}
