/**
 * Finds the intact records of a log behind damage, in a file that may be larger than memory: record-search.ts, part by part.
 *
 *   part      [...................................]
 *   next                        [...................................]     half of it further on
 *
 * So each record of up to half a part is found, wherever it lies. Larger ones (one value of more than 32 MiB) are found if they
 * begin early enough in a part.
 *
 * Thread: main.
 */
import { type FoundRecord, RecordSearch } from '../open/record-search.ts';
import type { FileWindow } from './file-window.ts';

const PART_BYTES: number = 64 * 1024 * 1024;

export class LogSearch {
  readonly #window: FileWindow;
  readonly #end: number;
  readonly #logNumber: number;
  readonly #partBytes: number;
  readonly #stepBytes: number;
  #start = 0;
  #length = -1;
  #search: RecordSearch | undefined;

  /** Looks for records of log `logNumber` that end at or before `end`. */
  constructor(window: FileWindow, end: number, logNumber: number, partBytes: number = PART_BYTES) {
    this.#partBytes = partBytes;
    this.#stepBytes = Math.ceil(partBytes / 2);
    this.#window = window;
    this.#end = end;
    this.#logNumber = logNumber;
  }

  /** The first intact record at or behind `from`. */
  next(from: number): FoundRecord | undefined {
    for (let at = from; at < this.#end; ) {
      const search = this.#searchFrom(at);
      const isLast = this.#start + this.#length >= this.#end;
      // What lies in the second half may be inside of one that this part cuts off: a value that holds a part of a log.
      const found = search.next(at - this.#start, isLast ? this.#length : this.#stepBytes);
      if (found !== undefined) return { at: this.#start + found.at, header: found.header };
      if (isLast) return undefined;
      at = Math.max(at, this.#start + this.#stepBytes);
    }
    return undefined;
  }

  /** The search of a part with `position` in its first half, if the log goes on that far. */
  #searchFrom(position: number): RecordSearch {
    const offset = position - this.#start;
    const isLast = this.#start + this.#length >= this.#end;
    const isInside = offset >= 0 && (isLast ? offset <= this.#length : offset < this.#stepBytes);
    if (this.#search !== undefined && isInside) return this.#search;
    this.#start = position;
    this.#length = Math.min(this.#partBytes, this.#end - position);
    const bytes = this.#window.copy(position, position + this.#length);
    this.#search = new RecordSearch(bytes, 0, bytes.length, this.#logNumber);
    return this.#search;
  }
}
