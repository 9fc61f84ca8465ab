/**
 * A client's snapshot: a pinned view and a sequence, wholly in the client's thread.
 *
 * Thread: the client's.      Owns: its pin, given up once: by close(), or when a forgotten snapshot is collected.
 */
import { StorageError } from '../shared/base/errors.ts';
import { INSPECT, type Inspect, inspected } from '../shared/base/inspected.ts';
import type { Clock } from '../shared/threads/shared-clock.ts';
import type { ClientView } from './view-follower.ts';

/** What a snapshot holds: apart from it, so that a forgotten one can be collected and this then given up. */
export interface SnapshotHold {
  readonly view: ClientView;
  readonly sequence: number;
  /** By which what is read through it expires. */
  readonly clock: Clock;
  readonly release: () => void;
  /** The snapshot was collected without having been closed. */
  readonly forget: () => void;
}

const forgotten = new FinalizationRegistry<() => void>((forget) => forget());

/**
 * A frozen moment of the store, from {@link StorageClient.snapshot}; good in this thread, for this client. Close it: files are
 * kept on disk for it.
 *
 * @example
 * const snapshot = client.snapshot();
 * try {
 *   for (const [key] of client.scan({ snapshot })) use(key, client.getSync(key, { snapshot }));
 * } finally {
 *   snapshot.close();
 * }
 */
export class ClientSnapshot {
  #owner: object | undefined;
  /** undefined: closed. It has the memory of a view. */
  #hold: SnapshotHold | undefined;

  /** @internal Use {@link StorageClient.snapshot}. */
  constructor(owner: object, hold: SnapshotHold) {
    this.#owner = owner;
    this.#hold = hold;
    forgotten.register(this, hold.forget, this);
  }

  /** Reading through a closed snapshot is STRATA_CLOSED. */
  get isClosed(): boolean {
    return this.#hold === undefined;
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    return inspected(
      'ClientSnapshot',
      { sequence: this.#hold?.sequence, isClosed: this.isClosed },
      depth,
      options,
      inspect,
    );
  }

  /** Gives the moment up. Idempotent. */
  close(): void {
    const hold = this.#hold;
    if (hold === undefined) return;
    this.#hold = undefined;
    this.#owner = undefined;
    forgotten.unregister(this);
    hold.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal The moment, for `owner`'s reads; throws for a closed snapshot or one of somebody else's. */
  static holdOf(snapshot: unknown, owner: object): SnapshotHold {
    if (!(snapshot instanceof ClientSnapshot) || (snapshot.#hold !== undefined && snapshot.#owner !== owner))
      throw new StorageError('STRATA_INVALID_ARGUMENT', 'the snapshot is not one of this client');
    if (snapshot.#hold === undefined) throw new StorageError('STRATA_CLOSED', 'the snapshot is closed');
    return snapshot.#hold;
  }
}
