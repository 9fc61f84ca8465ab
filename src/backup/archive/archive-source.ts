/** The store's side of an archive: its writes as frames, from any place that it still has. */
import type { Frame, LogPlace } from './segment.ts';

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
  /** Calls `act` when something may be behind `after`; returns how to forget that. */
  onNews(act: () => void): () => void;
  /** Makes all that was acknowledged survive power loss. */
  sync(): Promise<void>;
  /** @throws STRATA_CLOSED. */
  checkOpen(): void;
  close(): void;
}
