/**
 * A page of changes: bytes of a log as they are, with a row for each piece of them, to be decoded where they are consumed.
 *
 *   bytes   | header  entry entry entry | header  entry entry | ...        whole records, or entries of an ingestion likewise
 *   pieces            [ writes        ]           [ batch   ]              PIECE_FIELDS numbers each
 *
 *   kind        Writes: each entry is a write;  Batch: all are one;  LoadPart, LoadEnd: a part of an ingestion, and its last one
 *   start, end  in `bytes`
 *   sequence    of the first entry; of an ingestion, of all of them
 *   time        by which they were written, in milliseconds since 1970
 *
 * Invariants: `bytes` is memory of the page's own, which may be transferred. What it says has been checked.
 * Thread:     any. Plain data.
 */
export interface ChangePage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly pieces: Float64Array<ArrayBuffer>;
}

export const PieceKind = { Writes: 0, Batch: 1, LoadPart: 2, LoadEnd: 3 } as const;

export const PIECE_FIELDS = 5;
export const PIECE_START = 1;
export const PIECE_END = 2;
export const PIECE_SEQUENCE = 3;
export const PIECE_TIME = 4;

/** Bytes of a page, unless a single write has more. */
export const PAGE_BYTES: number = 256 * 1024;

/** Where the changes for one consumer come from, wherever that runs. */
export interface PageFeed {
  /** The next page, once there is one. One call at a time. Rejects when the changes have ended. */
  next(): Promise<ChangePage>;
  /** No page is wanted any more: a call that waits is rejected at once. */
  end(): void;
}
