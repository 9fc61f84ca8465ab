/**
 * The real disk under the tables of this thread, of which memory has nothing but what a test says: every read of a block or
 * opening of a table is counted, takes a while, and can be held or failed.
 *
 *   const disk = new ColdDisk(t);
 *   const engine = await openOn(t, disk.spec);
 *   const release = disk.hold('read');       reads from now on don't end until release()
 *   disk.failWith = ({ kind }) => (kind === 'open' ? 'EMFILE' : undefined);
 *   await disk.roundsOf(() => engine.get('a'))      how many times in a row it waits
 *
 * Other threads, which run jobs, get the plain disk.
 *
 * Invariants: no read is quick, unless `delay` makes it so: so reads are never judged to be so (speed-judge.ts), and none is made
 *             in the call of an awaited one.
 * Thread:     the test's: engine, and clients in the same thread.
 */
import { basename } from 'node:path';
import type { TestContext } from 'node:test';
import { StorageClient } from '../../src/client/index.ts';
import type { EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { ioError } from '../../src/shared/base/errors.ts';
import { clearInterval, setInterval, setTimeout } from '../../src/shared/base/timers.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { fill, newPath, openAt, openOn, turn } from './engines.ts';

/** Well above what the judge takes for quick, whatever the timer's grain. */
const READ_MS = 1;
/** After so many turns of the event loop nothing goes on any more but what is held. */
const QUIET_TURNS = 8;

export interface ColdStep {
  readonly kind: 'open' | 'read';
  /** Name of the table's file. */
  readonly file: string;
  /** Of a read. */
  readonly offset: number;
  readonly length: number;
  /** With the end of the file: that of opening. */
  readonly isEnd: boolean;
}

/** Besides what is done with tables, syncs of logs, which take no while otherwise. */
type HeldKind = ColdStep['kind'] | 'sync';

interface ColdOptions {
  readonly disk: number;
}

const disks = new Map<number, ColdDisk>();

export class ColdDisk {
  readonly spec: ModuleSpec;
  /** Begun off the thread. */
  readonly steps: ColdStep[] = [];
  /** Reads of tables within a call, and openings. */
  inCall = 0;
  underWay = 0;
  mostUnderWay = 0;
  /** Descriptors of tables. */
  openFiles = 0;
  mostOpenFiles = 0;
  /** Asked when a step is about to end; what it returns is its error. */
  failWith: (step: ColdStep) => string | undefined = () => undefined;
  /** Whether memory has this part of a table. */
  isResident: (step: ColdStep) => boolean = () => false;
  /** What a step takes. */
  delay: () => Promise<unknown> = aWhile;
  readonly #held = new Map<HeldKind, Hold>();

  constructor(t: TestContext) {
    const disk = disks.size;
    disks.set(disk, this);
    this.spec = { module: import.meta.url, options: { disk } satisfies ColdOptions };
    t.after(() => this.calm());
  }

  /** Reads of blocks, without those that opened tables. */
  get blockReads(): readonly ColdStep[] {
    return this.steps.filter(isBlock);
  }

  /** Blocks that were read, by file and offset. */
  get blocksRead(): readonly string[] {
    return this.blockReads.map(({ file, offset }) => `${file} ${offset}`);
  }

  /** Steps under way that wait for their release. */
  get heldCount(): number {
    let count = 0;
    for (const hold of this.#held.values()) count += hold.count;
    return count;
  }

  /** Steps of this kind that begin from now on don't end until the returned function is called, which is idempotent. */
  hold(kind: HeldKind): () => void {
    const hold = new Hold();
    this.#held.set(kind, hold);
    return () => {
      if (this.#held.get(kind) === hold) this.#held.delete(kind);
      hold.end();
    };
  }

  /**
   * How many times `work` waits for the disk one after the other, whatever it has under way at once: what it waits for comes to
   * its end when nothing else is begun any more.
   */
  async roundsOf(work: () => Promise<unknown>): Promise<number> {
    let isDone = false;
    this.delay = turn;
    const working = work().finally(() => (isDone = true));
    for (let rounds = 0; ; ) {
      const releases = [this.hold('open'), this.hold('read')];
      for (let quiet = 0, seen = -1; quiet < QUIET_TURNS && !isDone; quiet++) {
        if (this.steps.length !== seen) quiet = 0;
        seen = this.steps.length;
        await turn();
      }
      if (this.heldCount > 0) rounds++;
      for (const release of releases) release();
      if (!isDone) continue;
      this.delay = aWhile;
      await working;
      return rounds;
    }
  }

  /** Everything goes on, and nothing fails. */
  calm(): void {
    this.failWith = () => undefined;
    for (const hold of this.#held.values()) hold.end();
    this.#held.clear();
  }

  forget(): void {
    this.steps.length = 0;
    this.inCall = 0;
    this.mostUnderWay = 0;
    this.mostOpenFiles = this.openFiles;
  }

  async step<T>(step: ColdStep, run: () => T): Promise<T> {
    this.steps.push(step);
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    // As what a real disk is asked for does, it keeps the process alive.
    const alive = setInterval(() => undefined, 1000);
    try {
      await this.delay();
      await this.#held.get(step.kind)?.wait();
      this.check(step);
      return run();
    } finally {
      clearInterval(alive);
      this.underWay--;
    }
  }

  async sync(file: StorageFile): Promise<void> {
    await this.#held.get('sync')?.wait();
    await file.datasyncAsync();
  }

  check(step: ColdStep): void {
    const code = this.failWith(step);
    if (code === undefined) return;
    const cause = Object.assign(new Error(`${code}: from the cold disk`), { code });
    throw ioError(step.kind, step.file, cause);
  }

  opened(file: StorageFile): StorageFile {
    this.mostOpenFiles = Math.max(this.mostOpenFiles, ++this.openFiles);
    return new ColdFile(file, this);
  }
}

async function aWhile(): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, READ_MS));
}

class Hold {
  count = 0;
  readonly #ended: Promise<void>;
  #end!: () => void;

  constructor() {
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async wait(): Promise<void> {
    this.count++;
    await this.#ended;
  }

  end(): void {
    this.count = 0;
    this.#end();
  }
}

export function isBlock({ kind, isEnd }: ColdStep): boolean {
  return kind === 'read' && !isEnd;
}

export function createFileSystem({ disk }: ColdOptions): FileSystem {
  const cold = disks.get(disk);
  if (cold === undefined) return nodeFileSystem;
  const opening = (path: string): ColdStep => ({
    kind: 'open',
    file: basename(path),
    offset: 0,
    length: 0,
    isEnd: false,
  });
  return {
    ...nodeFileSystem,
    spec: { module: import.meta.url, options: { disk } satisfies ColdOptions },
    openRead: (path) => {
      if (!path.includes('.sst')) return nodeFileSystem.openRead(path);
      cold.inCall++;
      cold.check(opening(path));
      return cold.opened(nodeFileSystem.openRead(path));
    },
    createExclusive: (path) => {
      const file = nodeFileSystem.createExclusive(path);
      return path.endsWith('.log') ? new ColdLog(file, cold) : file;
    },
    openReadAsync: async (path) => {
      if (!path.includes('.sst')) return await nodeFileSystem.openReadAsync!(path);
      return await cold.step(opening(path), () => cold.opened(nodeFileSystem.openRead(path)));
    },
  };
}

/** Written as ever; the end of a sync can be held. */
class ColdLog implements StorageFile {
  readonly path: string;
  readonly #file: StorageFile;
  readonly #disk: ColdDisk;

  constructor(file: StorageFile, disk: ColdDisk) {
    this.path = file.path;
    this.#file = file;
    this.#disk = disk;
  }

  readAt(into: Uint8Array, position: number): number {
    return this.#file.readAt(into, position);
  }

  writeAt(bytes: Uint8Array, position: number): number {
    return this.#file.writeAt(bytes, position);
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return this.#file.writeAtAsync(bytes, position);
  }

  datasync(): void {
    this.#file.datasync();
  }

  datasyncAsync(): Promise<void> {
    return this.#disk.sync(this.#file);
  }

  size(): number {
    return this.#file.size();
  }

  close(): void {
    this.#file.close();
  }
}

class ColdFile implements StorageFile {
  readonly path: string;
  readonly #file: StorageFile;
  readonly #disk: ColdDisk;
  #isOpen = true;
  /** Called by itself. */
  readonly readResident = (into: Uint8Array, position: number): number | undefined =>
    this.#disk.isResident(this.#reading(into, position)) ? this.#file.readAt(into, position) : undefined;

  constructor(file: StorageFile, disk: ColdDisk) {
    this.path = file.path;
    this.#file = file;
    this.#disk = disk;
  }

  #reading(into: Uint8Array, offset: number): ColdStep {
    const isEnd = offset + into.length === this.#file.size();
    return { kind: 'read', file: basename(this.path), offset, length: into.length, isEnd };
  }

  readAt(into: Uint8Array, position: number): number {
    this.#disk.inCall++;
    this.#disk.check(this.#reading(into, position));
    return this.#file.readAt(into, position);
  }

  readAtAsync(into: Uint8Array, position: number): Promise<number> {
    return this.#disk.step(this.#reading(into, position), () => {
      if (!this.#isOpen) throw new Error('read from a file that was closed meanwhile');
      return this.#file.readAt(into, position);
    });
  }

  writeAt(bytes: Uint8Array, position: number): number {
    return this.#file.writeAt(bytes, position);
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return this.#file.writeAtAsync(bytes, position);
  }

  datasync(): void {
    this.#file.datasync();
  }

  datasyncAsync(): Promise<void> {
    return this.#file.datasyncAsync();
  }

  size(): number {
    return this.#file.size();
  }

  close(): void {
    if (this.#isOpen) this.#disk.openFiles--;
    this.#isOpen = false;
    this.#file.close();
  }
}

/** What awaited reads are asked of: the store itself, or a client of it. */
export type Reader = StorageEngine | StorageClient;

export interface ColdStore {
  readonly disk: ColdDisk;
  readonly engine: StorageEngine;
  readonly reader: Reader;
}

export const READERS = ['engine', 'client'] as const;

const PLAIN: EngineOptions = { compression: 'none' };
/** The same tables as with small memtables and a thread, for a tenth of the work: compact() cuts them. */
const BUILDER: EngineOptions = { writeBufferSize: 1024 * 1024, threads: 0 };

/** A store with `count` entries of `valueBytes` in sorted tables, none of them open. `options` for the reader. */
export async function coldStore(
  t: TestContext,
  kind: (typeof READERS)[number],
  count: number,
  options: EngineOptions = {},
  valueBytes = 40,
): Promise<ColdStore> {
  const path = newPath(t);
  const builder = await openAt(t, path, { ...PLAIN, ...BUILDER, ...options });
  await fill(builder, count, valueBytes);
  await builder.compact();
  await builder.close();
  const disk = new ColdDisk(t);
  const engine = await openOn(t, disk.spec, { ...PLAIN, ...options }, path);
  if (kind === 'engine') return { disk, engine, reader: engine };
  const reader = await StorageClient.attach(engine.share());
  t.after(() => reader.close());
  return { disk, engine, reader };
}
