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

  /** Keeps no memory any more: what it points to is another's from now on. */
  release(): void {
    this.keyBytes = EMPTY;
    this.valueBytes = EMPTY;
  }
}

/** On disk and in logs. Never renumber. 2..255 are reserved: range delete, expiry, merge operand, separated value. */
export const EntryKind = { Delete: 0, Put: 1 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];
