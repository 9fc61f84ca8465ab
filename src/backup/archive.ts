/**
 * archive(): ships the log of an open store into a backup target as it grows, so that a restore can bring back any moment.
 *
 *   start      where the target's log or newest backup of this branch ends; where there is neither, now
 *   collect    frames of the store's changes (archive-source.ts), until SEGMENT_BYTES are there or intervalMs have passed since
 *              the first of them
 *   ship       1. the store's log is synced    2. the segment is uploaded    3. the tip of the branch moves (archive-shipper.ts)
 *
 * What is shipped is durable in the store before, so a store that lost power never falls behind its own archive. A segment of a
 * store that was refused afterwards bears the id of an epoch that is not of the branch's history: no restore takes it.
 *
 *   target away        the segment in hand stays and is tried again; 'error' says so once. The archive holds nothing in the
 *                      store: what it has not read yet is there as long as `retainChanges` says
 *   fell behind that   'error' with STRATA_POSITION_LOST; it goes on from now. Across the gap nothing can be restored; what is
 *                      behind the next backup can
 *   anything else      'error', and the archive has failed
 *
 * Invariants: one segment in hand: SEGMENT_BYTES and one write. An idle store costs one small write every ten seconds.
 * Thread:     main.     Owns: a timer, a segment.
 */
import { EventEmitter } from 'node:events';
import { tellLater } from '../main/store/tell-later.ts';
import { StorageError } from '../shared/base/errors.ts';
import { toStorageError } from '../shared/base/failures.ts';
import { clearTimeout, now, setTimeout } from '../shared/base/timers.ts';
import { type ArchiveShipper, type Shipment, sequenceOf } from './archive-shipper.ts';
import type { ArchiveSource, SourcePage } from './archive-source.ts';
import { type LogPlace, SegmentWriter } from './segment.ts';

/** A segment has no more, but for the write that made it full. */
const SEGMENT_BYTES: number = 8 * 1024 * 1024;
/** A store that is not written to says so no more often. */
const IDLE_MS = 10_000;
/** Once there is something in hand. */
const READ_EVERY_MS = 200;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;

/** A segment is in the target. */
export interface ShippedEvent {
  /** All writes up to there can be restored. */
  readonly position: string;
  /** Until this time nothing is missing, in milliseconds since 1970. */
  readonly time: number;
  /** What was uploaded. */
  readonly bytes: number;
}

export interface ArchiveEvents {
  shipped: [ShippedEvent];
  error: [StorageError];
}

/**
 * What an archive is about. `starting`: it asks the target where to begin; `running`; `retrying`: the target is away; `failed`:
 * it ships nothing any more; `closed`.
 */
export type ArchiveState = 'starting' | 'running' | 'retrying' | 'failed' | 'closed';

export interface ArchiveStatus {
  readonly state: ArchiveState;
  /** All writes up to there are in the target; undefined: it is not known yet. */
  readonly position: string | undefined;
  /** Until this time nothing is missing in the target, in milliseconds since 1970; 0: it is not known yet. */
  readonly time: number;
  /** Uploaded since the archive began. */
  readonly segments: number;
  readonly bytes: number;
  /** Read from the store, and not in the target yet. */
  readonly pendingBytes: number;
  /** So often the archive has lost its place: each is a gap. */
  readonly gaps: number;
  /** The last failure. */
  readonly error: StorageError | undefined;
}

/** A moment of the store. */
interface Mark {
  readonly timeMs: number;
  /** Of the last write that was acknowledged by then. */
  readonly sequence: number;
}

export interface ArchiveParts {
  readonly source: ArchiveSource;
  readonly shipper: ArchiveShipper;
  readonly intervalMs: number;
}

/**
 * A log that is being shipped: see {@link archive}. Emits `shipped` for every segment and `error` for what goes wrong; without a
 * listener an error is a warning of the process, never an exception.
 */
