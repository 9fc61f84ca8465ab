/**
 * Backpressure: how fast writes may enter while flush or compaction is behind.
 *
 *   open     no limit
 *   slow     groups are spaced so that bytes enter at a limited rate: what a group brought is a debt, which time pays off at
 *            that rate before the next group enters
 *   closed   writes are held until work under way makes room
 *
 * A change of the state or the rate is a change for the group that waits, too: the debt is in bytes, is paid off at the new
 * rate from then on, and is forgotten when writes are not slowed any more. `onRate` has it look again.
 *
 * Invariants: the scheduler closes or slows the gate only while it has work scheduled that will open it again, and the commit
 *             pipeline closes it only while memtables wait for their flush; so a held writer never waits for nothing (that
 *             stall is the best-known bug of others: HarperFast/harper#2490).
 *             No group waits longer than MAX_DELAY_MS for the debt of those before it, whatever they brought.
 * Thread:     main.
 * Not chosen: a fixed sleep per write (LevelDB's 1 ms): it punishes single small writes and lets large batches through.
 */
import { Deferred } from '../../shared/base/deferred.ts';
import { now } from '../../shared/base/timers.ts';
import type { GateState, StallEvent, StallReason } from '../store/stalls.ts';

/** The longest that one group waits; what a large batch before it brought beyond that is not charged to anybody. */
export const MAX_DELAY_MS = 1000;

export class WriteGate {
  #state: GateState = 'open';
  #reason: StallReason | undefined;
  #bytesPerMs = Number.POSITIVE_INFINITY;
  /** Bytes that entered while slow and were not paid for at #paidAt. */
  #debtBytes = 0;
  #paidAt = 0;
  #stalledSince = 0;
  #stalledMs = 0;
  #stallCount = 0;
  #ingestion: Deferred | undefined;
  readonly #onChange: (event: StallEvent) => void;
  readonly #onRate: () => void;

  /** `onRate` hears when the state or the rate has changed: {@link delayMs} may give another answer. */
  constructor(onChange: (event: StallEvent) => void, onRate: () => void = () => undefined) {
    this.#onChange = onChange;
    this.#onRate = onRate;
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

  /**
   * An ingestion is about to take its place in the order of writes, until {@link ingested}: behind all that has entered, before
   * all that is held then. Whoever has read what it may change must not be held meanwhile, and waits for `ingestion` instead.
   */
  beginIngestion(): void {
    this.#ingestion ??= new Deferred();
  }

  ingested(): void {
    this.#ingestion?.resolve();
    this.#ingestion = undefined;
  }

  get ingestion(): Promise<void> | undefined {
    return this.#ingestion?.promise;
  }

  /** Set by the scheduler. `bytesPerMs` counts while slow. */
  set(state: GateState, reason?: StallReason, bytesPerMs: number = Number.POSITIVE_INFINITY): void {
    const before = this.#state;
    const isSlower = bytesPerMs < this.#bytesPerMs;
    const hasNewRate = state !== before || bytesPerMs !== this.#bytesPerMs;
    this.#payOff();
    this.#bytesPerMs = bytesPerMs;
    if (state !== 'slow') this.#debtBytes = 0;
    else if (isSlower) this.#capDebt();
    if (state !== before || reason !== this.#reason) this.#change(state, reason);
    if (hasNewRate) this.#onRate();
  }

  #change(state: GateState, reason: StallReason | undefined): void {
    const moment = now();
    if (this.#state === 'open') {
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

  /** How long the next group should wait before it enters, in milliseconds, at most MAX_DELAY_MS; 0 unless writes are slowed. */
  delayMs(): number {
    if (this.#state !== 'slow') return 0;
    this.#payOff();
    return this.#debtBytes / this.#bytesPerMs;
  }

  /** A group entered: the next one waits until its bytes are paid for. */
  charge(byteLength: number): void {
    if (this.#state !== 'slow') return;
    this.#payOff();
    this.#debtBytes += byteLength;
    this.#capDebt();
  }

  /** What the time since the last look has paid for. */
  #payOff(): void {
    if (this.#state !== 'slow') return;
    const moment = now();
    const paidBytes = (moment - this.#paidAt) * this.#bytesPerMs;
    // Without a rate all is paid for, in no time as well.
    this.#debtBytes = paidBytes >= 0 ? Math.max(0, this.#debtBytes - paidBytes) : 0;
    this.#paidAt = moment;
  }

  #capDebt(): void {
    this.#debtBytes = Math.min(this.#debtBytes, this.#bytesPerMs * MAX_DELAY_MS);
  }
}
