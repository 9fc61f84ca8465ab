/**
 * The store's side of an archive: its writes as frames, from any place that it still has (main/changes/change-source.ts).
 *
 *   page of changes   | writes | batch | part of a load |   ->   a frame for each piece; parts of a load are counted
 *
 * Invariants: holds nothing in the store but a consumer, which is a few numbers. A store that is closed ends it with
 * STRATA_CLOSED.
 * Thread:     main.     Owns: a consumer.
 */

import type { ChangeConsumer } from '../main/changes/change-source.ts';
import type { CaptureSource } from '../main/copy/capture-source.ts';
import {
  PIECE_END,
  PIECE_FIELDS,
  PIECE_SEQUENCE,
  PIECE_START,
  PIECE_TIME,
  PieceKind,
} from '../shared/changes/change-page.ts';
import { encodePosition } from '../shared/changes/position.ts';
import { type Frame, FrameKind, type LogPlace } from './segment.ts';

/** Some writes behind a place. */
export interface SourcePage {
  /** None: there is nothing behind it yet. */
  readonly frames: readonly Frame[];
  readonly to: LogPlace;
}

export interface ArchiveSource {
  /** Of the last write that was acknowledged. */
  sequence(): number;
  /** Now, by the store's clock: no write that was acknowledged is later. */
  time(): number;
  positionOf(sequence: number): string;
  /** @throws STRATA_POSITION_LOST: what is behind `after` is not there any more. STRATA_CLOSED. */
  read(after: LogPlace): Promise<SourcePage>;
  /** Whether what is behind `after` is not there any more. */
  hasLost(after: LogPlace): boolean;
  /** Whether what is not read yet stays in the store for a while, whatever `retainChanges` says. */
  keepUp(isKeepingUp: boolean): void;
  /** Calls `act` once, when something has become visible, or the store is closed; returns how to forget that. */
  onNews(act: () => void): () => void;
  /** Makes all that was acknowledged survive power loss. */
  sync(): Promise<void>;
  /** @throws STRATA_CLOSED. */
  checkOpen(): void;
  close(): void;
}

const FRAME_KINDS: Readonly<Record<number, FrameKind>> = {
  [PieceKind.Writes]: FrameKind.Writes,
  [PieceKind.Batch]: FrameKind.Batch,
  [PieceKind.LoadPart]: FrameKind.Load,
  [PieceKind.LoadEnd]: FrameKind.LoadEnd,
};

export class ChangeFrames implements ArchiveSource {
  readonly #store: CaptureSource;
  #consumer: ChangeConsumer | undefined;
  #keepsUp = false;
  /** Of the load behind the consumer's sequence, so many were read. */
  #parts = 0;

  constructor(store: CaptureSource) {
    this.#store = store;
  }

  sequence(): number {
    return this.#store.history.sequence();
  }

  time(): number {
    return this.#store.history.time();
  }

  positionOf(sequence: number): string {
    return encodePosition(this.#store.history.changes.history.placeAt(sequence));
  }

  async read(after: LogPlace): Promise<SourcePage> {
    this.checkOpen();
    const consumer = this.#consumerAt(after);
    if (this.sequence() <= consumer.sequence) return { frames: [], to: after };
    const { bytes, pieces } = await consumer.next();
    const frames: Frame[] = [];
    for (let at = 0; at < pieces.length; at += PIECE_FIELDS) {
      const kind = FRAME_KINDS[pieces[at]!]!;
      const isLoad = kind === FrameKind.Load || kind === FrameKind.LoadEnd;
      frames.push({
        kind,
        timeMs: pieces[at + PIECE_TIME]!,
        firstSequence: pieces[at + PIECE_SEQUENCE]!,
        part: isLoad ? this.#parts++ : 0,
        payload: bytes.subarray(pieces[at + PIECE_START]!, pieces[at + PIECE_END]!),
      });
      if (kind === FrameKind.LoadEnd) this.#parts = 0;
    }
    return { frames, to: { sequence: consumer.sequence, parts: this.#parts } };
  }

  #consumerAt({ sequence, parts }: LogPlace): ChangeConsumer {
    const current = this.#consumer;
    if (current !== undefined && current.sequence === sequence && this.#parts === parts) return current;
    current?.end();
    const { changes } = this.#store.history;
    const consumer = changes.consumer(changes.history.placeAt(sequence));
    consumer.keepsUp = this.#keepsUp;
    this.#parts = 0;
    this.#consumer = consumer;
    return consumer;
  }

  hasLost({ sequence }: LogPlace): boolean {
    return this.#store.history.changes.retained().floor > sequence;
  }

  keepUp(isKeepingUp: boolean): void {
    this.#keepsUp = isKeepingUp;
    const consumer = this.#consumer ?? this.#consumerAt({ sequence: this.sequence(), parts: 0 });
    consumer.keepsUp = isKeepingUp;
  }

  onNews(act: () => void): () => void {
    return this.#store.history.changes.onNews(act);
  }

  async sync(): Promise<void> {
    this.checkOpen();
    await this.#store.syncLogs();
  }

  checkOpen(): void {
    this.#store.checkOpen();
  }

  close(): void {
    this.#consumer?.end();
    this.#consumer = undefined;
  }
}
