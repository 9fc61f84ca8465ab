/**
 * The store that a command or a whole prompt works on: opened when first needed, closed at the end.
 *
 * Invariants: only a command that writes records creates a store; looking at a directory that holds none is an error.
 *             A command that only looks changes nothing on disk. In a prompt the first change reopens the store for
 *             writing.
 * Owns: the open engine.
 */
import type { RepairOptions, RepairReport, StorageEngine } from '../index.ts';

/** Loaded by the first command that touches a store: not all do. */
const store = (): Promise<typeof import('../index.ts')> => import('../index.ts');

/** What a command does to the store. */
export type Access = 'read' | 'change' | 'create';

export class Session {
  readonly directory: string;
  #engine: StorageEngine | undefined;
  #isWritable = false;

  constructor(directory: string) {
    this.directory = directory;
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
