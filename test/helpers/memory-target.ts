/**
 * A backup target in memory, for tests of what happens at the same time: strongly consistent, and each call waits where the test
 * wants it to.
 */
import type { BackupTarget, ListPage, StoredObject, TargetUpload } from '../../src/backup/target.ts';

interface Held {
  readonly bytes: Uint8Array;
  readonly version: string;
  modifiedMs: number;
}

/** What all views of the same target share. */
export class MemoryObjects {
  readonly held: Map<string, Held> = new Map();
  #clock = Date.now();

  put(key: string, bytes: Uint8Array): void {
    this.#clock++;
    this.held.set(key, { bytes: Buffer.from(bytes), version: String(this.#clock), modifiedMs: this.#clock });
  }

  /** As if all that is there had been written that much earlier. */
  age(ms: number): void {
    for (const object of this.held.values()) object.modifiedMs -= ms;
  }

  keys(prefix: string): string[] {
    return [...this.held.keys()].filter((key) => key.startsWith(prefix)).sort();
  }
}

/** One process's view: `before` may wait, or throw, before an operation takes effect; `after` likewise. */
export class MemoryTarget implements BackupTarget {
  readonly name = 'memory';
  readonly objects: MemoryObjects;
  before: (operation: string, key: string) => Promise<void> = async () => undefined;
  after: (operation: string, key: string) => Promise<void> = async () => undefined;

  constructor(objects: MemoryObjects = new MemoryObjects()) {
    this.objects = objects;
  }

  async read(key: string): Promise<StoredObject | undefined> {
    return await this.#run('read', key, () => this.objects.held.get(key));
  }

  async download(key: string, start: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    const found = await this.#run('download', key, () => this.objects.held.get(key));
    if (found === undefined) return undefined;
    return (async function* () {
      yield found.bytes.subarray(start);
    })();
  }

  async upload(key: string): Promise<TargetUpload> {
    let written: Uint8Array = new Uint8Array(0);
    return {
      partBytes: Number.MAX_SAFE_INTEGER,
      write: async (_part, bytes) => {
        written = bytes;
      },
      finish: async () => await this.#run('put', key, () => this.objects.put(key, written)),
      cancel: async () => undefined,
    };
  }

  async create(key: string, bytes: Uint8Array): Promise<boolean> {
    return await this.#run('create', key, () => {
      if (this.objects.held.has(key)) return false;
      this.objects.put(key, bytes);
      return true;
    });
  }

  async replace(key: string, bytes: Uint8Array, version: string): Promise<boolean> {
    return await this.#run('replace', key, () => {
      if (this.objects.held.get(key)?.version !== version) return false;
      this.objects.put(key, bytes);
      return true;
    });
  }

  async remove(key: string): Promise<void> {
    await this.#run('remove', key, () => this.objects.held.delete(key));
  }

  async list(prefix: string): Promise<ListPage> {
    return await this.#run('list', prefix, () => {
      const objects = this.objects.keys(prefix).map((key) => {
        const { bytes, modifiedMs } = this.objects.held.get(key)!;
        return { key, sizeBytes: bytes.length, modifiedMs };
      });
      return { objects, next: undefined };
    });
  }

  async #run<T>(operation: string, key: string, act: () => T): Promise<T> {
    await this.before(operation, key);
    const result = act();
    await this.after(operation, key);
    return result;
  }
}
