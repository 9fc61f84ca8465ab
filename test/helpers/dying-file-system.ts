/**
 * The real disk, until a process dies upon it: from the n-th change on nothing happens any more, and every call fails. A write
 * that is the n-th is done by half.
 *
 * For what runs on the test's own thread and is to be interrupted at each of its steps: a process for each would take a third of
 * a second. What had no time to be cleaned up is left as a kill leaves it, as cleaning up fails as well.
 *
 * Thread: main.
 */
import { ioError } from '../../src/shared/base/errors.ts';
import type { FileSystem, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';

const CHANGES: ReadonlySet<string> = new Set([
  'createExclusive',
  'createExclusiveAsync',
  'rename',
  'renameAsync',
  'linkAsync',
  'unlink',
  'unlinkAsync',
  'makeDirectory',
  'removeDirectory',
  'syncDirectory',
  'syncDirectoryAsync',
  'writeAt',
  'writeAtAsync',
  'datasync',
  'datasyncAsync',
]);

export class DyingDisk {
  readonly fs: FileSystem = this.#wrap(nodeFileSystem);
  /** Changes until now. */
  changes: number = 0;
  /** Changes in their order: what was done, and to which path. */
  readonly log: string[] = [];
  /** Only changes fail: of a disk that may not be written to. */
  onlyChanges: boolean = false;
  #diesAt: number;

  constructor(diesAt: number = Number.POSITIVE_INFINITY) {
    this.#diesAt = diesAt;
  }

  get isDead(): boolean {
    return this.changes > this.#diesAt;
  }

  #wrap<T extends FileSystem | StorageFile>(real: T): T {
    return new Proxy(real, {
      get: (target, name: string) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => this.#call(target, name, value, args);
      },
    });
  }

  #call(target: object, name: string, method: unknown, args: unknown[]): unknown {
    const run = (given: unknown[]): unknown =>
      (method as (...all: unknown[]) => unknown).apply(target, given);
    // A descriptor of a dead process is closed, too.
    if (name === 'close') return run(args);
    const fail = (): unknown => {
      const error = ioError(name, String(args[0]), new Error('the process is dead'));
      if (name.endsWith('Async')) return Promise.reject(error);
      throw error;
    };
    if (this.isDead && !this.onlyChanges) return fail();
    if (CHANGES.has(name) && ++this.changes > this.#diesAt) {
      if (name.startsWith('writeAt')) {
        const [bytes, position] = args as [Uint8Array, number];
        void Promise.resolve(run([bytes.subarray(0, bytes.length >> 1), position])).catch(() => undefined);
      }
      return fail();
    }
    if (CHANGES.has(name)) this.log.push(`${name} ${(target as { path?: string }).path ?? args.join(' ')}`);
    const result = run(args);
    if (name.startsWith('openRead') || name.startsWith('createExclusive'))
      return result instanceof Promise
        ? result.then((file: StorageFile) => this.#wrap(file))
        : this.#wrap(result as StorageFile);
    return result;
  }
}
