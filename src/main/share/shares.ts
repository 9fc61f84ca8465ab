/**
 * All clients of an open store: makes the ports that share() gives out, and ends them with the store.
 *
 * Thread: main.     Owns: the sessions. A port that nobody attaches to costs a few kilobytes until it is closed or the store is.
 */

import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { setImmediate } from '../../shared/base/timers.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { MemtableList } from '../write/memtable-list.ts';
import type { IngestReceiver } from './client-ingestions.ts';
import { type ClientService, ClientSession, type SessionHost, type SessionParts } from './client-session.ts';
import type { TransactionService } from './client-transactions.ts';
import { ViewPublisher, type ViewStats } from './view-publisher.ts';

/** What clients in other threads need of a store. */
export interface ShareParts extends SessionParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
}

export class Shares {
  readonly #host: SessionHost;
  readonly #sessions = new Set<ClientSession>();

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
    for (const session of this.#sessions) total += session.queuedBytes;
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
    const session: ClientSession = new ClientSession(this.#host, owner, port1, () =>
      this.#sessions.delete(session),
    );
    this.#sessions.add(session);
    return port2;
  }

  /** Ends all clients, once the answers to what they asked are under way. */
  async close(): Promise<void> {
    if (this.#sessions.size === 0) return;
    await Promise.all(Array.from(this.#sessions, (session) => session.settled()));
    // comlink posts an answer some microtasks after its call has settled.
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.end();
  }

  /** Ends all clients now: what they asked is not answered any more. */
  end(): void {
    for (const session of this.#sessions) session.end();
    this.#sessions.clear();
  }
}
