/**
 * What was posted to one client and not taken out of its port: how much, and when it is too much.
 *
 * Thread: main. Pure, apart from its own counts.
 */

import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { ViewChange } from '../../shared/threads/share-protocol.ts';

/** How far behind a client may be. Beyond, it is closed. */
export interface UnreadLimits {
  readonly changes: number;
  /** About, of the descriptions of tables in them. */
  readonly bytes: number;
  /** Of memory of memtables that the store has given up since: messages that wait may refer to it, so it is not free yet. */
  readonly strandedBytes: number;
}

const MIB: number = 1024 * 1024;

/** Hours of a busy store. Catching up takes a second or so. */
export const DEFAULT_UNREAD_LIMITS: UnreadLimits = {
  changes: 65_536,
  bytes: 64 * MIB,
  strandedBytes: 256 * MIB,
};

/** A message without tables, and what each table adds besides its keys. */
const CHANGE_BYTES = 200;
const TABLE_BYTES = 400;

export class Unread {
  #readUpTo: number;
  /** Of each change that waits, oldest first. */
  readonly #sizes: number[] = [];
  #bytes = 0;
  #strandedBytes = 0;

  /** `view`: the one that the client begins with. */
  constructor(view: number) {
    this.#readUpTo = view;
  }

  get count(): number {
    return this.#sizes.length;
  }

  add(change: ViewChange): void {
    const size = sizeOf(change);
    this.#sizes.push(size);
    this.#bytes += size;
  }

  /** Memory is given up that waiting messages may refer to. */
  strand(byteLength: number): void {
    if (this.#sizes.length > 0) this.#strandedBytes += byteLength;
  }

  /** The client has got to view `number`; false: it can't have. */
  read(number: unknown): boolean {
    if (typeof number !== 'number' || (number | 0) !== number) return false;
    const count = (number - this.#readUpTo) | 0;
    if (count < 0 || count > this.#sizes.length) return false;
    this.#readUpTo = number;
    for (const size of this.#sizes.splice(0, count)) this.#bytes -= size;
    if (this.#sizes.length === 0) this.#strandedBytes = 0;
    return true;
  }

  /** Why the client can't go on, if it can't. */
  problem(limits: UnreadLimits): string | undefined {
    const isWithin =
      this.#sizes.length <= limits.changes &&
      this.#bytes <= limits.bytes &&
      this.#strandedBytes <= limits.strandedBytes;
    if (isWithin) return undefined;
    return `the client was closed: its thread has not turned its event loop nor read for ${this.#sizes.length} changes of the store`;
  }
}

function sizeOf(change: ViewChange): number {
  if (change.kind !== 'edited') return CHANGE_BYTES;
  const { added, removed } = change.edit;
  return added.reduce((sum, { table }) => sum + tableSize(table), CHANGE_BYTES + 16 * removed.length);
}

function tableSize({ smallestKey, largestKey }: TableInfo): number {
  return TABLE_BYTES + smallestKey.length + largestKey.length;
}
