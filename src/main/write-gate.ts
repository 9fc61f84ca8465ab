/**
 * Backpressure: how fast writes may enter while flush or compaction is behind.
 *
 *   open     no limit
 *   slow     groups are spaced so that bytes enter at a limited rate
 *   closed   writes are held until work under way makes room
 *
 * Invariants: the scheduler closes or slows the gate only while it has work scheduled that will open it again, so a held
 *             writer never waits for nothing (that stall is the best-known bug of others: HarperFast/harper#2490).
 * Thread:     main.
 * Not chosen: a fixed sleep per write (LevelDB's 1 ms): it punishes single small writes and lets large batches through.
 */
import { now } from '../shared/timers.ts';

/**
 * Why writes are slowed or held: memtables wait for their flush; too many tables in L0; too much is left to compact; a bulk
 * load is taking its place in the order of writes.
 */
export type StallReason = 'memtables' | 'level0' | 'compaction-debt' | 'ingest';

/** How writes enter: at once, at a limited rate, or not until there is room. */
export type GateState = 'open' | 'slow' | 'closed';

/** A stall began, changed or, with state `open`, ended. */
export interface StallEvent {
  readonly state: GateState;
  /** Absent when the stall ended. */
  readonly reason?: StallReason;
  /** When a stall ended: how long it lasted, slow and closed together. */
  readonly stalledMs?: number;
}

export class WriteGate {
  #state: GateState = 'open';
  #reason: StallReason | undefined;
  #bytesPerMs = Number.POSITIVE_INFINITY;
  #nextGroupAt = 0;
  #stalledSince = 0;
  #stalledMs = 0;
  #stallCount = 0;
  readonly #onChange: (event: StallEvent) => void;

  constructor(onChange: (event: StallEvent) => void) {
    this.#onChange = onChange;
  }

  get state(): GateState {
    return this.#state;
  }

  get reason(): StallReason | undefined {
    return this.#reason;
  }

  /** How often writes were slowed or held since open. */
  get stallCount(): number {
    return this.#stallCount;
  }

  /** For how long in all, the current stall included. */
  get stalledMs(): number {
    return this.#stalledMs + (this.#state === 'open' ? 0 : now() - this.#stalledSince);
  }

  /** Set by the scheduler. `bytesPerMs` counts while slow. */
  set(state: GateState, reason?: StallReason, bytesPerMs: number = Number.POSITIVE_INFINITY): void {
    this.#bytesPerMs = bytesPerMs;
    if (state === this.#state && reason === this.#reason) return;
    const moment = now();
    const wasOpen = this.#state === 'open';
    if (wasOpen) {
      this.#stalledSince = moment;
      this.#stallCount++;
    }
    this.#state = state;
    this.#reason = reason;
    if (state !== 'open') {
      this.#onChange({ state, ...(reason === undefined ? {} : { reason }) });
      return;
    }
    const stalledMs = moment - this.#stalledSince;
    this.#stalledMs += stalledMs;
    this.#onChange({ state, stalledMs });
  }

  /** How long the next group should wait before it enters, in milliseconds; 0 when the gate is open. */
  delayMs(): number {
    return this.#state === 'slow' ? Math.max(0, this.#nextGroupAt - now()) : 0;
  }

  /** A group entered: the next one waits until its bytes are paid for. */
  charge(byteLength: number): void {
    if (this.#state !== 'slow') return;
    this.#nextGroupAt = Math.max(now(), this.#nextGroupAt) + byteLength / this.#bytesPerMs;
  }
}
