/**
 * What changes() gives: see docs/changes.md.
 *
 * Thread: any. Plain data.
 */

/** One operation of a write, as it was made. */
export type Change =
  | {
      readonly type: 'put';
      readonly key: Buffer;
      readonly value: Buffer;
      /** In milliseconds since 1970; absent: the value does not expire. */
      readonly expiresAt?: number;
    }
  | { readonly type: 'delete'; readonly key: Buffer }
  /** All keys in [start, end); without an end: from `start` on. */
  | { readonly type: 'deleteRange'; readonly start: Buffer; readonly end: Buffer | undefined };

/** One committed write, or a part of an ingestion. */
export interface ChangeBatch {
  /** The place behind it: what to go on after. */
  readonly position: string;
  /** The operations in their order. */
  readonly changes: Change[];
  /** A part of an ingestion, of which another part follows. */
  readonly more?: true;
}
