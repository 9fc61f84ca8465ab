/**
 * Tells clients in other threads which memtables and tables make up the store, and keeps the tables that they may read.
 *
 *   change:  post it to every client  ->  put its number into the control block  ->  release what no client needs
 *
 * Called in the synchronous step that makes the change: a memtable is announced before its first write is published, a
 * version when it becomes current. So a sequence that a client sees never needs a view that it can't find.
 *
 * Each version that was announced stays pinned until every client has said that it reads only with later views. One list for
 * all clients: what the slowest one needs is kept, which is what a pin per client would come to as well.
 *
 * Invariants: views are numbered consecutively (32 bits, wrapping). Without clients nothing is pinned or posted.
 * Thread:     main.     Owns: the pins.
 * Not chosen: a word in shared memory for what each client still needs. A client says so when it moves on, by a message,
 *             which also wakes the owner to delete the files; a word would have to be watched.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ControlBlock } from '../../shared/control-block.ts';
import type { SharedMemtableState, ViewChange, ViewState } from '../../shared/share-protocol.ts';
import type { VersionEdit } from '../../shared/version-edit.ts';
import type { LiveMemtable, MemtableList } from '../memtable-list.ts';
import type { PinnedVersion, VersionSet } from '../version-set.ts';

/** One client, as far as views are concerned. */
export interface Follower {
  readonly viewPort: MessagePort;
  /** The oldest view it may read with. */
  oldest: number;
}

type Unnumbered<T> = T extends unknown ? Omit<T, 'number'> : never;

export class SharedViews {
  readonly #control: ControlBlock;
  readonly #memtables: MemtableList;
  readonly #versions: VersionSet;
  readonly #followers = new Set<Follower>();
  /** Oldest first: from view `since` on clients may read this version. */
  #pins: { readonly since: number; readonly pin: PinnedVersion }[] = [];
  #number = 0;
  #lastId = 0;
  readonly #ids = new WeakMap<LiveMemtable, number>();

  constructor(control: ControlBlock, memtables: MemtableList, versions: VersionSet) {
    this.#control = control;
    this.#memtables = memtables;
    this.#versions = versions;
    for (const live of memtables.frozen) this.#idOf(live);
    memtables.onActivated = (live) =>
      this.#announce({ kind: 'activated', memtable: { ...this.#stateOf(live), isFrozen: false } });
    memtables.onRemoved = (live) => this.#announce({ kind: 'removed', id: this.#idOf(live) });
    versions.onInstalled = (edit) => this.#installed(edit);
  }

  get followerCount(): number {
    return this.#followers.size;
  }

  /** Versions kept for clients, the current one included. */
  get pinCount(): number {
    return this.#pins.length;
  }

  /** From now on `viewPort` is told of every change to the view that this returns. */
  follow(viewPort: MessagePort): { readonly follower: Follower; readonly view: ViewState } {
    const follower: Follower = { viewPort, oldest: this.#number };
    if (this.#followers.size === 0) this.#pinCurrent();
    this.#followers.add(follower);
    const { active, frozen } = this.#memtables;
    const memtables = frozen.map((live) => this.#stateOf(live));
    if (active !== undefined) memtables.push(this.#stateOf(active));
    const view = { number: this.#number, memtables, levels: this.#versions.current.levels };
    return { follower, view };
  }

  /** The follower reads only with view `oldest` and later ones. What is no view between its last word and now says nothing. */
  advance(follower: Follower, oldest: unknown): void {
    if (typeof oldest !== 'number' || (oldest | 0) !== oldest) return;
    if (((oldest - follower.oldest) | 0) < 0 || ((this.#number - oldest) | 0) < 0) return;
    follower.oldest = oldest;
    this.#releaseUnneeded();
  }

  /** The follower is gone. Idempotent. */
  unfollow(follower: Follower): void {
    if (this.#followers.delete(follower)) this.#releaseUnneeded();
  }

  #installed(edit: VersionEdit): void {
    // Nothing that a read needs: it only moved the logs on.
    if (edit.added.length === 0 && edit.removed.length === 0) return;
    this.#announce({ kind: 'edited', edit: { added: edit.added, removed: edit.removed } });
    if (this.#followers.size > 0) this.#pinCurrent();
    this.#releaseUnneeded();
  }

  #announce(change: Unnumbered<ViewChange>): void {
    const number = (this.#number + 1) | 0;
    this.#number = number;
    const message = { ...change, number } as ViewChange;
    for (const { viewPort } of this.#followers) viewPort.postMessage(message);
    this.#control.announceView(number);
  }

  #pinCurrent(): void {
    this.#pins.push({ since: this.#number, pin: this.#versions.pin() });
  }

  /** A version is needed until all clients read with a later one. */
  #releaseUnneeded(): void {
    let kept = 0;
    if (this.#followers.size === 0) kept = this.#pins.length;
    else while (kept + 1 < this.#pins.length && this.#allReached(this.#pins[kept + 1]!.since)) kept++;
    for (const { pin } of this.#pins.splice(0, kept)) pin.release();
  }

  #allReached(number: number): boolean {
    for (const { oldest } of this.#followers) if (((oldest - number) | 0) < 0) return false;
    return true;
  }

  #stateOf(live: LiveMemtable): SharedMemtableState {
    return { id: this.#idOf(live), buffer: live.memtable.arena.buffer, isFrozen: live.isFrozen };
  }

  #idOf(live: LiveMemtable): number {
    let id = this.#ids.get(live);
    if (id === undefined) {
      id = ++this.#lastId;
      this.#ids.set(live, id);
    }
    return id;
  }
}
