/**
 * Tells clients in other threads which memtables and tables make up the store, and keeps what they read with.
 *
 *   change:  post it to every client  ->  put its number into the control block  ->  look at the clients' slots: views before
 *            this one that no client reads with are given up, their memtables' memory and their tables' files
 *
 * Called in the synchronous step that makes the change: a memtable is announced before its first write is published, a
 * version when it becomes current. So a sequence that a client sees never needs a view that it can't find.
 *
 * Kept are the current view, and those that some client has in its slots (view-slots.ts): at most one for the read under way, and
 * one for each moment that its open scans and snapshots stand at. What a client does between its reads keeps nothing. The owner
 * looks at each change, when a client says that it has moved on, and now and then while views are kept.
 *
 * A client that does not turn its event loop takes no changes out of its port. What waits there is bounded: {@link UnreadLimits}.
 * A client beyond that gets the message that it has ended. What its slots name is kept until it has closed its port.
 *
 * Invariants: views are numbered consecutively (32 bits, wrapping). Without clients nothing is pinned or posted.
 * Thread:     main.     Owns: the pins.
 */
import type { MessagePort } from 'node:worker_threads';
import { clearTimeout, setImmediate, setTimeout } from '../../shared/base/timers.ts';
import type { VersionEdit } from '../../shared/base/version-edit.ts';
import type { ControlBlock } from '../../shared/threads/control-block.ts';
import type { MemtableState, ViewChange, ViewState } from '../../shared/threads/share-protocol.ts';
import { ViewSlots } from '../../shared/threads/view-slots.ts';
import type { PinnedVersion, VersionSet } from '../manifest/version-set.ts';
import type { LiveMemtable, MemtableList } from '../write/memtable-list.ts';
import { DEFAULT_UNREAD_LIMITS, Unread, type UnreadLimits } from './unread-changes.ts';

/** While views are kept, the slots are looked at this often even if no message comes. */
const LOOK_MS = 500;

/** One client, as far as views are concerned. */
export interface Follower {
  readonly viewPort: MessagePort;
  readonly slots: ViewSlots;
  readonly unread: Unread;
  /** The last view that was posted to it, once it is too far behind for more. */
  endedAt: number | undefined;
}

/** What the views of all clients keep, and how far behind they are: now. */
export interface ViewStats {
  readonly kept: number;
  /** Of the client that is furthest behind. */
  readonly unread: number;
}

interface KeptView {
  readonly number: number;
  readonly memtables: readonly LiveMemtable[];
  readonly pin: PinnedVersion;
}

type Unnumbered<T> = T extends unknown ? Omit<T, 'number'> : never;

export class ViewPublisher {
  readonly #control: ControlBlock;
  readonly #memtables: MemtableList;
  readonly #versions: VersionSet;
  readonly #limits: UnreadLimits;
  readonly #followers = new Set<Follower>();
  /** As clients know them, oldest first. */
  #announced: readonly LiveMemtable[];
  /** While there are clients. */
  #current: KeptView | undefined;
  /** Earlier views that some client may read with. */
  #kept: KeptView[] = [];
  #number = 0;
  #lastId = 0;
  #look: NodeJS.Timeout | undefined;
  #isReclaimDue = false;
  readonly #ids = new WeakMap<LiveMemtable, number>();

  constructor(
    control: ControlBlock,
    memtables: MemtableList,
    versions: VersionSet,
    limits: UnreadLimits = DEFAULT_UNREAD_LIMITS,
  ) {
    this.#control = control;
    this.#memtables = memtables;
    this.#versions = versions;
    this.#limits = limits;
    const { active, frozen } = memtables;
    this.#announced = active === undefined ? frozen : [...frozen, active];
  }

  /** A memtable takes writes from now on. */
  activated(live: LiveMemtable): void {
    this.#announced = [...this.#announced, live];
    this.#announce({ kind: 'activated', memtable: this.#stateOf(live, false) });
  }

  /** A memtable has left: its writes are in a table. */
  removed(live: LiveMemtable): void {
    this.#announced = this.#announced.filter((other) => other !== live);
    this.#announce({ kind: 'removed', id: this.#idOf(live) });
  }

  get followerCount(): number {
    return this.#followers.size;
  }

