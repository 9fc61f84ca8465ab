/**
 * What a job leaves of files in the system's page cache: what was there before, and no more.
 *
 *   an input opens     which of its pages are in memory is noted (mincore); unless all are, the system reads none ahead of us
 *   a piece is read    pages that were not are given up again behind the reader (posix_fadvise)
 *   a piece is written when less than a WARM_SHARE of what was read for it was in memory: given up once it is on the disk, unless
 *   it
 *                      is at the end of its file, where the index and the filter are (paced-files.ts)
 *
 * Otherwise a compaction of what nobody reads pushes out what everybody does. Only where koffi is; for files worth the asking.
 *
 * Invariants: what was in memory stays there, as input until it is deleted, and as output. Nothing is ever wrong for it.
 * Thread:     the job's.
 * Measured:   60 MiB read twice, then a compaction of 290 MiB of cold tables, both in 230 MiB (the system reads 8 MiB ahead):
 *             without this all of the 60 had to be read again, with it nothing. Without noReadAhead() most was lost, as what is
 *             read ahead of nine inputs is 72 MiB; the compaction took as long.
 * Not chosen: giving up cold inputs as a whole: blocks that are read again and again lie among others that are not.
 */
import type { StorageFile } from '../shared/files/file-system.ts';

/** Smaller ones push out little, and most jobs of small stores have none other: they need not load koffi. */
const LEAST_FILE_BYTES: number = 4 * 1024 * 1024;
/** A block that is read again and again makes this much of a large piece warm. */
const WARM_SHARE = 0.125;

/** One bit of what was in memory of an input, for each page. */
interface Residency {
  readonly pageBytes: number;
  readonly pages: Uint8Array;
}

export class PageCare {
  /** Of inputs, since the last piece was written. */
  #readPages = 0;
  #warmPages = 0;
  #wasCold = false;

  /** What is in memory of an input that is about to be read; undefined: all of it may stay. */
  lookAt(file: StorageFile): Residency | undefined {
    if (file.giveUpPages === undefined || file.size() < LEAST_FILE_BYTES) return undefined;
    const mapping = file.map?.();
    try {
      const map = mapping?.pages;
      if (map === undefined) return undefined;
      const pages = new Uint8Array(Math.ceil(file.size() / map.pageBytes));
      if (map.residentPages(0, pages.length, pages) < pages.length) file.noReadAhead?.();
      return { pageBytes: map.pageBytes, pages };
    } finally {
      mapping?.unmap();
    }
  }

  /** Bytes from `start` to `end` of an input were read; from `since` on nothing was given up yet. Returns up to where it was. */
  haveRead(
    file: StorageFile,
    { pageBytes, pages }: Residency,
    since: number,
    start: number,
    end: number,
  ): number {
    const first = Math.floor(start / pageBytes);
    const behind = Math.min(pages.length, Math.ceil(end / pageBytes));
    for (let page = first; page < behind; page++) this.#warmPages += pages[page]! & 1;
    this.#readPages += behind - first;
    // The page in which the next piece begins is given up with that one.
    const last = Math.floor(end / pageBytes);
    for (let page = Math.floor(since / pageBytes); page < last; page++) {
      if ((pages[page]! & 1) === 1) continue;
      let coldEnd = page + 1;
      while (coldEnd < last && (pages[coldEnd]! & 1) === 0) coldEnd++;
      file.giveUpPages?.(page * pageBytes, (coldEnd - page) * pageBytes);
      page = coldEnd;
    }
    return last * pageBytes;
  }

  /** Whether the piece that is about to be written was made of what nobody reads. */
  isNextCold(): boolean {
    // Otherwise it is the rest of what was made of the same.
    if (this.#readPages > 0) this.#wasCold = this.#warmPages < this.#readPages * WARM_SHARE;
    this.#readPages = 0;
    this.#warmPages = 0;
    return this.#wasCold;
  }
}
