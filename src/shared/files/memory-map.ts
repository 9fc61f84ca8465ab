/**
 * Real memory mapping without a compiler: mmap(2), where koffi is installed (files/system-calls.ts).
 *
 * A mapping is private and writable: a stray write into a view changes a copy of the page, never the file, and does not
 * kill the process as a write to read-only memory would.
 *
 * Lifetime:   a mapping is given back by `unmap`, or when its ArrayBuffer is collected. It outlives the descriptor it was
 *             made from and the file's name: a table deleted under it stays readable, and its space taken.
 *             After `unmap` a view of it must not be touched: reading unmapped memory ends the process. BlockSource keeps
 *             that promise, as what it hands out is valid only until its close, and every block is decoded into memory of
 *             its own.
 * Hazard:     a page that the disk can't deliver, or of a file that somebody else truncates, is a SIGBUS, which ends the
 *             process; pread would report an error. Whoever fears that sets `mmap: false`. Where the system says what memory has
 *             (Linux), readers touch only that (page-residency.ts), so it takes a page that has left memory since.
 * Thread:     any; mappings are per thread.
 * Not chosen: leaving it to the collector alone: deleted tables then held their disk space for seconds and longer.
 */
import { type SystemCalls, systemCalls } from './system-calls.ts';

const mappings = new FinalizationRegistry<{ readonly address: number; readonly byteLength: number }>(
  ({ address, byteLength }) => systemCalls()?.unmap(address, byteLength),
);

/** Whether files can be mapped here. Loads koffi, about 50 ms the first time. */
export function canMapFiles(): boolean {
  return systemCalls() !== undefined;
}

/** Which pages of a mapping are in memory. */
export interface PageMap {
  readonly pageBytes: number;
  /** How many of `pageCount` pages from page `first` on, at most as many as `pages` has bytes, are; their lowest bits say
   * which. */
  residentPages(first: number, pageCount: number, pages: Uint8Array): number;
}

/** A file in memory. */
export interface FileMapping {
  readonly bytes: Uint8Array;
  /** undefined: the system doesn't say. Not to be asked after `unmap`. */
  readonly pages?: PageMap | undefined;
  /** Gives the memory back, see Lifetime above. Idempotent. */
  unmap(): void;
}

/**
 * The first `byteLength` bytes of an open file, mapped; undefined when that is not possible. `isOurs`: the file belongs to the
 * user of this process. Of others' files Linux says that all of it is in memory.
 */
export function mapFile(fd: number, byteLength: number, isOurs: boolean): FileMapping | undefined {
  const native = systemCalls();
  if (native === undefined || byteLength === 0) return undefined;
  const address = native.map(fd, byteLength);
  if (address === undefined) return undefined;
  const buffer = native.view(address, byteLength);
  const token = {};
  mappings.register(buffer, { address, byteLength }, token);
  let isMapped = true;
  const unmap = (): void => {
    if (!isMapped) return;
    isMapped = false;
    mappings.unregister(token);
    native.unmap(address, byteLength);
  };
  return { bytes: new Uint8Array(buffer), pages: isOurs ? pageMapOf(native, address) : undefined, unmap };
}

function pageMapOf(native: SystemCalls, address: number): PageMap | undefined {
  const { pageBytes, residentPages } = native;
  if (residentPages === undefined) return undefined;
  return {
    pageBytes,
    residentPages: (first, pageCount, pages) => residentPages(address + first * pageBytes, pageCount, pages),
  };
}