  stats(): ViewStats {
    const unread = Array.from(this.#followers, (follower) => follower.unread.count);
    return { kept: this.#kept.length, unread: Math.max(0, ...unread) };
  }

  /** Whether no message that waits in a port refers to memory of memtables. One that has ended gets no more. */
  get isCaughtUp(): boolean {
    for (const { unread, endedAt } of this.#followers)
      if (endedAt === undefined && unread.count > 0) return false;
    return true;
  }

  /** From now on every change to the view that this returns is posted to `viewPort`. */
  follow(viewPort: MessagePort): { readonly follower: Follower; readonly view: ViewState } {
    const unread = new Unread(this.#number);
    const follower: Follower = { viewPort, slots: new ViewSlots(), unread, endedAt: undefined };
    this.#current ??= this.#hold();
    this.#followers.add(follower);
    const newest = this.#announced.at(-1);
    const memtables = this.#announced.map((live) => this.#stateOf(live, live !== newest || live.isFrozen));
    const view = { number: this.#number, memtables, levels: this.#versions.current.levels };
    return { follower, view };
  }

  /** The follower has got to view `number`. What is no view between its last word and now says nothing. */
  advance(follower: Follower, number: unknown): void {
    if (!follower.unread.read(number)) return;
    this.#releaseUnneeded();
  }

  /** The follower is gone. Idempotent. */
  unfollow(follower: Follower): void {
    if (!this.#followers.delete(follower)) return;
    if (this.#followers.size === 0) this.#releaseAll();
    else this.#releaseUnneeded();
  }

  /** The store has given memory of memtables up: clients' objects for it are to go, too. */
  noteGivenUp(byteLength: number): void {
    if (this.#followers.size === 0) return;
    for (const follower of this.#followers) {
      follower.unread.strand(byteLength);
      this.#endIfBehind(follower);
    }
    // In a step of its own: this one may be in the middle of an announcement.
    if (this.#isReclaimDue) return;
    this.#isReclaimDue = true;
    setImmediate(() => {
      this.#isReclaimDue = false;
      if (this.#followers.size > 0) this.#announce({ kind: 'reclaim' });
    }).unref();
  }

  installed(edit: VersionEdit): void {
    // Nothing that a read needs: it only moved the logs on.
    if (edit.added.length === 0 && edit.removed.length === 0) return;
    this.#announce({ kind: 'edited', edit: { added: edit.added, removed: edit.removed } });
  }

  #announce(change: Unnumbered<ViewChange>): void {
    const before = this.#number;
    const number = (before + 1) | 0;
    this.#number = number;
    const message = { ...change, number } as ViewChange;
    for (const follower of this.#followers) {
      if (follower.endedAt !== undefined) continue;
      follower.viewPort.postMessage(message);
      follower.unread.add(message);
      this.#endIfBehind(follower);
    }
    this.#control.announceView(number);
    if (this.#current === undefined) return;
    this.#kept.push(this.#current);
    this.#current = this.#hold();
    this.#releaseUnneeded();
  }

  #endIfBehind(follower: Follower): void {
    const reason = follower.unread.problem(this.#limits);
    if (reason === undefined || follower.endedAt !== undefined) return;
    follower.endedAt = this.#number;
    const number = (this.#number + 1) | 0;
    follower.viewPort.postMessage({ kind: 'ended', number, reason } satisfies ViewChange);
  }

  #hold(): KeptView {
    const memtables = this.#announced;
    this.#memtables.holdForView(memtables);
    return { number: this.#number, memtables, pin: this.#versions.pin() };
  }

  #release(views: readonly KeptView[]): void {
    for (const { memtables, pin } of views) {
      pin.release();
      this.#memtables.releaseFromView(memtables);
    }
  }

  /** Keeps of the earlier views only those that some client's slots name. */
  #releaseUnneeded(): void {
    if (this.#kept.length === 0) return;
    const inUse = Array.from(this.#followers, ({ slots, endedAt }) => {
      const isUsed = slots.inUse();
      return (view: number) => (endedAt === undefined || ((endedAt - view) | 0) >= 0) && isUsed(view);
    });
    const kept: KeptView[] = [];
    const unneeded: KeptView[] = [];
    for (const view of this.#kept) (inUse.some((uses) => uses(view.number)) ? kept : unneeded).push(view);
    this.#kept = kept;
    this.#release(unneeded);
    if (kept.length > 0)
      this.#look ??= setTimeout(() => {
        this.#look = undefined;
        this.#releaseUnneeded();
      }, LOOK_MS).unref();
  }

  #releaseAll(): void {
    clearTimeout(this.#look);
    this.#look = undefined;
    const all = this.#current === undefined ? this.#kept : [...this.#kept, this.#current];
    this.#kept = [];
    this.#current = undefined;
    this.#release(all);
  }

  #stateOf(live: LiveMemtable, isFrozen: boolean): MemtableState {
    return { id: this.#idOf(live), buffer: live.memtable.arena.buffer, isFrozen };
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
