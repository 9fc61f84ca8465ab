/**
 * The owner's end of one share(): carries out what an attached client asks for.
 *
 * Reads never come here. A turn's writes come as one message in the form of the log; each unit of them becomes a write of its
 * own, grouped with everybody else's by the commit pipeline. While half of maxHeldBytes waits there, messages wait here, and as a
 * client has but a few megabytes on their way, that holds it back: what its writes take of the owner's memory is bounded, and
 * none of them is refused for want of room.
 *
 *   write, write, flush, write -> #queue: one after the other, each when there is room -> pipeline
 *
 * Invariants: writes enter in the order in which they came, and what else is asked for comes after those before it.
 *             What it is asked for has been checked (call-checks.ts) before it happens.
 *             It ends once: when the client closes its port, when its thread ends, or when the store closes. Then nothing
 *             is pinned for it, and nothing of its ingestions stays.
 * Thread:     main.     Owns: its ends of both ports.
 */

import type { MessagePort } from 'node:worker_threads';
import type { CompactRange } from '../../shared/base/compact-range.ts';
import { errorToWire, invalidArgument } from '../../shared/base/errors.ts';
import { freeBuffer } from '../../shared/base/free-buffer.ts';
import type { KeyRange } from '../../shared/base/key-range.ts';
import { unitBytes } from '../../shared/base/write-unit.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { type Handlers, serveCalls } from '../../shared/threads/calls.ts';
import type { ControlBlock } from '../../shared/threads/control-block.ts';
import {
  type Attachment,
  type FailedWrite,
  type HistoryState,
  MARK_WORDS,
  MarkFlag,
  type OwnerCalls,
  type WireReads,
  type WireWrites,
} from '../../shared/threads/share-protocol.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { EncodedWrite } from '../write/commit-group.ts';
import type { CommitPipeline } from '../write/commit-pipeline.ts';
import { CALL_CHECKS } from './call-checks.ts';
import { type ChangeService, ClientChanges } from './client-changes.ts';
import { ClientIngestions, type IngestReceiver } from './client-ingestions.ts';
import { ClientTransactions, type TransactionService } from './client-transactions.ts';
import type { Follower, ViewPublisher } from './view-publisher.ts';

/** What clients may ask of the engine. */
export interface ClientService {
  flush(): Promise<void>;
  compact(range?: KeyRange | CompactRange): Promise<void>;
}

/** What a client learns of the store when it attaches, and the way of its writes. */
export interface SessionParts {
  readonly directory: string;
  readonly control: ControlBlock;
  readonly fs: FileSystem;
  readonly options: ResolvedOptions;
  readonly pipeline: CommitPipeline;
}

/** What all sessions of a store have in common. */
export interface SessionHost {
  readonly parts: SessionParts;
  readonly views: ViewPublisher;
  readonly receiver: IngestReceiver;
  readonly transactions: TransactionService;
  readonly changes: ChangeService & { readonly history: HistoryState };
  /** As StorageEngine.write, but never STRATA_BUSY. */
  write(unit: ClientUnit): Promise<void>;
}

/** One unit of a client's writes. */
export interface ClientUnit extends EncodedWrite {
  /** Of keys and values. */
  readonly dataBytes: number;
}

export class ClientSession {
  readonly #host: SessionHost;
  readonly #parts: SessionParts;
  readonly #owner: ClientService;
  readonly #views: ViewPublisher;
  readonly #port: MessagePort;
  readonly #ingestions: ClientIngestions;
  readonly #changes: ClientChanges;
  readonly #transactions: ClientTransactions;
  #follower: Follower | undefined;
  readonly #running = new Set<Promise<unknown>>();
  /** Ends when the last message that waits has entered; undefined: none does. */
  #queue: Promise<void> | undefined;
  #queuedBytes = 0;