export class Archive extends EventEmitter<ArchiveEvents> {
  readonly #parts: ArchiveParts;
  readonly #run: Promise<void>;
  #state: ArchiveState = 'starting';
  #error: StorageError | undefined;
  #shipped: { readonly position: string; readonly timeMs: number } | undefined;
  #segments = 0;
  #bytes = 0;
  #gaps = 0;
  /** The gap that comes next was told of already. */
  #hasToldGap = false;
  #pending = new SegmentWriter();
  /** When close() was called. */
  #close: Mark | undefined;
  #wake: (() => void) | undefined;

  /** @internal */
  constructor(parts: ArchiveParts) {
    super();
    this.#parts = parts;
    parts.source.keepUp(true);
    this.#run = this.#ship();
    // close() hears of it, and 'error' has said it.
    this.#run.catch(() => undefined);
  }

  get #isClosing(): boolean {
    return this.#close !== undefined;
  }

  get status(): ArchiveStatus {
    return {
      state: this.#state,
      position: this.#shipped?.position,
      time: this.#shipped?.timeMs ?? 0,
      segments: this.#segments,
      bytes: this.#bytes,
      pendingBytes: this.#pending.byteLength,
      gaps: this.#gaps,
      error: this.#error,
    };
  }

  /**
   * Ships what was acknowledged before the call, and ends the archive. Idempotent. To be called before the engine is closed.
   * @throws {@link StorageError} what keeps it from that: STRATA_IO when the target does not answer.
   */
  async close(): Promise<void> {
    this.#close ??= this.#mark();
    this.#wake?.();
    await this.#run;
    this.#state = 'closed';
  }

  async #ship(): Promise<void> {
    try {
      // What a caller does right after the call (listeners, say) comes first.
      await Promise.resolve();
      let after = await this.#begin();
      while (this.#close === undefined) after = await this.#next(after);
      // Once more in any case: until when nothing is missing is to be known as well.
      do after = await this.#next(after);
      while (after.sequence < this.#close.sequence || (this.#shipped?.timeMs ?? 0) < this.#close.timeMs);
    } catch (error) {
      this.#state = 'failed';
      const failure = toStorageError(error, 'the archive failed');
      if (failure !== this.#error) this.#tellError(failure);
      throw failure;
    } finally {
      this.#parts.source.close();
    }
  }

  async #begin(): Promise<LogPlace> {
    const { source, shipper } = this.#parts;
    const position = await this.#insisting(() => shipper.start());
    this.#state = 'running';
    if (position === undefined) return { sequence: source.sequence(), parts: 0 };
    this.#shipped = { position, timeMs: 0 };
    return { sequence: sequenceOf(position), parts: 0 };
  }

  /** Collects a segment and ships it; returns up to where. */
  async #next(after: LogPlace): Promise<LogPlace> {
    const { source, shipper } = this.#parts;
    let shipment: Shipment;
    try {
      shipment = await this.#collect(after);
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'STRATA_POSITION_LOST') throw error;
      this.#tellGap(error);
      this.#hasToldGap = false;
      if (this.#isClosing) throw error;
      return { sequence: source.sequence(), parts: 0 };
    }
    const { to, coveredMs } = shipment;
    await source.sync();
    const bytes = await this.#insisting(() => shipper.ship(shipment), to);
    this.#pending = new SegmentWriter();
    const position = source.positionOf(to.sequence);
    this.#shipped = { position, timeMs: coveredMs };
    if (bytes > 0) {
      this.#segments++;
      this.#bytes += bytes;
      tellLater(() => this.emit('shipped', { position, time: coveredMs, bytes }));
    }
    return to;
  }

  /** Reads from the store until it is time to ship. */
  async #collect(after: LogPlace): Promise<Shipment> {
    const { source, intervalMs } = this.#parts;
    const idleUntil = now() + Math.max(IDLE_MS, intervalMs);
    let dueAt: number | undefined;
    let due: Mark | undefined;
    let to = after;
    let lastMs = 0;
    for (;;) {
      // Before the look: whatever was acknowledged until then is found by it.
      const lookedAt = source.time();
      const page = await this.#read(to);
      // What follows is lost: what was read before goes first.
      if (page === undefined) return this.#shipment(after, to, Math.max(0, lastMs - 1));
      for (const frame of page.frames) this.#pending.add(frame);
      to = page.to;
      lastMs = page.frames.at(-1)?.timeMs ?? lastMs;
      if (page.frames.length === 0) {
        const until = dueAt ?? idleUntil;
        if (this.#close !== undefined || now() >= until) return this.#shipment(after, to, lookedAt);
        // What is read in many small pieces costs more.
        if (dueAt === undefined) await this.#wait(until - now(), true);
        else await this.#wait(Math.min(READ_EVERY_MS, until - now()), false);
        continue;
      }
      dueAt ??= now() + intervalMs;
      // Writes go on: what had been acknowledged when the interval was over, or close() was called, is enough.
      due ??= this.#close ?? (now() >= dueAt ? this.#mark() : undefined);
      if (due !== undefined && to.sequence >= due.sequence) return this.#shipment(after, to, due.timeMs);
      // More of the same millisecond may follow: that is not complete.
      if (this.#pending.byteLength >= SEGMENT_BYTES)
        return this.#shipment(after, to, Math.max(0, lastMs - 1));
    }
  }

  /** undefined: what is behind `to` is lost, and there is something in hand. */
  async #read(to: LogPlace): Promise<SourcePage | undefined> {
    try {
      return await this.#parts.source.read(to);
    } catch (error) {
      const isLost = error instanceof StorageError && error.code === 'STRATA_POSITION_LOST';
      if (!isLost || this.#pending.byteLength === 0) throw error;
      return undefined;
    }
  }

  /** Until now everything up to the last acknowledged write. */
  #mark(): Mark {
    const { source } = this.#parts;
    return { timeMs: source.time(), sequence: source.sequence() };
  }

  #shipment(after: LogPlace, to: LogPlace, coveredMs: number): Shipment {
    return { writer: this.#pending, after, to, coveredMs: Math.max(coveredMs, this.#shipped?.timeMs ?? 0) };
  }

  /** This long, or until close() is called, or there is news, if that matters. */
  async #wait(ms: number, forNews: boolean): Promise<void> {
    if (this.#isClosing) return;
    let timer: NodeJS.Timeout | undefined;
    let forget: (() => void) | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, ms);
      timer.unref();
      forget = forNews ? this.#parts.source.onNews(resolve) : undefined;
    });
    this.#wake = undefined;
    clearTimeout(timer);
    forget?.();
  }

  /** Until it succeeds, or fails for another reason than that the target is away; once close() was called, no more than once. */
  async #insisting<T>(work: () => Promise<T>, reached?: LogPlace): Promise<T> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs)) {
      const isLast = this.#isClosing;
      try {
        const result = await work();
        if (this.#state === 'retrying') this.#state = 'running';
        this.#parts.source.keepUp(true);
        return result;
      } catch (error) {
        if (isLast || !(error instanceof StorageError) || error.code !== 'STRATA_IO') throw error;
        this.#parts.source.checkOpen();
        if (this.#state !== 'retrying') this.#tellError(error);
        this.#state = 'retrying';
        this.#parts.source.keepUp(false);
        this.#lookForGap(reached);
      }
      await this.#wait(pauseMs, false);
    }
  }

  /** While the target is away: whoever waits for it is to hear at once that there will be a gap. */
  #lookForGap(reached: LogPlace | undefined): void {
    if (reached === undefined || !this.#parts.source.hasLost(reached)) return;
    const why = 'the archive could not ship for so long that what follows is not retained any more';
    this.#tellGap(new StorageError('STRATA_POSITION_LOST', why));
  }

  /** Once for each gap. */
  #tellGap(error: StorageError): void {
    if (this.#hasToldGap) return;
    this.#hasToldGap = true;
    this.#gaps++;
    this.#tellError(error);
  }

  #tellError(error: StorageError): void {
    this.#error = error;
    tellLater(() => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
      else process.emitWarning(`the archive: ${error.message}`, { code: error.code });
    });
  }
}
