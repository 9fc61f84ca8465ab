/**
 * The queue of what the application is told: events (events.ts) and trace records (trace.ts) of all stores of this thread, oldest
 * first.
 *
 *   tellLater   the engine, in the middle of a step: what is to be told is put behind what waits
 *   tellOne     in a microtask of its own, when that step is over. After 64 of them without a turn of the event loop, in a turn
 *               of its own
 *
 * Invariants: nothing of the application runs within a step of the engine. What it throws is an uncaught exception, and the rest
 *             of the queue is told all the same. Listeners that make more to be told do not keep the event loop from turning.
 * Thread:     main.
 */
import { queueMicrotask, setImmediate } from '../../shared/base/timers.ts';

/** Told from microtasks without a turn of the event loop in between. */
const MAX_TOLD_PER_TURN = 64;

const waiting: (() => void)[] = [];
let isTellingDue = false;
let toldInTurn = 0;

/** Calls `tell` soon, behind all that waits. */
export function tellLater(tell: () => void): void {
  waiting.push(tell);
  tellSoon();
}

/** In a microtask; or, where events make events and nothing else comes to its turn, in the next turn. */
function tellSoon(): void {
  if (isTellingDue || waiting.length === 0) return;
  isTellingDue = true;
  if (toldInTurn < MAX_TOLD_PER_TURN) queueMicrotask(tellOne);
  else setImmediate(tellOne);
}

/** One at a time: what its listeners leave for microtasks comes before the next one. */
function tellOne(): void {
  isTellingDue = false;
  const tell = waiting.shift();
  if (toldInTurn++ === 0) setImmediate(() => (toldInTurn = 0)).unref();
  tellSoon();
  tell?.();
}
