/**
 * One entry of the store as all internal iterators show it: where its key and value stand, its sequence number and its kind.
 */
const EMPTY: Uint8Array = new Uint8Array(0);

/** Where an entry's key and value stand, without copying them. One hidden class for all iterators. */
export class Entry {
  keyBytes: Uint8Array = EMPTY;
  keyStart = 0;
  keyEnd = 0;
  valueBytes: Uint8Array = EMPTY;
  valueStart = 0;
  valueEnd = 0;
  sequence = 0;
  /** One of {@link EntryKind}. */
  kind = 0;

  /** Makes it say that a delete hides the key, whatever it said before. */
  setDeleted(sequence: number): void {
    this.valueStart = this.valueEnd;
    this.sequence = sequence;
    this.kind = EntryKind.Delete;
  }

  /** Keeps no memory any more: what it points to is another's from now on. */
  release(): void {
    this.keyBytes = EMPTY;
    this.valueBytes = EMPTY;
  }
}

/**
 * On disk and in logs. Never renumber; 4..255 are reserved. The lowest bit says what a kind does with its key: 1 gives it a
 * value, 0 takes it away.
 *
 *   RangeDelete    key: the first one that is deleted; value: see range-delete.ts. In logs and memtables only
 *   ExpiringPut    its value begins with the moment from which on the entry counts as deleted, 8 bytes (expiry.ts)
 */
export const EntryKind = { Delete: 0, Put: 1, RangeDelete: 2, ExpiringPut: 3 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** The largest kind that this release knows. */
export const MAX_KIND: EntryKind = EntryKind.ExpiringPut;

/** Whether an entry of this kind gives its key a value, be it for a time. */
export function givesValue(kind: number): boolean {
  return (kind & 1) === 1;
}