  constructor(host: SessionHost, owner: ClientService, port: MessagePort) {
    const { parts, views, receiver, transactions } = host;
    this.#host = host;
    this.#parts = parts;
    this.#owner = owner;
    this.#views = views;
    this.#ingestions = new ClientIngestions(receiver);
    this.#changes = new ClientChanges(host.changes);
    this.#transactions = new ClientTransactions(transactions);
    this.#port = port;
    serveCalls<OwnerCalls>(port, this.#handlers(), CALL_CHECKS, (handled) => this.#track(handled));
  }

  get isAttached(): boolean {
    return this.#follower !== undefined;
  }

  /** Bytes of messages that wait for room. */
  get queuedBytes(): number {
    return this.#queuedBytes;
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
    this.#ingestions.end();
    this.#changes.end();
    this.#transactions.end();
    this.#port.close();
  }

  #handlers(): Handlers<OwnerCalls> {
    return {
      attach: (viewPort) => this.#attach(viewPort),
      write: (writes) => this.#write(writes),
      flush: () => this.#afterWrites(() => this.#owner.flush()),
      compact: (range) => this.#afterWrites(() => this.#owner.compact(range)),
      transactionBegin: (refused) => this.#afterWrites(() => this.#transactions.begin(refused)),
      transactionCommit: (id, reads, writes) => this.#commit(id, reads, writes),
      transactionEnd: (id) => this.#transactions.finish(id),
      ingestBegin: () => this.#ingestions.begin(),
      ingestReserve: (id) => this.#ingestions.reserve(id),
      ingestFinish: (id, sorted, progressPort) =>
        this.#afterWrites(() => this.#ingestions.finish(id, sorted, progressPort)),
      ingestAbort: (id) => this.#ingestions.abort(id),
      changesBegin: (after) => this.#changes.begin(after),
      changesNext: (id) => this.#changes.next(id),
      changesEnd: (id) => this.#changes.finish(id),
    };
  }

  #track(handled: Promise<unknown>): void {
    this.#running.add(handled);
    const forget = (): void => void this.#running.delete(handled);
    handled.then(forget, forget);
  }

  #attach(viewPort: MessagePort): Attachment {
    if (this.#follower !== undefined) throw invalidArgument('a client attaches once');
    const { directory, control, fs, options } = this.#parts;
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
      maxHeldBytes: options.maxHeldBytes,
      unitBytes: unitBytes(options.writeBufferBytes),
      history: historyState(this.#host.changes.history),
      slots: follower.slots.buffer,
      view,
    };
  }

  #write(writes: WireWrites): Promise<FailedWrite[]> {
    if (this.#queue === undefined && this.#parts.pipeline.held.roomForClients() === undefined)
      return this.#enter(writes);
    const byteLength = writes.bytes.length;
    this.#queuedBytes += byteLength;
    let answer!: Promise<FailedWrite[]>;
    const entered = this.#waitForRoom(this.#queue).then(() => {
      this.#queuedBytes -= byteLength;
      answer = this.#enter(writes);
      if (this.#queue === entered) this.#queue = undefined;
    });
    this.#queue = entered;
    return entered.then(() => answer);
  }

  async #waitForRoom(before: Promise<void> | undefined): Promise<void> {
    await before;
    const { held } = this.#parts.pipeline;
    // Other clients may have taken it.
    for (let room = held.roomForClients(); room !== undefined; room = held.roomForClients()) await room;
  }

  /** Carries out `act` when the writes that came before it have entered. */
  #afterWrites<T>(act: () => Promise<T>): Promise<T> {
    return this.#queue === undefined ? act() : this.#queue.then(act);
  }

  async #enter({ bytes, marks }: WireWrites): Promise<FailedWrite[]> {
    const written: Promise<void>[] = [];
    let start = 0;
    for (let i = 0; i < marks.length; i += MARK_WORDS) {
      const end = start + marks[i]!;
      written.push(this.#enterUnit({ bytes, start, end, ...markAt(marks, i) }));
      start = end;
    }
    // They are copied.
    freeBuffer(bytes.buffer as ArrayBuffer);
    const outcomes = await Promise.allSettled(written);
    return outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected' ? [{ index, error: errorToWire(outcome.reason) }] : [],
    );
  }

  /** Behind what was written before it, and when there is room. */
  async #commit(id: number, reads: WireReads, { bytes, marks }: WireWrites): Promise<boolean> {
    if (this.#queue !== undefined) await this.#queue;
    await this.#waitForRoom(undefined);
    const unit = { bytes, start: 0, end: marks[0]!, ...markAt(marks, 0) };
    return await this.#transactions.commit(id, reads, unit, () => this.#host.write(unit));
  }

  #enterUnit(unit: ClientUnit): Promise<void> {
    try {
      return this.#host.write(unit);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

function historyState({ storeId, closed, id }: HistoryState): HistoryState {
  return { storeId, closed, id };
}

function markAt(marks: Uint32Array, at: number): Omit<ClientUnit, 'bytes' | 'start' | 'end'> {
  const flags = marks[at + 3]!;
  return {
    count: marks[at + 1]!,
    dataBytes: marks[at + 2]!,
    sync: (flags & MarkFlag.Sync) !== 0,
    isBatch: (flags & MarkFlag.Batch) !== 0,
  };
}
