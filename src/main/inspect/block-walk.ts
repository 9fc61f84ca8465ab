/**
 * Walks the entries of a table's blocks, one block after the other, as far as each can be read.
 *
 * Invariants: what is counted was decoded from a block whose checksum matched. Entries rise by key and fall by sequence, across
 *             blocks as well, or the block has a fault.
 * Thread:     main.
 */
import { compareBytes } from '../../shared/base/bytes.ts';
import { EntryKind } from '../../shared/base/entry.ts';
import type { StorageError } from '../../shared/base/errors.ts';
import type { Block } from '../../shared/table/block.ts';
import { BlockIterator } from '../../shared/table/block-iterator.ts';
import { faultOf } from './inspected-file.ts';

export interface WalkedBlock {
  entries: number;
  tombstones: number;
  firstKey: Uint8Array | undefined;
  lastKey: Uint8Array | undefined;
  fault: StorageError | undefined;
}

/** An entry of a table. The bytes are valid until the next one. */
export interface WalkedEntry {
  readonly sequence: number;
  /** One of EntryKind. */
  readonly entryKind: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class BlockWalker {
  readonly #iterator = new BlockIterator();
  /** Of the entry before; -1: there was none. */
  #key: Uint8Array = new Uint8Array(256);
  #keyLength = -1;
  #sequence = 0;
  entries = 0;
  tombstones = 0;
  /** Of keys and values. */
  rawBytes = 0;

  /** `separator`: what the index says no key of the block lies above. */
  walk(block: Block, separator: Uint8Array | undefined): WalkedBlock {
    const walked: WalkedBlock = {
      entries: 0,
      tombstones: 0,
      firstKey: undefined,
      lastKey: undefined,
      fault: undefined,
    };
    const iterator = this.#iterator;
    try {
      iterator.reset(block);
      for (let on = iterator.seekToFirst(); on; on = iterator.next()) {
        if (!this.#isDue()) walked.fault ??= block.corrupt('entries are out of order');
        this.#keep();
        const { keyBytes, keyEnd, valueStart, valueEnd, kind } = iterator.entry;
        walked.firstKey ??= keyBytes.slice(0, keyEnd);
        walked.entries++;
        if (kind === EntryKind.Delete) walked.tombstones++;
        this.rawBytes += keyEnd + valueEnd - valueStart;
      }
    } catch (error) {
      walked.fault = faultOf(error);
    }
    this.entries += walked.entries;
    this.tombstones += walked.tombstones;
    if (walked.entries === 0) return walked;
    walked.lastKey = this.#key.slice(0, this.#keyLength);
    if (separator !== undefined && this.#isAbove(separator))
      walked.fault ??= block.corrupt('block has keys above its separator');
    return walked;
  }

  /** The first `count` entries of the block: so many could be read. */
  *entriesOf(block: Block, count: number): Generator<WalkedEntry, void> {
    const iterator = this.#iterator;
    iterator.reset(block);
    for (let i = 0; i < count; i++) {
      if (i === 0) iterator.seekToFirst();
      else iterator.next();
      const { keyBytes, keyEnd, valueBytes, valueStart, valueEnd, sequence, kind } = iterator.entry;
      yield {
        sequence,
        entryKind: kind,
        key: keyBytes.subarray(0, keyEnd),
        value: valueBytes.subarray(valueStart, valueEnd),
      };
    }
  }

  /** Whether the current entry may follow the one before. */
  #isDue(): boolean {
    if (this.#keyLength < 0) return true;
    const { keyBytes, keyEnd, sequence } = this.#iterator.entry;
    const order = compareBytes(this.#key, 0, this.#keyLength, keyBytes, 0, keyEnd);
    return order < 0 || (order === 0 && sequence < this.#sequence);
  }

  #keep(): void {
    const { keyBytes, keyEnd, sequence } = this.#iterator.entry;
    if (keyEnd > this.#key.length) this.#key = new Uint8Array(2 * keyEnd);
    this.#key.set(keyBytes.subarray(0, keyEnd));
    this.#keyLength = keyEnd;
    this.#sequence = sequence;
  }

  #isAbove(separator: Uint8Array): boolean {
    return compareBytes(this.#key, 0, this.#keyLength, separator, 0, separator.length) > 0;
  }
}
