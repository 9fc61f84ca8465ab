/**
 * What a client reads: the owner's memtables and tables, as a view that is never older than the read.
 *
 *   beginRead  1. take changes out of the view port until the view is the one that the control block names
 *              2. say in the slots that the view is being read (view-slots.ts)
 *              3. load the visible sequence
 *              4. if the control block names a later view by now: again
 *   endRead    the slot is empty again
 *
 * The sequence comes after the view, as the tables of a view may lack what only older sequences see: flush and compaction
 * drop a version as soon as no new read can see it. And the view must be the current one when the sequence is loaded, as
 * the sequence may be in a memtable that older views don't know. Both hold when step 4 finds nothing new.
 *
 * The owner keeps whole what the slots name, and nothing else: the memory of a memtable in no such view becomes another's. So a
 * change is taken without looking into any memory; what a view consists of is opened by the first read with it, behind step 4.
 *
 * Invariants: views have consecutive numbers. What is no view ends the client with an error: reading on could give anything.
 *             Memory of a memtable is touched only between beginRead and endRead, or while the view is pinned.
 *             What a change costs does not depend on what is pinned (version-pins.ts).
 * Thread:     the client's.      Owns: the view port, the pins.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { assert, assertNever } from '../shared/base/assert.ts';
import { StorageError } from '../shared/base/errors.ts';
import type { FileNumber } from '../shared/base/ids.ts';
import { noteUnused, reclaimSoon } from '../shared/base/reclaim.ts';
import type { VersionEdit } from '../shared/base/version-edit.ts';
import type { ReadableMemtables } from '../shared/read/readable-memtables.ts';
import { Version } from '../shared/read/version.ts';
import { type PinnedVersion, turnoverOf, VersionPins } from '../shared/read/version-pins.ts';
import type { ControlBlock } from '../shared/threads/control-block.ts';
import type { MemtableState, ViewChange, ViewState } from '../shared/threads/share-protocol.ts';
import type { ViewSlots } from '../shared/threads/view-slots.ts';
import { checkMemtable, OpenedMemtables } from './opened-memtables.ts';

export interface ClientView {
  readonly number: number;
  /** Good while the view is read with or pinned. */
  readonly memtables: ReadableMemtables;
  readonly version: Version;
}

class View implements ClientView {
  readonly number: number;
  readonly states: readonly MemtableState[];
  readonly version: Version;
  #memtables: ReadableMemtables | undefined;

  constructor(number: number, states: readonly MemtableState[], version: Version) {
    this.number = number;
    this.states = states;
    this.version = version;
  }

  get isOpen(): boolean {
    return this.#memtables !== undefined;
  }

  open(opened: OpenedMemtables): void {
    this.#memtables = opened.of(this.states);
  }

