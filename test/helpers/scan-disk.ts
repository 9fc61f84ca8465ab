/**
 * The real disk, of which nothing is in memory: what may not wait for it has to come back later, and the test says when.
 *
 *   const disk = new ColdDisk(t);
 *   const engine = await openOn(t, disk.spec, options);
 *   disk.hold();                 from here on reads of tables off the thread begin, and stay under way
 *   disk.release(2);             the two that began first come to their end
 *
 * Tables only; threads other than the test's have the real disk.
 *
 * Thread: the test's.      Owns: what is under way, which ends with the test.
 */
import type { TestContext } from 'node:test';
import { setImmediate } from '../../src/shared/base/timers.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';

/** A read off the thread that has begun, in the order of their beginnings. */
export interface ColdRead {
  readonly path: string;
  readonly position: number;
  readonly length: number;
  /** Of the end of a table, as it was opened. */
  readonly isOpening: boolean;
}

const disks = new Map<number, ColdDisk>();
let diskCount = 0;

export class ColdDisk {
  readonly spec: ModuleSpec;
  reads: ColdRead[] = [];
  /** Reads of blocks that held the thread, not counting those of jobs. */
  waits = 0;
  /** Table files that are open. */
  openFiles = 0;
  isResident: (path: string, position: number, length: number) => boolean = () => false;
  /** How many turns of the event loop a read off the thread takes. */
  turns: () => number = () => 1;
  /** What a read fails with, on the thread or off it. */
  failure: (path: string, position: number, length: number) => Error | undefined = () => undefined;
  #isHolding = false;
  #held: (() => void)[] = [];

  constructor(t: TestContext) {
    const id = ++diskCount;
    this.spec = { module: import.meta.url, options: { id } };
    disks.set(id, this);
    t.after(() => this.letGo());
  }

  /** Reads of blocks, without those that opened tables. */
  get blockReads(): ColdRead[] {
    return this.reads.filter(({ isOpening }) => !isOpening);
  }

  /** Reads under way that wait for {@link release}. */
  get heldCount(): number {
    return this.#held.length;
  }

  hold(): void {
    this.#isHolding = true;
  }

  release(count: number): void {
    for (const goOn of this.#held.splice(0, count)) goOn();
  }

  /** Releases what is held, and holds nothing from now on. */
  letGo(): void {
    this.#isHolding = false;
    this.release(this.#held.length);
  }

  wrap(file: StorageFile): StorageFile {
    const readAt = (into: Uint8Array, position: number): number => {
      const error = this.failure(file.path, position, into.length);
      if (error !== undefined) throw error;
      return file.readAt(into, position);
    };
    let isOpen = true;
    let isMetaNext = false;
    this.openFiles++;
    return {
      path: file.path,
      readAt: (into, position) => {
        // A table that is opened: its footer, and then its meta block.
        const isFooter = position + into.length === file.size();
        if (!isFooter && !isMetaNext) this.waits++;
        isMetaNext = isFooter;
        return readAt(into, position);
      },
      readAtAsync: async (into, position) => {
        const { path } = file;
        const { length } = into;
        this.reads.push({ path, position, length, isOpening: position + length === file.size() });
        await this.#pass();
        if (!isOpen) throw new Error('read from a file that was closed meanwhile');
        return readAt(into, position);
      },
      readResident: (into, position) =>
        this.isResident(file.path, position, into.length) ? file.readAt(into, position) : undefined,
      writeAt: (bytes, position) => file.writeAt(bytes, position),
      writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
      datasync: () => file.datasync(),
      datasyncAsync: () => file.datasyncAsync(),
      size: () => file.size(),
      isLinked: () => file.isLinked?.() ?? true,
      close: () => {
        if (isOpen) this.openFiles--;
        isOpen = false;
        file.close();
      },
    };
  }

  async #pass(): Promise<void> {
    if (this.#isHolding) await new Promise<void>((resolve) => this.#held.push(resolve));
    else
      for (let left = this.turns(); left > 0; left--) await new Promise<void>((go) => void setImmediate(go));
  }
}

export function createFileSystem({ id }: { readonly id: number }): FileSystem {
  const disk = disks.get(id);
  if (disk === undefined) return nodeFileSystem;
  const open = (path: string): StorageFile => {
    const file = nodeFileSystem.openRead(path);
    return /\.sst(\.new)?$/.test(path) ? disk.wrap(file) : file;
  };
  return {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    spec: disk.spec,
    openRead: open,
    openReadAsync: async (path) => open(path),
  };
}
