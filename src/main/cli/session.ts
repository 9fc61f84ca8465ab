/**
 * The store that a command or a whole prompt works on: opened when first needed, closed at the end. Where a service has it open,
 * some commands ask that for it (main/door).
 *
 * Invariants: only a command that writes records creates a store; looking at a directory that holds none is an error.
 *             A command that only looks changes nothing on disk. In a prompt the first change reopens the store for
 *             writing.
 * Owns: the open engine, or the way to the process that has it.
 */
import { StorageError } from '../../shared/base/errors.ts';
import type { Bytes } from '../../shared/base/input-bytes.ts';
import type { Door } from '../door/visit.ts';
import type {
  CheckpointReport,
  EngineStats,
  RepairOptions,
  RepairReport,
  ScanOptions,
  StorageEngine,
} from '../index.ts';

/** Loaded by the first command that touches a store: not all do. */
const store = (): Promise<typeof import('../index.ts')> => import('../index.ts');

/** What a command does to the store. */
export type Access = 'read' | 'change' | 'create';

/** What can be done with a store whoever has it open. */
export interface StoreUse {
  get(key: Bytes): Promise<Buffer | undefined>;
  scan(range: ScanOptions): AsyncIterable<[Buffer, Buffer]>;
  stats(): EngineStats | Promise<EngineStats>;
  flush(): Promise<void>;
  compact(): Promise<void>;
  checkpoint(directory: string): Promise<CheckpointReport>;
}

export class Session {
  readonly directory: string;
  /** How long whoever has the store open may say nothing; undefined: the default. */
  readonly #answerMs: number | undefined;
  #engine: StorageEngine | undefined;
  #door: Door | undefined;
  #isWritable = false;

  constructor(directory: string, answerMs?: number) {
    this.directory = directory;
    this.#answerMs = answerMs;
  }

  /** The store itself or, where a process of this user has it open, that process. */
  async use(access: 'read' | 'change'): Promise<StoreUse> {
    try {
      return await this.engine(access);
    } catch (error) {
      const door = await this.#doorAfter(error);
      if (door === undefined) throw error;
      return door;
    }
  }

  /** The process that has the store in `directory` open; undefined: none has, or none that can be asked. */
  async owner(directory: string): Promise<Door | undefined> {
    if (this.#engine !== undefined) return undefined;
    const { isOwnedHere } = await import('../locking/read-hold.ts');
    const { nodeFileSystem } = await import('../../shared/files/node-file-system.ts');
    if (!(await isOwnedHere(nodeFileSystem, directory))) return undefined;
    const message = `the store in ${directory} is open in another process`;
    return await this.#doorAfter(new StorageError('STRATA_LOCKED', message), directory);
  }

  async #doorAfter(error: unknown, directory: string = this.directory): Promise<Door | undefined> {
    if (!(error instanceof StorageError) || error.code !== 'STRATA_LOCKED') return undefined;
    this.#door?.close();
    const { findDoor } = await import('../door/visit.ts');
    this.#door = await findDoor(directory, error, this.#answerMs);
    return this.#door;
  }

  async engine(access: Access): Promise<StorageEngine> {
    if (this.#engine !== undefined && (this.#isWritable || access === 'read')) return this.#engine;
    await this.close();
    this.#isWritable = access !== 'read';
    const createIfMissing = access === 'create';
    const { StorageEngine } = await store();
    this.#engine = await StorageEngine.open(this.directory, { createIfMissing, readOnly: access === 'read' });
    return this.#engine;
  }

  async close(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    this.#door?.close();
    this.#door = undefined;
    await engine?.close();
  }

  /** Salvages what verifies. */
  async repair(options: RepairOptions): Promise<RepairReport> {
    await this.close();
    const { StorageEngine } = await store();
    return await StorageEngine.repair(this.directory, options);
  }

  /** Deletes the store's own files. */
  async destroy(): Promise<void> {
    await this.close();
    const { StorageEngine } = await store();
    await StorageEngine.destroy(this.directory);
  }
}