  get memtables(): ReadableMemtables {
    assert(this.#memtables !== undefined, 'the view was not read with');
    return this.#memtables;
  }
}

/** Who reads by the views. */
export interface ViewHost {
  /** No view of ours holds these tables any more. */
  obsolete(numbers: readonly FileNumber[]): void;
  /** What holds memory of memtables without use is to let go of it. */
  reclaim(): void;
  /** Once: the owner has sent what is no view, or that no change follows. */
  ended(error: StorageError): void;
}

interface Pin {
  count: number;
  readonly slot: number;
  readonly version: PinnedVersion;
}

export class ViewFollower {
  readonly #port: MessagePort;
  readonly #control: ControlBlock;
  readonly #slots: ViewSlots;
  readonly #host: ViewHost;
  #end: StorageError | undefined;
  readonly #opened = new OpenedMemtables();
  #view: View;
  readonly #pins = new Map<ClientView, Pin>();
  /** Of tables that no view has any more, and that the host has yet to hear of. */
  #obsolete: FileNumber[] = [];
  readonly #versions = new VersionPins((tables) => {
    for (const { number } of tables) this.#obsolete.push(number);
  });
  #sequence = 0;

  constructor(port: MessagePort, control: ControlBlock, slots: ViewSlots, state: ViewState, host: ViewHost) {
    this.#port = port;
    this.#control = control;
    this.#slots = slots;
    this.#host = host;
    try {
      assert((state.number | 0) === state.number, 'views have whole numbers');
      for (const memtable of state.memtables) checkMemtable(memtable);
      this.#view = new View(state.number, state.memtables, Version.fromLevels(state.levels));
    } catch (error) {
      throw noView(error);
    }
    // An idle client must move on, too: what waits in its port keeps memory.
    port.on('message', (change: unknown) => {
      if (this.#take(change)) this.#moved();
    });
    port.on('messageerror', (error: Error) => this.#fail(noView(error)));
    port.unref();
  }

  /** Together with `sequence` one moment: that of the last beginRead(). */
  get view(): ClientView {
    return this.#view;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Makes view and sequence those of a moment within this call, and keeps the view whole until endRead(), in the same turn. */
  beginRead(): void {
    const control = this.#control;
    if (((this.#view.number - control.viewEpochHint) | 0) < 0) this.#catchUp();
    this.#slots.beginRead(this.#view.number);
    this.#sequence = control.visibleSequence;
    if (this.#isBehind()) this.#beginAgain();
    if (!this.#view.isOpen) this.#open();
  }

  endRead(): void {
    this.#slots.endRead();
  }

  #beginAgain(): void {
    do {
      this.#slots.endRead();
      this.#catchUp();
      this.#slots.beginRead(this.#view.number);
      this.#sequence = this.#control.visibleSequence;
    } while (this.#isBehind());
  }

  #open(): void {
    try {
      this.#view.open(this.#opened);
    } catch (error) {
      this.#slots.endRead();
      this.#fail(noView(error));
      throw this.#end;
    }
  }

  /**
   * Keeps a view readable until the returned function is called, which is idempotent. Requires: it is being read with, or
   * pinned already.
   */
  pin(view: ClientView): () => void {
    const known = this.#pins.get(view);
    if (known !== undefined) known.count++;
    else {
      assert(view === this.#view, 'a view that is read with for the first time is the current one');
      const version = this.#versions.pin(view.version);
      this.#pins.set(view, { count: 1, slot: this.#slots.pin(view.number), version });
    }
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#unpin(view);
    };
  }

  #unpin(view: ClientView): void {
    const pin = this.#pins.get(view)!;
    if (--pin.count > 0) return;
    this.#pins.delete(view);
    this.#slots.unpin(pin.slot);
    pin.version.release();
    // Of the current one the owner gives nothing up; it looks again when it has a later one.
    if (view !== this.#view) this.#moved();
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
      if (received === undefined)
        throw this.#end ?? new StorageError('STRATA_CLOSED', 'the owner of the store is gone');
      if (!this.#take(received.message)) throw this.#end;
    }
    this.#moved();
  }

  /** false: it is no change of the view that we have, now or before. Whatever is wrong in it comes up here. */
  #take(change: unknown): boolean {
    if (this.#end !== undefined) return false;
    try {
      this.#apply(change as ViewChange);
      return this.#end === undefined;
    } catch (error) {
      this.#fail(noView(error));
      return false;
    }
  }

  #fail(error: StorageError): void {
    this.#end = error;
    this.#host.ended(error);
  }

  #apply(change: ViewChange): void {
    assert(change.number === ((this.#view.number + 1) | 0), 'a view was missed');
    let { version, states } = this.#view;
    switch (change.kind) {
      case 'activated':
        checkMemtable(change.memtable);
        states = [...states.map((state) => ({ ...state, isFrozen: true })), change.memtable];
        break;
      case 'removed':
        for (const { id, buffer } of states) if (id === change.id) noteUnused(buffer);
        states = states.filter(({ id }) => id !== change.id);
        break;
      case 'edited':
        version = this.#edited(version, change.edit);
        break;
      case 'reclaim':
        this.#host.reclaim();
        reclaimSoon();
        break;
      case 'ended':
        this.#fail(new StorageError('STRATA_CLOSED', String(change.reason)));
        return;
      default:
        assertNever(change);
    }
    this.#view = new View(change.number, states, version);
    this.#opened.keep(states);
  }

  #edited(before: Version, edit: VersionEdit): Version {
    const left = before.removedBy(edit);
    const version = before.apply(edit, left);
    const { removed, added } = turnoverOf(edit, left);
    this.#versions.advance(
      removed.map(({ table }) => table),
      added,
    );
    return version;
  }

  /** After the view or the pins have changed: what is no longer used is closed here, and the owner may give it up. */
  #moved(): void {
    const obsolete = this.#obsolete;
    this.#obsolete = [];
    if (obsolete.length > 0) this.#host.obsolete(obsolete);
    this.#port.postMessage(this.#view.number);
  }
}

function noView(cause: unknown): StorageError {
  return new StorageError('STRATA_CLOSED', 'the owner of the store sent what is no view of it', { cause });
}
