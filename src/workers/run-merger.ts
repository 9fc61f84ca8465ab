/**
 * Merges the runs of an ingestion: every key once, with the value of the newest run that has it.
 *
 *   a loser tree over the runs: each inner node keeps the loser of the match played there, so that a run that moves plays
 *   one match per level on its way up, against runs that have not moved
 *
 * Invariants: keys strictly rise. Of equal keys the run of the highest age wins; the others are passed over, and counted.
 * Owns:       the copy of the current key, to know the next record with the same one. The readers are the caller's.
 * Thread:     any; synchronous.
 * Not chosen: MergingIterator over entries (src/shared). It also walks backwards and knows sequences; here a head decides
 *             most matches by comparing two numbers.
 */
import { compareBytes, copyInto } from '../shared/base/bytes.ts';
import type { RunReader } from './run-reader.ts';

const NONE = -1;

export class RunMerger {
  /** Where the current record stands. */
  current: RunReader | undefined;
  /** Records read so far, those passed over included. */
  recordsRead = 0;
  readonly #readers: readonly RunReader[];
  readonly #sharedLength: number;
  readonly #hasEnded: boolean[];
  /** losers[0] is the winner of all; the others by node of a complete binary tree whose leaves are the readers. */
  readonly #losers: Int32Array;
  #isStarted = false;
  #key: Uint8Array = new Uint8Array(64);
  #keyLength = NONE;
  #head = 0;

  constructor(readers: readonly RunReader[], sharedLength: number) {
    this.#readers = readers;
    this.#sharedLength = sharedLength;
    this.#hasEnded = readers.map(() => false);
    this.#losers = new Int32Array(readers.length);
  }

  next(): boolean {
    if (!this.#isStarted) this.#start();
    else this.#advance();
    while (this.current !== undefined && this.#isRepeated(this.current)) this.#advance();
    if (this.current === undefined) return false;
    this.#noteKey(this.current);
    return true;
  }

  #start(): void {
    this.#isStarted = true;
    const count = this.#readers.length;
    if (count === 0) return;
    this.#readers.forEach((reader, i) => {
      this.#hasEnded[i] = !reader.seekToFirst();
    });
    this.#losers.fill(NONE);
    // Each leaf climbs until it meets an empty node, and waits there for its opponent.
    for (let i = 0; i < count; i++) {
      let winner = i;
      let node = (i + count) >>> 1;
      for (; node > 0; node >>>= 1) {
        const opponent = this.#losers[node]!;
        if (opponent === NONE) {
          this.#losers[node] = winner;
          break;
        }
        if (this.#isBefore(opponent, winner)) {
          this.#losers[node] = winner;
          winner = opponent;
        }
      }
      if (node === 0) this.#losers[0] = winner;
    }
    this.#lead();
  }

  #advance(): void {
    let winner = this.#losers[0]!;
    if (!this.#readers[winner]!.next()) this.#hasEnded[winner] = true;
    const losers = this.#losers;
    for (let node = (winner + this.#readers.length) >>> 1; node > 0; node >>>= 1) {
      const opponent = losers[node]!;
      if (this.#isBefore(opponent, winner)) {
        losers[node] = winner;
        winner = opponent;
      }
    }
    losers[0] = winner;
    this.#lead();
  }

  #lead(): void {
    const winner = this.#losers[0]!;
    this.current = this.#hasEnded[winner] ? undefined : this.#readers[winner]!;
    if (this.current !== undefined) this.recordsRead++;
  }

  #isBefore(a: number, b: number): boolean {
    if (this.#hasEnded[a]) return false;
    if (this.#hasEnded[b]) return true;
    const x = this.#readers[a]!;
    const y = this.#readers[b]!;
    if (x.head !== y.head) return x.head < y.head;
    const shared = this.#sharedLength;
    const order = compareBytes(
      x.bytes,
      x.keyStart + shared,
      x.keyEnd,
      y.bytes,
      y.keyStart + shared,
      y.keyEnd,
    );
    return order === 0 ? x.age > y.age : order < 0;
  }

  #isRepeated(reader: RunReader): boolean {
    const length = reader.keyEnd - reader.keyStart;
    if (reader.head !== this.#head || length !== this.#keyLength) return false;
    const { bytes, keyStart } = reader;
    for (let i = length - 1; i >= 0; i--) if (bytes[keyStart + i] !== this.#key[i]) return false;
    return true;
  }

  #noteKey(reader: RunReader): void {
    const length = reader.keyEnd - reader.keyStart;
    if (length > this.#key.length) this.#key = new Uint8Array(2 * length);
    copyInto(this.#key, 0, reader.bytes, reader.keyStart, reader.keyEnd);
    this.#keyLength = length;
    this.#head = reader.head;
  }
}
