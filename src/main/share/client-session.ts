/**
 * The owner's end of one share(): greets whoever gets the port, and carries out what an attached client asks for.
 *
 * Reads never come here. A turn's writes come as one message in the form of the log; each becomes a write of its own,
 * grouped with everybody else's by the commit pipeline.
 *
 * Invariants: what it is asked for has been checked (call-checks.ts) before it happens.
 *             It ends once: when the client closes its port, when its thread ends, or when the store closes. Then nothing
 *             is pinned for it, and nothing of its bulk loads stays.
 * Thread:     main.     Owns: its ends of both ports.
 */
import type { MessagePort } from 'node:worker_threads';
import { type Handlers, serveCalls } from '../../shared/calls.ts';
import { errorToWire, invalidArgument } from '../../shared/errors.ts';
import type { CompactRange, WriteOptions } from '../../shared/read/read-options.ts';
import {
  type Attachment,
  type FailedWrite,
  type Hello,
  MARK_WORDS,
  type OwnerCalls,
  SHARE_PROTOCOL_VERSION,
  type WireWrites,
} from '../../shared/share-protocol.ts';
import { WriteBatch } from '../../shared/write-batch.ts';
import type { Store } from '../store.ts';
import { CALL_CHECKS } from './call-checks.ts';
import { ClientLoads, type LoadReceiver } from './client-loads.ts';
import type { Follower, SharedViews } from './shared-views.ts';

/** What clients may ask of the engine. */
export interface SharedOwner {
  write(batch: WriteBatch, options?: WriteOptions): Promise<void>;
  flush(): Promise<void>;
  compact(range?: CompactRange): Promise<void>;
}

/** What all sessions of a store have in common. */
export interface SessionHost {
  readonly store: Store;
  readonly views: SharedViews;
  readonly receiver: LoadReceiver;
}

export class ClientSession {
  readonly #store: Store;
  readonly #owner: SharedOwner;
  readonly #views: SharedViews;
  readonly #port: MessagePort;
  readonly #loads: ClientLoads;
  #follower: Follower | undefined;
  readonly #running = new Set<Promise<unknown>>();

  constructor(
    { store, views, receiver }: SessionHost,
    owner: SharedOwner,
    port: MessagePort,
    onEnd: () => void,
  ) {
    this.#store = store;
    this.#owner = owner;
    this.#views = views;
    this.#loads = new ClientLoads(receiver);
    this.#port = port;
    port.postMessage({ stratakv: 'share', protocolVersion: SHARE_PROTOCOL_VERSION } satisfies Hello);
    port.on('close', () => {
      this.end();
      onEnd();
    });
    serveCalls<OwnerCalls>(port, this.#handlers(), CALL_CHECKS, (handled) => this.#track(handled));
  }

  get isAttached(): boolean {
    return this.#follower !== undefined;
  }

  /** Resolves when no call runs. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** Idempotent. The client hears of it by its ports' closing. */
  end(): void {
    const follower = this.#follower;
    this.#follower = undefined;
    if (follower !== undefined) {
      this.#views.unfollow(follower);
      follower.viewPort.close();
    }
    this.#loads.end();
    this.#port.close();
  }

  #handlers(): Handlers<OwnerCalls> {
    return {
      attach: (viewPort) => this.#attach(viewPort),
      write: (writes) => this.#write(writes),
      flush: () => this.#owner.flush(),
      compact: (range) => this.#owner.compact(range),
      ingestBegin: () => this.#loads.begin(),
      ingestReserve: (id) => this.#loads.reserve(id),
      ingestFinish: (id, sorted, progressPort) => this.#loads.finish(id, sorted, progressPort),
      ingestAbort: (id) => this.#loads.abort(id),
    };
  }

  #track(handled: Promise<unknown>): void {
    this.#running.add(handled);
    const forget = (): void => void this.#running.delete(handled);
    handled.then(forget, forget);
  }

  #attach(viewPort: MessagePort): Attachment {
    if (this.#follower !== undefined) throw invalidArgument('a client attaches once');
    const { directory, control, fs, options } = this.#store;
    const { follower, view } = this.#views.follow(viewPort);
    this.#follower = follower;
    viewPort.on('message', (view: unknown) => this.#views.advance(follower, view));
    // Without it the client knows no view: it is as good as gone, and what is kept for it is of no use.
    viewPort.on('close', () => this.end());
    viewPort.unref();
    return {
      directory,
      control: control.buffer,
      fileSystem: fs.spec,
      maxOpenFiles: options.maxOpenFiles,
      cacheBytes: options.cacheBytes,
      sync: options.sync,
      slots: follower.slots.buffer,
      view,
    };
  }

  async #write({ bytes, marks }: WireWrites): Promise<FailedWrite[]> {
    const written: Promise<void>[] = [];
    let start = 0;
    for (let i = 0; i < marks.length; i += MARK_WORDS) {
      const end = start + marks[i]!;
      const batch = WriteBatch.fromEncoded(bytes.subarray(start, end), marks[i + 1]!, marks[i + 2]!);
      written.push(this.#owner.write(batch, { sync: marks[i + 3] === 1 }));
      start = end;
    }
    const outcomes = await Promise.allSettled(written);
    return outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected' ? [{ index, error: errorToWire(outcome.reason) }] : [],
    );
  }
}
