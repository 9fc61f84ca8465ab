/**
 * Shared memory that was given up, and the collector that is to free it.
 *
 * A SharedArrayBuffer is freed when the last thread has collected the last object that stands for it. V8 does not count its bytes
 * when it decides whether a collection is worth it, so in a quiet process that may be never. Plain buffers it does count. So for
 * memory that was given up it is shown one that is large enough, and dropped at once, and never written to: it costs address
 * space and no memory. V8 then begins a collection of its own accord, in small steps beside the program, as if it had counted.
 *
 *   noteGivenUp(buffer) -> a nudge -> is it gone? -> a nudge -> ...        until it is, or for MAX_NUDGES: somebody has it
 *
 * Invariants: nothing here keeps memory, a thread or the process alive. Each thread sees to the objects of its own heap.
 * Thread:     any; each has its own.
 * Not chosen: forcing collections (--expose-gc, the inspector, v8.queryObjects): each stops the program for as long as its heap
 *             is large. Looking by WeakRef: a look keeps what it finds for the collection that it was to be freed by.
 */
import { setTimeout } from './timers.ts';

/** Bytes that V8 counts as growth: enough for it to begin a collection, whatever the size of the heap. */
const NUDGE_BYTES: number = 64 * 1024 * 1024;
/** In a busy thread, where a collection costs what it does next. */
const WORTH_WHILE_BUSY_BYTES: number = NUDGE_BYTES;
/** Less is left to the collections that come by themselves. */
const WORTH_BYTES: number = 4 * 1024 * 1024;
/** By then it is in use: by a view that the application has, or by a thread that does not turn its event loop. */
const MAX_NUDGES = 10;
/** Between the first nudges; later ones take longer. A collection of a small heap takes some tens of milliseconds. */
const INTERVAL_MS = 200;

let waitingCount = 0;
let waitingBytes = 0;
let nudges = 0;
let isDue = false;

const registry = new FinalizationRegistry<number>((byteLength) => {
  waitingCount--;
  waitingBytes -= byteLength;
});

/** `buffer` is not referred to any more by whoever calls: its memory is wanted back. Once per object. */
export function noteGivenUp(buffer: SharedArrayBuffer): void {
  noteUnused(buffer);
  reclaimSoon();
}

/** The same, but it is not wanted back yet. */
export function noteUnused(buffer: SharedArrayBuffer): void {
  waitingCount++;
  waitingBytes += buffer.byteLength;
  registry.register(buffer, buffer.byteLength);
}

/** What was noted is wanted back. */
export function reclaimSoon(): void {
  nudges = 0;
  lookSoon();
}

/** For a thread that works for long without a turn of its event loop, before it does: its timers would come too late. */
export function reclaimBeforeWork(): void {
  if (waitingBytes >= WORTH_WHILE_BUSY_BYTES) nudge();
}

/** What was given up in this thread and is not freed yet. */
export function givenUp(): { readonly count: number; readonly bytes: number } {
  return { count: waitingCount, bytes: waitingBytes };
}

function lookSoon(): void {
  if (isDue) return;
  isDue = true;
  setTimeout(look, INTERVAL_MS * (nudges + 1)).unref();
}

function look(): void {
  isDue = false;
  if (waitingBytes < WORTH_BYTES || nudges === MAX_NUDGES) return;
  nudges++;
  nudge();
  lookSoon();
}

function nudge(): void {
  try {
    new ArrayBuffer(NUDGE_BYTES);
  } catch {
    // No address space for it. V8 has collected all there was before it gave up: that is what was wanted.
  }
}
