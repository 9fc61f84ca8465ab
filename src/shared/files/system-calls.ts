/**
 * Calls of the C library that Node has no binding for, through koffi, which is optional and loaded at the first use. The only
 * importer of koffi.
 *
 *   map, unmap, view     mmap(2), munmap(2): files as memory                           wherever koffi is, but not on Windows
 *   residentPages        mincore(2): which pages of a mapping are in memory             Linux
 *   readNoWait           preadv2(2) with RWF_NOWAIT: reads what is in memory            Linux, with a C library that has it
 *   dontNeed, noReadAhead posix_fadvise(2): gives up what memory has of a file          Linux
 *
 * Each is absent where it is not to be had, and everything works without. Addresses are numbers: those of programs have 47 bits.
 *
 * Measured (a machine in use, quickest of many): a call of anything through koffi 1.4 us; mincore of 64 pages 1.9 us, of 1,024
 * pages 2.3 us, as long as they are in the process's page table, else 20 ns a page more; preadv2 of 4 KiB 1.9 us, where
 * fs.readSync took 3.2.
 *
 * Thread:     any; each loads koffi for itself.
 * Not chosen: POSIX_FADV_WILLNEED for reads that wait: no more of them came back (measured, ten at a time, on a disk of its own
 *             speed and on one of 2,000 reads a second), and some calls took 5 ms. An addon of our own: it needs a compiler.
 */
import { createRequire } from 'node:module';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;
/** mmap's MAP_FAILED, as an unsigned address. */
const MAP_FAILED = 0xffffffffffffffffn;
const RWF_NOWAIT = 8;
const POSIX_FADV_RANDOM = 1;
const POSIX_FADV_DONTNEED = 4;

export interface SystemCalls {
  /** The address of the first `byteLength` bytes of a file, private and writable; undefined: the system refuses. */
  map(fd: number, byteLength: number): number | undefined;
  unmap(address: number, byteLength: number): void;
  view(address: number, byteLength: number): ArrayBuffer;
  readonly pageBytes: number;
  /** How many of the pages from `address` (of a page) on are in memory, and in `pages` which: the lowest bit of each byte. */
  readonly residentPages: ((address: number, pageCount: number, pages: Uint8Array) => number) | undefined;
  /** What is in memory of a file from `position` on, into `into`; -1: nothing, or `wouldNeverTell`. */
  readonly readNoWait: ((fd: number, into: Uint8Array, position: number) => number) | undefined;
  /** Of the last readNoWait that returned -1: the file system can't do that, and never will. */
  wouldNeverTell(): boolean;
  /** Reads through this descriptor bring into memory what was asked for, and no more. */
  readonly noReadAhead: ((fd: number) => void) | undefined;
  /** Gives up what memory has of a part of a file, but what has yet to be written; 0 bytes: all from `position` on. */
  readonly dontNeed: ((fd: number, position: number, byteLength: number) => void) | undefined;
}

type NativeCall = (...args: unknown[]) => unknown;

interface Koffi {
  load(path: null): { func(declaration: string): NativeCall };
  view(address: bigint, byteLength: number): ArrayBuffer;
  address(memory: Uint8Array | Uint32Array): bigint;
  errno(): number;
}

let calls: SystemCalls | undefined;
let isLoaded = false;

/** undefined where koffi is missing or the platform has no mmap. Loads koffi, 15 to 50 ms the first time. */
export function systemCalls(): SystemCalls | undefined {
  if (isLoaded) return calls;
  isLoaded = true;
  if (process.platform === 'win32') return undefined;
  try {
    calls = loadCalls(createRequire(import.meta.url)('koffi') as Koffi);
  } catch {
    // An optional package that is absent, or built for another platform: pread does the same work.
    calls = undefined;
  }
  return calls;
}

function loadCalls(koffi: Koffi): SystemCalls {
  const libc = koffi.load(null);
  const mmap = libc.func(
    'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
  );
  const munmap = libc.func('int munmap(size_t address, size_t length)');
  const isLinux = process.platform === 'linux';
  const optional = (declaration: string): NativeCall | undefined => {
    try {
      return isLinux ? libc.func(declaration) : undefined;
    } catch {
      // This C library hasn't got it.
      return undefined;
    }
  };
  const fadvise = optional('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)');
  const pageSize = optional('int getpagesize()');
  const mincore = optional('int mincore(size_t address, size_t length, void *pages)');
  const preadv2 = optional('int64_t preadv2(int fd, size_t parts, int count, int64_t offset, int flags)');
  return {
    map: (fd, byteLength) => {
      const address = BigInt(mmap(null, byteLength, PROT_READ_WRITE, MAP_PRIVATE, fd, 0) as bigint | number);
      return BigInt.asUintN(64, address) === MAP_FAILED || address === 0n ? undefined : Number(address);
    },
    unmap: (address, byteLength) => void munmap(address, byteLength),
    view: (address, byteLength) => koffi.view(BigInt(address), byteLength),
    pageBytes: Number(pageSize?.() ?? 0),
    residentPages:
      mincore === undefined || pageSize === undefined
        ? undefined
        : residentPages(mincore, Number(pageSize())),
    readNoWait: preadv2 === undefined ? undefined : readNoWait(preadv2, koffi),
    wouldNeverTell: () => !isOfTheMoment(koffi.errno()),
    noReadAhead: fadvise && ((fd) => void fadvise(fd, 0, 0, POSIX_FADV_RANDOM)),
    dontNeed:
      fadvise && ((fd, position, byteLength) => void fadvise(fd, position, byteLength, POSIX_FADV_DONTNEED)),
  };
}

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const ENOMEM = 12;

/** EAGAIN is what was asked for; what an error is about tells a read that may wait. */
function isOfTheMoment(errno: number): boolean {
  return errno === EAGAIN || errno === EINTR || errno === EIO || errno === ENOMEM;
}

function residentPages(mincore: NativeCall, pageBytes: number): SystemCalls['residentPages'] {
  return (address, pageCount, pages) => {
    if (mincore(address, pageCount * pageBytes, pages) !== 0) return 0;
    let count = 0;
    for (let i = 0; i < pageCount; i++) count += pages[i]! & 1;
    return count;
  };
}

function readNoWait(preadv2: NativeCall, koffi: Koffi): SystemCalls['readNoWait'] {
  // struct iovec of 64-bit systems, which are all that have koffi: address and length of one part, in words of 32 bits.
  const part = new Uint32Array(4);
  const partAddress = Number(koffi.address(part));
  // Most reads in a row go to one buffer, and asking where that is costs as much as half a call.
  let known: ArrayBufferLike | undefined;
  let knownAddress = 0;
  return (fd, into, position) => {
    if (into.buffer !== known) {
      knownAddress = Number(koffi.address(new Uint8Array(into.buffer)));
      known = into.buffer;
    }
    const address = knownAddress + into.byteOffset;
    part[0] = address;
    part[1] = address / 2 ** 32;
    part[2] = into.length;
    return Number(preadv2(fd, partAddress, 1, position, RWF_NOWAIT));
  };
}
