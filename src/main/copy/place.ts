/**
 * The name of a place in the history of a store: what `position` shows.
 *
 * Thread: main. Pure.
 */

/** What a position names. */
export interface HistoryParts {
  readonly versions: { readonly storeId: string };
}

/** The position after the write of `sequence`. */
export function positionOf({ versions }: HistoryParts, sequence: number): string {
  return `${versions.storeId}:${sequence}`;
}
