/**
 * The real disk under the tables of this thread, of which memory never has anything: every read of a block or opening of a table
 * is counted, takes a while, and can be held or failed.
 *
 *   const disk = new ColdDisk();
 *   const engine = await openOn(t, disk.spec);
 *   const release = disk.hold('read');       reads from now on don't end until release()
 *   disk.failWith = ({ kind }) => (kind === 'open' ? 'EMFILE' : undefined);
 *
 * Other threads, which run jobs, get the plain disk.
 *
 * Invariants: no read is quick, so reads are never judged to be so (speed-judge.ts), and none is made in the call of an awaited
 *             one.
 * Thread:     the test's: engine, and clients in the same thread.
 */
import { basename } from 'node:path';
import type { TestContext } from 'node:test';
import { StorageClient } from '../../src/client/index.ts';
import type { EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { ioError } from '../../src/shared/base/errors.ts';
import { setTimeout } from '../../src/shared/base/timers.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { fill, newPath, openAt, openOn } from './engines.ts';

/** Well above what the judge takes for quick, whatever the timer's grain. */
const READ_MS = 1;

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
  readonly #held = new Map<ColdStep['kind'], { readonly ended: Promise<void>; readonly end: () => void }>();

  constructor() {
    const disk = disks.size;
    disks.set(disk, this);
    this.spec = { module: import.meta.url, options: { disk } satisfies ColdOptions };
  }

  /** Blocks that were read, by file and offset. */
  get blocksRead(): readonly string[] {
    return this.steps.filter(isBlock).map(({ file, offset }) => `${file} ${offset}`);
  }

  /** Steps of this kind that begin from now on don't end until the returned function is called, which is idempotent. */
  hold(kind: ColdStep['kind']): () => void {
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const hold = { ended, end };
    this.#held.set(kind, hold);
    return () => {
      if (this.#held.get(kind) === hold) this.#held.delete(kind);
      end();
    };
  }

  /** Everything goes on, and nothing fails. */
  calm(): void {
    this.failWith = () => undefined;
    for (const { end } of this.#held.values()) end();
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
    try {
      await new Promise((resolve) => setTimeout(resolve, READ_MS));
      await this.#held.get(step.kind)?.ended;
      this.check(step);
      return run();
    } finally {
      this.underWay--;
    }
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
    openReadAsync: async (path) => {
      if (!path.includes('.sst')) return await nodeFileSystem.openReadAsync!(path);
      return await cold.step(opening(path), () => cold.opened(nodeFileSystem.openRead(path)));
    },
  };
}

class ColdFile implements StorageFile {
  readonly path: string;
  readonly readResident = (): undefined => undefined;
  readonly #file: StorageFile;
  readonly #disk: ColdDisk;
  #isOpen = true;

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
    return this.#disk.step(this.#reading(into, position), () => this.#file.readAt(into, position));
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

/** A store with `count` entries of `valueBytes` in sorted tables, none of them open. `options` for the reader. */
export async function coldStore(
  t: TestContext,
  kind: (typeof READERS)[number],
  count: number,
  options: EngineOptions = {},
  valueBytes = 40,
): Promise<ColdStore> {
  const path = newPath(t);
  const builder = await openAt(t, path, { ...PLAIN, ...options });
  await fill(builder, count, valueBytes);
  await builder.compact();
  await builder.close();
  const disk = new ColdDisk();
  t.after(() => disk.calm());
  const engine = await openOn(t, disk.spec, { ...PLAIN, ...options }, path);
  if (kind === 'engine') return { disk, engine, reader: engine };
  const reader = await StorageClient.attach(engine.share());
  t.after(() => reader.close());
  return { disk, engine, reader };
}
