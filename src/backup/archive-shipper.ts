/**
 * The target's side of an archive: where its log ends, and how a segment comes behind that.
 *
 * Each attempt is a session of its own, so one that gives up does not end the archive.
 *
 * Invariants: a segment is uploaded only by a store that comes from the tip of its branch, and counts once the tip has moved.
 * Thread:     main.     Owns: a session while an attempt is under way.
 */
import { decodePosition, encodePosition, type Place } from '../shared/changes/position.ts';
import { branchOf, checkHistory, type History, moveTip, parentOf, tipOf } from './branches.ts';
import { newestDescription } from './description.ts';
import { probeConditions } from './probe.ts';
import type { LogPlace, SegmentWriter } from './segment.ts';
import type { BackupTarget } from './target.ts';
import { claimTarget } from './target-marker.ts';
import { TargetSession } from './target-session.ts';
import type { ResolvedTransfer } from './transfer-options.ts';

/** What the store shows of itself. */
export interface ArchivedStore {
  /** Up to `sequence`. */
  historyAt(sequence: number): History;
  placeAt(sequence: number): Place;
  /** Of the last write that was acknowledged. */
  sequence(): number;
}

/** A stretch of the store's writes. */
export interface Shipment {
  readonly writer: SegmentWriter;
  readonly after: LogPlace;
  readonly to: LogPlace;
  /** Until this time nothing is missing. */
  readonly coveredMs: number;
}

export class ArchiveShipper {
  readonly #target: BackupTarget;
  readonly #terms: ResolvedTransfer;
  readonly #store: ArchivedStore;
  #session: TargetSession | undefined;

  constructor(target: BackupTarget, terms: ResolvedTransfer, store: ArchivedStore) {
    this.#target = target;
    this.#terms = terms;
    this.#store = store;
  }

  /**
   * The position where the target's log or newest backup ends; undefined: it has neither.
   * @throws STRATA_CONFLICT for another store, or one that does not come from there.
   */
  async start(): Promise<string | undefined> {
    return await this.#attempt(async (session) => {
      const history = this.#live();
      await claimTarget(session, history.storeId);
      await probeConditions(session);
      await checkHistory(session, history);
      const tip = await tipOf(session, history);
      if (tip !== undefined) return tip.position;
      const parent = parentOf(history);
      if (parent !== undefined) return encodePosition(this.#store.placeAt(parent.sequence));
      return (await newestDescription(session, branchOf(history)))?.position;
    });
  }

  /** Returns what it has uploaded, in bytes. A shipment without writes says that there were none. */
  async ship({ writer, after, to, coveredMs }: Shipment): Promise<number> {
    return await this.#attempt(async (session) => {
      const live = this.#live();
      await checkHistory(session, live);
      const [from, end] = [this.#store.placeAt(after.sequence), this.#store.placeAt(to.sequence)];
      const position = encodePosition(end);
      const branch = branchOf(live);
      let byteLength = 0;
      if (writer.byteLength > 0) {
        const header = {
          storeId: live.storeId,
          branch,
          after: encodePosition(from),
          to: position,
          coveredMs,
        };
        const { key, bytes } = writer.finish(header, { after, to, epochId: end.epochId });
        byteLength = bytes.length;
        await session.upload(key, byteLength, async (start, length) => bytes.subarray(start, start + length));
      }
      await moveTip(session, this.#store.historyAt(to.sequence), { position, coveredMs }, live);
      return byteLength;
    });
  }

  /** Ends the attempt under way. */
  abort(reason: unknown): void {
    this.#session?.fail(reason);
  }

  #live(): History {
    return this.#store.historyAt(this.#store.sequence());
  }

  async #attempt<T>(work: (session: TargetSession) => Promise<T>): Promise<T> {
    const session = new TargetSession(this.#target, this.#terms);
    this.#session = session;
    try {
      return await work(session);
    } finally {
      session.close();
      this.#session = undefined;
    }
  }
}

/** The sequence of a position that this store has given out, or a store that it comes from. */
export function sequenceOf(position: string): number {
  return decodePosition(position).sequence;
}
