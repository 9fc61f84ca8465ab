/**
 * What a client reads: the owner's memtables and tables, as a view that is never older than the read.
 *
 *   refresh   1. take changes out of the view port until the view is the one that the control block names
 *             2. load the visible sequence
 *             3. if the control block names a later view by now: again
 *
 * The sequence comes after the view, as the tables of a view may lack what only older sequences see: flush and compaction
 * drop a version as soon as no new read can see it. And the view must be the current one when the sequence is loaded, as
 * the sequence may be in a memtable that older views don't know. Both hold when step 3 finds nothing new.
 *
 * Old views stay whole while something reads with them: memtables are kept by being referred to, tables because the owner
 * keeps them until it is told (`oldest`) that no view before a number is used any more.
 *
 * Invariants: views have consecutive numbers. What is no view ends the client with an error: reading on could give anything.
 *             The owner is told a number only once everything older is given up.
 * Thread:     the client's.      Owns: the view port, the pins.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { assert, assertNever } from '../shared/assert.ts';
import type { ControlBlock } from '../shared/control-block.ts';
import { StorageError } from '../shared/errors.ts';
import type { FileNumber } from '../shared/ids.ts';
import { Memtable } from '../shared/memtable/memtable.ts';
import { MemtableIterator } from '../shared/memtable/memtable-iterator.ts';
import { SharedMemtable } from '../shared/memtable/shared-memtable.ts';
import type { ReadableMemtable, ReadableMemtables } from '../shared/read/read-view.ts';
import { Version } from '../shared/read/version.ts';
import type { SharedMemtableState, ViewChange, ViewState } from '../shared/share-protocol.ts';

interface ClientMemtable extends ReadableMemtable {
  readonly state: SharedMemtableState;
}

export interface ClientView {
  readonly number: number;
  readonly memtables: ReadableMemtables;
  readonly version: Version;
}

export class ViewFollower {
  readonly #port: MessagePort;
  readonly #control: ControlBlock;
  /** Told of tables that no view of ours holds any more. */
  readonly #onObsolete: (numbers: FileNumber[]) => void;
  /** Told once that the owner has sent what is no view. */
  readonly #onNonsense: (error: StorageError) => void;
  #nonsense: StorageError | undefined;
  /** Oldest first. */
  #memtables: readonly ClientMemtable[];
  #view: ClientView;
  /** How often each view is pinned; oldest first, as a view comes in only while it is the current one. */
  readonly #pins = new Map<ClientView, number>();
  /** The oldest version in use, as the owner knows it. */
  #oldestVersion: Version;
  /** Tables that left the current version and may be in older ones. */
  readonly #leaving = new Set<FileNumber>();
  #sequence = 0;

  constructor(
    port: MessagePort,
    control: ControlBlock,
    state: ViewState,
    onObsolete: (numbers: FileNumber[]) => void,
    onNonsense: (error: StorageError) => void = () => undefined,
  ) {
    this.#port = port;
    this.#control = control;
    this.#onObsolete = onObsolete;
    this.#onNonsense = onNonsense;
    try {
      assert((state.number | 0) === state.number, 'views have whole numbers');
      this.#memtables = state.memtables.map(openMemtable);
      const version = Version.fromLevels(state.levels);
      this.#view = { number: state.number, memtables: readable(this.#memtables), version };
    } catch (error) {
      throw noView(error);
    }
    this.#oldestVersion = this.#view.version;
    // An idle client must move on, too, or the owner would keep old tables for it.
    port.on('message', (change: unknown) => {
      if (this.#take(change)) this.#giveUpOld();
    });
    port.on('messageerror', (error: Error) => this.#fail(error));
    port.unref();
  }

  /** Together with `sequence` one moment: that of the last refresh(). */
  get view(): ClientView {
    return this.#view;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Makes view and sequence those of a moment within this call. */
  refresh(): void {
    const control = this.#control;
    do {
      if (this.#isBehind()) this.#catchUp();
      this.#sequence = control.visibleSequence;
    } while (this.#isBehind());
  }

  /**
   * Keeps a view readable until the returned function is called, which is idempotent. Requires: it is the current one, or
   * pinned already.
   */
  pin(view: ClientView): () => void {
    this.#pins.set(view, (this.#pins.get(view) ?? 0) + 1);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      const count = this.#pins.get(view)! - 1;
      if (count > 0) this.#pins.set(view, count);
      else {
        this.#pins.delete(view);
        this.#giveUpOld();
      }
    };
  }

  close(): void {
    this.#port.close();
  }

  /** The view may run ahead of the control block, as a change is posted first: that is as good. */
  #isBehind(): boolean {
    return ((this.#view.number - this.#control.viewEpoch) | 0) < 0;
  }

  #catchUp(): void {
    while (this.#isBehind()) {
      const received = receiveMessageOnPort(this.#port);
      // What the control block names was posted before: only a port that is closed has nothing.
      if (received === undefined) throw new StorageError('STRATA_CLOSED', 'the owner of the store is gone');
      if (!this.#take(received.message)) throw this.#nonsense;
    }
    this.#giveUpOld();
  }

  /** false: it is no change of the view that we have, now or before. Whatever is wrong in it comes up here. */
  #take(change: unknown): boolean {
    if (this.#nonsense !== undefined) return false;
    try {
      this.#apply(change as ViewChange);
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #fail(cause: unknown): void {
    this.#nonsense = noView(cause);
    this.#onNonsense(this.#nonsense);
  }

  #apply(change: ViewChange): void {
    assert(change.number === ((this.#view.number + 1) | 0), 'a view was missed');
    let { version } = this.#view;
    switch (change.kind) {
      case 'activated':
        this.#memtables = [...this.#memtables.map(frozen), openMemtable(change.memtable)];
        break;
      case 'removed':
        this.#memtables = this.#memtables.filter(({ state }) => state.id !== change.id);
        break;
      case 'edited':
        version = version.apply(change.edit);
        for (const { number } of change.edit.removed) this.#leaving.add(number);
        break;
      default:
        assertNever(change);
    }
    this.#view = { number: change.number, memtables: readable(this.#memtables), version };
  }

  /** After the view or the pins have changed: what is no longer used is closed here, and the owner may delete it. */
  #giveUpOld(): void {
    const oldest = this.#pins.keys().next().value ?? this.#view;
    if (oldest.version === this.#oldestVersion) return;
    this.#oldestVersion = oldest.version;
    const inUse = [this.#view, ...this.#pins.keys()];
    const obsolete = [...this.#leaving].filter(
      (number) => !inUse.some(({ version }) => version.hasFile(number)),
    );
    for (const number of obsolete) this.#leaving.delete(number);
    if (obsolete.length > 0) this.#onObsolete(obsolete);
    this.#port.postMessage(oldest.number);
  }
}

function noView(cause: unknown): StorageError {
  return new StorageError('STRATA_CLOSED', 'the owner of the store sent what is no view of it', { cause });
}

function openMemtable(state: SharedMemtableState): ClientMemtable {
  if (!state.isFrozen) {
    const memtable = new SharedMemtable(state.buffer);
    return { state, memtable, iterator: (maxSequence) => memtable.iterator(maxSequence) };
  }
  const memtable = Memtable.attach(state.buffer);
  return { state, memtable, iterator: (maxSequence) => new MemtableIterator(memtable, maxSequence) };
}

/** The same memtable, now that nothing is added to it. */
function frozen(memtable: ClientMemtable): ClientMemtable {
  return memtable.state.isFrozen ? memtable : openMemtable({ ...memtable.state, isFrozen: true });
}

/** Whether the newest one is still written to makes no difference to a read. */
function readable(memtables: readonly ClientMemtable[]): ReadableMemtables {
  return { active: memtables.at(-1), frozen: memtables.slice(0, -1) };
}
