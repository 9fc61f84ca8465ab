/**
 * Whose writes the sequences of a store are: each opening of a store is an epoch with an id of its own, drawn at random.
 *
 *   genesis | epoch a        | epoch b       | this opening
 *   0         1 ........ 120   121 ..... 300   301 ..
 *                       end             end
 *
 * A sequence is named together with the id of the epoch that it belongs to (position.ts). An opening that was cut short by power
 * failure ends where recovery found its last write: what it had given out beyond is named by an id that has no such sequence, and
 * the same numbers bear the next opening's id. A copy that goes its own way does so under other ids from there on.
 *
 *   closed epochs are in the manifest, up to its last sequence; those behind that are in the start records of the logs
 *   what a release wrote that drew no ids is one epoch, whose id is made of the store's
 *
 * Invariants: ends rise. An epoch in which nothing became durable leaves no trace.
 * Thread:     any. Pure, but for the drawing.
 */

import { crc32 } from '../base/checksum.ts';
import { randomHex } from '../base/random.ts';
import { EPOCH_ID_DIGITS, type Place } from './position.ts';

/** An opening that has ended. */
export interface ClosedEpoch {
  readonly id: string;
  /** Its last sequence. */
  readonly end: number;
}

/** The manifest names no more; the oldest are dropped, and their positions are refused. */
export const MAX_EPOCHS = 1024;

/** Before the first write. */
export const GENESIS: string = '0'.repeat(EPOCH_ID_DIGITS);
const EPOCH_ID = /^[0-9a-f]{16}$/;

export function isEpochId(id: string): boolean {
  return EPOCH_ID.test(id) && id !== GENESIS;
}

export function drawEpochId(): string {
  for (;;) {
    const id = randomHex(EPOCH_ID_DIGITS / 2);
    if (id !== GENESIS) return id;
  }
}

/** Of all that a release wrote in a store that drew no ids. */
export function idBeforeEpochs(storeId: string): string {
  const bytes = Buffer.from(storeId);
  const [a, b] = [crc32(bytes), crc32(bytes, 0, bytes.length, 1)];
  const id = a.toString(16).padStart(8, '0') + b.toString(16).padStart(8, '0');
  return id === GENESIS ? 'f'.repeat(EPOCH_ID_DIGITS) : id;
}

/** What is known of the sequences of a store that is opened. */
export interface KnownEpochs {
  readonly storeId: string;
  /** Of the manifest. */
  readonly epochs: readonly ClosedEpoch[];
  /** Of the manifest: whatever belongs to none of `epochs` up to here was written by a release that drew no ids. */
  readonly lastSequence: number;
}

export class History {
  readonly storeId: string;
  /** Those before this opening. */
  readonly closed: readonly ClosedEpoch[];
  /** That of this opening. */
  readonly id: string;

  constructor(storeId: string, closed: readonly ClosedEpoch[], id: string) {
    this.storeId = storeId;
    this.closed = closed;
    this.id = id;
  }

  /** `logs`: those whose writes count, oldest first, each with the id in its start record, '' for none. */
  static atOpening(known: KnownEpochs, logs: readonly ClosedEpoch[], id: string = drawEpochId()): History {
    const { storeId, epochs, lastSequence } = known;
    const before = idBeforeEpochs(storeId);
    const closed = [...epochs];
    for (const epoch of [{ id: before, end: lastSequence }, ...logs]) {
      const last = closed.at(-1);
      if (epoch.end <= (last?.end ?? 0)) continue;
      const named = { id: epoch.id === '' ? before : epoch.id, end: epoch.end };
      if (last?.id === named.id) closed.pop();
      closed.push(named);
    }
    return new History(storeId, closed, id);
  }

  /** The last sequence that was there when the store was opened. */
  get openedAt(): number {
    return this.closed.at(-1)?.end ?? 0;
  }

  idAt(sequence: number): string {
    if (sequence === 0) return GENESIS;
    return this.closed.find(({ end }) => end >= sequence)?.id ?? this.id;
  }

  placeAt(sequence: number): Place {
    return { storeId: this.storeId, epochId: this.idAt(sequence), sequence };
  }

  /** Whether `place` is one of this history, be it ahead of what has been written. */
  holds({ storeId, epochId, sequence }: Place): boolean {
    return storeId === this.storeId && epochId === this.idAt(sequence);
  }

  /** As the manifest has them whose last sequence is `lastSequence`. */
  upTo(lastSequence: number): readonly ClosedEpoch[] {
    if (lastSequence === 0) return [];
    const before = this.closed.filter(({ end }) => end < lastSequence);
    return [...before, { id: this.idAt(lastSequence), end: lastSequence }].slice(-MAX_EPOCHS);
  }
}
