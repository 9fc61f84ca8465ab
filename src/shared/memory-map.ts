/**
 * Real memory mapping without a compiler: mmap(2) called through koffi, which is optional and loaded at the first use. The
 * only importer of koffi.
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
 *             process; pread would report an error. Whoever fears that sets `mmap: false`.
 * Thread:     any; mappings are per thread.
 * Not chosen: leaving it to the collector alone: deleted tables then held their disk space for seconds and longer.
 */
import { createRequire } from 'node:module';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;
/** mmap's MAP_FAILED, as an unsigned address. */
const MAP_FAILED = 0xffffffffffffffffn;

interface Calls {
  map(fd: number, byteLength: number): bigint;
  unmap(address: bigint, byteLength: number): void;
  view(address: bigint, byteLength: number): ArrayBuffer;
}

interface Koffi {
  load(path: null): { func(declaration: string): (...args: unknown[]) => unknown };
  view(address: bigint, byteLength: number): ArrayBuffer;
}

let calls: Calls | undefined;
let isLoaded = false;

/** undefined where koffi is missing or the platform has no mmap. */
function loadCalls(): Calls | undefined {
  if (isLoaded) return calls;
  isLoaded = true;
  if (process.platform === 'win32') return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const libc = koffi.load(null);
    const mmap = libc.func(
      'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
    );
    const munmap = libc.func('int munmap(void *address, size_t length)');
    calls = {
      map: (fd, byteLength) =>
        BigInt(mmap(null, byteLength, PROT_READ_WRITE, MAP_PRIVATE, fd, 0) as bigint | number),
      unmap: (address, byteLength) => void munmap(address, byteLength),
      view: (address, byteLength) => koffi.view(address, byteLength),
    };
  } catch {
    // An optional package that is absent, or built for another platform: pread does the same work.
    calls = undefined;
  }
  return calls;
}

const mappings = new FinalizationRegistry<{ readonly address: bigint; readonly byteLength: number }>(
  ({ address, byteLength }) => calls?.unmap(address, byteLength),
);

/** Whether files can be mapped here. Loads koffi, about 50 ms the first time. */
export function canMapFiles(): boolean {
  return loadCalls() !== undefined;
}

/** A file in memory. */
export interface FileMapping {
  readonly bytes: Uint8Array;
  /** Gives the memory back, see Lifetime above. Idempotent. */
  unmap(): void;
}

/** The first `byteLength` bytes of an open file, mapped; undefined when that is not possible. */
export function mapFile(fd: number, byteLength: number): FileMapping | undefined {
  const native = loadCalls();
  if (native === undefined || byteLength === 0) return undefined;
  const address = native.map(fd, byteLength);
  if (BigInt.asUintN(64, address) === MAP_FAILED || address === 0n) return undefined;
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
  return { bytes: new Uint8Array(buffer), unmap };
}
