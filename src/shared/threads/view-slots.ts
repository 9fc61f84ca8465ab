/**
 * View slots: where a client says which views it reads with, and the owner looks before memory or files of a view are used for
 * something else. One small SharedArrayBuffer for each client.
 *
 *   Int32 word 0        the view that the call under way reads with
 *              1        the oldest of the pinned views that have no word of their own: all from it on are in use
 *              2..63    a pinned view each (open scans and snapshots)
 *
 * A word is 0 for none, else (view number << 1) | 1: of two views that are 2^31 apart the other one is kept, too.
 *
 *   client   word 0 = view   ->  is it still the one that the control block names? else again   ->  read   ->  word 0 = 0
 *   owner    the control block names a new view   ->  look at the words   ->  views in none of them are given up
 *
 * This is a hazard pointer (Michael, 2004). All accesses are Atomics, which have one order that every thread agrees on. Either
 * the client's second look at the control block comes before the owner's store there: then word 0 was set before that, too, and
 * the owner, which looks later, finds it. Or it comes after: then the client finds the newer view, and reads with that. Whoever
 * pins a view writes its word before word 0 is cleared, and the owner looks at word 0 first: it finds one or the other. A
 * clearing store is a release: what the owner does to the memory after it has seen it comes after all that the client has read.
 *
 * Thread:     the client writes, the owner reads.
 * Not chosen: messages, as before: a client that computes for a minute sends none, and everything since was kept for it.
 */
import { assert } from '../base/assert.ts';

const READING = 0;
const SINCE = 1;
const FIRST_PIN = 2;
const WORDS = 64;
/** Views that one client can pin singly. With more, the owner keeps every view from the oldest of the others on. */
export const PIN_SLOTS: number = WORDS - FIRST_PIN;
export const VIEW_SLOTS_BYTES: number = WORDS * 4;

export class ViewSlots {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #free: number[] = [];
  /** Pinned views without a word of their own. */
  #crowded = 0;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(VIEW_SLOTS_BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    for (let slot = WORDS - 1; slot >= FIRST_PIN; slot--) this.#free.push(slot);
  }

  /** The call under way reads with this view, should it still be the current one: look again after this. */
  beginRead(view: number): void {
    Atomics.store(this.#words, READING, codeOf(view));
  }

  endRead(): void {
    Atomics.store(this.#words, READING, 0);
  }

  /** Keeps `view`, which the call under way reads with. Returns what {@link unpin} wants. */
  pin(view: number): number {
    const slot = this.#free.pop() ?? SINCE;
    if (slot !== SINCE) Atomics.store(this.#words, slot, codeOf(view));
    else if (this.#crowded++ === 0) Atomics.store(this.#words, SINCE, codeOf(view));
    return slot;
  }

  unpin(slot: number): void {
    if (slot !== SINCE) {
      Atomics.store(this.#words, slot, 0);
      this.#free.push(slot);
      return;
    }
    assert(this.#crowded > 0, 'no view is pinned without a slot');
    if (--this.#crowded === 0) Atomics.store(this.#words, SINCE, 0);
  }

  /** For the owner, once the control block names a later view than those asked about: whether the client may read with one. */
  inUse(): (view: number) => boolean {
    const words = this.#words;
    // In this order: see above.
    const codes = new Set<number>();
    for (let slot = READING; slot < WORDS; slot++) {
      const code = Atomics.load(words, slot);
      if (code !== 0 && slot !== SINCE) codes.add(code);
    }
    const since = Atomics.load(words, SINCE);
    return (view) => codes.has(codeOf(view)) || (since !== 0 && ((codeOf(view) - since) | 0) >= 0);
  }
}

function codeOf(view: number): number {
  return (view << 1) | 1;
}
