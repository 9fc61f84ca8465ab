/**
 * The name of a place in the history of a store: what `position` shows.
 *
 * Thread: main. Pure.
 */
import type { History } from '../../shared/changes/history.ts';
import { encodePosition } from '../../shared/changes/position.ts';

/** What a position names. */
export interface HistoryParts {
  readonly versions: { readonly history: History };
}

/** The position after the write of `sequence`. */
export function positionOf({ versions }: HistoryParts, sequence: number): string {
  return encodePosition(versions.history.placeAt(sequence));
}
