/**
 * The switchboard of the faulty file system: one SharedArrayBuffer that the test's thread writes and every thread's
 * file system obeys.
 *
 *   Int32 word  0  fault (index in FAULTS)       6  seed of the rate              11  omission (index in OMISSIONS)
 *               1  fails at the n-th match       7  matching operations so far    12  corrupts the n-th matching read
 *               2  1: and all matches after it   8  faults injected so far        13  file types whose reads it corrupts
 *               3  rate: faults per million      9  latency in ms                 14  1: scribbles
 *               4  operation kinds, as bits     10  latency: kinds, as bits       15  buffers changed during a write
 *               5  file types, as bits          16  latency: file types, as bits  17  corrupted reads
 *               20 + type           handles open now, by file type
 *               30 + type           handles ever opened, by file type
 *               40 + kind * 5 + type   faults injected, by place
 *
 * Thread: any; words are only touched through Atomics.
 */
import { basename } from 'node:path';
import { parseFileName } from '../../../src/shared/files/file-names.ts';

export const OPERATION_KINDS = [
  'open',
  'create',
  'read',
  'write',
  'datasync',
  'size',
  'close',
  'rename',
  'unlink',
  'makeDirectory',
  'removeDirectory',
  'list',
  'stat',
  'realPath',
  'syncDirectory',
  'link',
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

export const FILE_TYPES = ['log', 'table', 'manifest', 'lock', 'directory', 'run'] as const;
export type FileType = (typeof FILE_TYPES)[number];

/**
 * `short-write` and `short-read` move half of what they were given and say so, as a system may at any time; `truncated`: a read
 * finds the end of the file; `ESTALE`: what a read of a file gets that has vanished from a network disk. `hang`: what is
 * asynchronous waits until disarm(), and then goes on as if nothing had been.
 */
export const FAULTS = [
  'none',
  'EIO',
  'ENOSPC',
  'EMFILE',
  'short-write',
  'short-read',
  'truncated',
  'ESTALE',
  'hang',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Those that only one kind of operation can have. */
const KIND_OF_FAULT: Partial<Record<Fault, OperationKind>> = {
  'short-write': 'write',
  'short-read': 'read',
  truncated: 'read',
};

/** One kind of sync that is reported done and never carried out: what the power-loss search must notice. */
export const OMISSIONS = [
  'none',
  'sync of a table',
  'sync of the directory before the manifest',
  'sync of the manifest',
  'sync of the directory after the rename',
  "sync of a new log's directory entry",
  'sync of a log',
  'sync of the parent of a new store',
] as const;
export type Omission = (typeof OMISSIONS)[number];

export interface FaultPlan {
  readonly fault: Exclude<Fault, 'none'>;
  /** Fails the n-th matching operation from now on; 0 is the next one. */
  readonly at?: number;
  /** ... and every matching one after it. */
  readonly lasting?: boolean;
  /** Instead of `at`: so many of a million matching operations fail. */
  readonly perMillion?: number;
  readonly seed?: number;
  readonly kinds?: readonly OperationKind[];
  readonly types?: readonly FileType[];
}

export interface LatencyPlan {
  readonly ms: number;
  readonly kinds?: readonly OperationKind[];
  readonly types?: readonly FileType[];
}

const WORD_COUNT: number = 40 + OPERATION_KINDS.length * FILE_TYPES.length;
const NEVER = 0x7fffffff;

export class FaultControl {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer(WORD_COUNT * 4);
    this.#words = new Int32Array(this.buffer);
    if (buffer === undefined) Atomics.store(this.#words, 12, NEVER);
  }

  /** Counts from zero again: `at` is about what happens after this call. */
  arm(plan: FaultPlan): void {
    const words = this.#words;
    Atomics.store(words, 0, 0);
    Atomics.store(words, 1, plan.at ?? NEVER);
    Atomics.store(words, 2, plan.lasting ? 1 : 0);
    Atomics.store(words, 3, plan.perMillion ?? 0);
    Atomics.store(words, 4, bitsOf(OPERATION_KINDS, plan.kinds));
    Atomics.store(words, 5, bitsOf(FILE_TYPES, plan.types));
    Atomics.store(words, 6, plan.seed ?? 0);
    Atomics.store(words, 7, 0);
    Atomics.store(words, 8, 0);
    for (let i = 40; i < WORD_COUNT; i++) Atomics.store(words, i, 0);
    Atomics.store(words, 0, FAULTS.indexOf(plan.fault));
  }

  disarm(): void {
    Atomics.store(this.#words, 0, 0);
  }

  get injectedCount(): number {
    return Atomics.load(this.#words, 8);
  }

  /** Where faults were injected since arm(): `write of a log`, ... */
  injectedPlaces(): string[] {
    return OPERATION_KINDS.flatMap((kind, k) =>
      FILE_TYPES.filter((_, t) => Atomics.load(this.#words, placeWord(k, t)) > 0).map(
        (type) => `${kind} of a ${type}`,
      ),
    );
  }

  /** Whether operations that hang are to hang on. */
  get isHanging(): boolean {
    return FAULTS[Atomics.load(this.#words, 0)] === 'hang';
  }

  /** For the file system, once per operation: the fault to inject into it. */
  takeFault(kind: OperationKind, type: FileType, isAsync = false): Fault {
    const words = this.#words;
    const fault = FAULTS[Atomics.load(words, 0)]!;
    if (fault === 'none' || (fault === 'hang' && !isAsync)) return 'none';
    if ((KIND_OF_FAULT[fault] ?? kind) !== kind) return 'none';
    const k = OPERATION_KINDS.indexOf(kind);
    const t = FILE_TYPES.indexOf(type);
    if ((Atomics.load(words, 4) & (1 << k)) === 0 || (Atomics.load(words, 5) & (1 << t)) === 0) return 'none';
    const index = Atomics.add(words, 7, 1);
    const at = Atomics.load(words, 1);
    const isHit = Atomics.load(words, 2) === 1 ? index >= at : index === at;
    if (!isHit && mixed(index, Atomics.load(words, 6)) % 1_000_000 >= Atomics.load(words, 3)) return 'none';
    Atomics.add(words, 8, 1);
    Atomics.add(words, placeWord(k, t), 1);
    return fault;
  }

  omit(omission: Omission): void {
    Atomics.store(this.#words, 11, OMISSIONS.indexOf(omission));
  }

  get omission(): Omission {
    return OMISSIONS[Atomics.load(this.#words, 11)]!;
  }

  setLatency(plan: LatencyPlan | undefined): void {
    Atomics.store(this.#words, 9, 0);
    Atomics.store(this.#words, 10, bitsOf(OPERATION_KINDS, plan?.kinds));
    Atomics.store(this.#words, 16, bitsOf(FILE_TYPES, plan?.types));
    Atomics.store(this.#words, 9, plan?.ms ?? 0);
  }

  latencyMs(kind: OperationKind, type: FileType): number {
    const ms = Atomics.load(this.#words, 9);
    if (ms === 0) return 0;
    const isMeant =
      (Atomics.load(this.#words, 10) & (1 << OPERATION_KINDS.indexOf(kind))) !== 0 &&
      (Atomics.load(this.#words, 16) & (1 << FILE_TYPES.indexOf(type))) !== 0;
    return isMeant ? ms : 0;
  }

  /** Flips a bit in what the n-th read from now on of a file of these types returns, on its way up. */
  corruptRead(at: number, types: readonly FileType[]): void {
    Atomics.store(this.#words, 13, bitsOf(FILE_TYPES, types));
    Atomics.store(this.#words, 17, 0);
    Atomics.store(this.#words, 12, at);
  }

  takesCorruption(type: FileType): boolean {
    if (Atomics.load(this.#words, 12) === NEVER) return false;
    if ((Atomics.load(this.#words, 13) & (1 << FILE_TYPES.indexOf(type))) === 0) return false;
    if (Atomics.sub(this.#words, 12, 1) !== 0) return false;
    Atomics.store(this.#words, 12, NEVER);
    Atomics.add(this.#words, 17, 1);
    return true;
  }

  get corruptedReadCount(): number {
    return Atomics.load(this.#words, 17);
  }

  setScribble(isOn: boolean): void {
    Atomics.store(this.#words, 14, isOn ? 1 : 0);
  }

  get scribbles(): boolean {
    return Atomics.load(this.#words, 14) === 1;
  }

  noteChangedBuffer(): void {
    Atomics.add(this.#words, 15, 1);
  }

  /** Writes whose buffer was changed by the caller before they returned. */
  get changedBufferCount(): number {
    return Atomics.load(this.#words, 15);
  }

  noteOpened(type: FileType): void {
    Atomics.add(this.#words, 20 + FILE_TYPES.indexOf(type), 1);
    Atomics.add(this.#words, 30 + FILE_TYPES.indexOf(type), 1);
  }

  noteClosed(type: FileType): void {
    Atomics.sub(this.#words, 20 + FILE_TYPES.indexOf(type), 1);
  }

  /** The leak ledger: handles open now, of all threads, by file type; types without any are left out. */
  openHandles(): Partial<Record<FileType, number>> {
    const open: Partial<Record<FileType, number>> = {};
    for (const [i, type] of FILE_TYPES.entries()) {
      const count = Atomics.load(this.#words, 20 + i);
      if (count !== 0) open[type] = count;
    }
    return open;
  }

  get everOpenedCount(): number {
    return FILE_TYPES.reduce((sum, _, i) => sum + Atomics.load(this.#words, 30 + i), 0);
  }
}

export function fileTypeOf(path: string): FileType {
  const kind = parseFileName(basename(path))?.kind;
  if (kind === 'manifest-temporary') return 'manifest';
  if (kind === 'new-table') return 'table';
  if (kind === 'page' || kind === 'new-page') return 'manifest';
  return FILE_TYPES.find((type) => type === kind) ?? 'directory';
}

function placeWord(kind: number, type: number): number {
  return 40 + kind * FILE_TYPES.length + type;
}

function bitsOf<T>(all: readonly T[], chosen: readonly T[] | undefined): number {
  return (chosen ?? all).reduce((bits, item) => bits | (1 << all.indexOf(item)), 0);
}

function mixed(index: number, seed: number): number {
  const a = Math.imul(index + 1, 0x9e3779b1) ^ seed;
  const b = Math.imul(a ^ (a >>> 15), 0x85ebca77);
  return (b ^ (b >>> 13)) >>> 0;
}
