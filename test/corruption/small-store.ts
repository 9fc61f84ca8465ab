/**
 * The store that the corruption sweep damages: every kind of file, as small as it gets, and what is true of it.
 *
 *   000xxx.sst  level 7, from a compaction: sequence numbers zeroed        phase `base`
 *   000xxx.sst  level 0, from a flush: overwrites and deletes some         phase `first`
 *   000xxx.sst  level 0, from a flush: deletes some as ranges              phase `second`
 *   000xxx.log  closed cleanly, opened, closed cleanly again               phase `logged`
 *   000xxx.log  the same, the newest: deletes some as ranges               phase `last`
 *
 * Every other value expires, in a year.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type EngineOptions, StorageEngine, WriteBatch } from '../../src/main/index.ts';

/** Blocks of a few entries, nothing in threads, nothing mapped. */
export const SMALL: EngineOptions = {
  threads: 0,
  mmap: false,
  blockSize: 128,
  blockRestartInterval: 4,
  writeBufferSize: 65536,
  cacheSize: 0,
};

/** One write: when, and what; undefined is a delete. */
export interface Version {
  readonly key: string;
  readonly value: string | undefined;
  /** The position among all writes: larger is newer. */
  readonly age: number;
}

export interface SmallStore {
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What each table or log holds. */
  readonly versions: ReadonlyMap<string, readonly Version[]>;
  /** What no file but `staleTable` holds any more. */
  readonly replaced: readonly Version[];
  /** What is there to be read. */
  readonly model: ReadonlyMap<string, string>;
  /** All keys ever written, and some that never were. */
  readonly keys: readonly string[];
  /** manifest.json as it was before the last flush. */
  readonly staleManifest: Uint8Array;
  /** A table that a compaction has replaced, under the name of one in use. */
  readonly staleTable: { readonly name: string; readonly bytes: Uint8Array };
}

const KEY_COUNT = 24;
const YEAR_MS = 365 * 24 * 3600 * 1000;

function keyOf(i: number): string {
  return `key-${String(i).padStart(3, '0')}`;
}

export async function makeSmallStore(directory: string): Promise<SmallStore> {
  const maker = new Maker(directory);
  await maker.phase(
    'base',
    (i) => `base value of ${i} `.repeat(2),
    async (engine) => await engine.flush(),
  );
  const before = maker.tables();
  const staleBytes = readFileSync(join(directory, before[0]!));
  await maker.phase(
    'again',
    (i) => (i < 12 ? `again ${i}` : ''),
    async (engine) => await engine.compact(),
  );
  const base = maker.newFile('.sst');
  const first = (i: number): string | undefined =>
    i % 3 === 0 ? undefined : i % 3 === 1 ? `first ${i}` : '';
  await maker.phase('first', first, async (engine) => await engine.flush());
  const staleManifest = new Uint8Array(readFileSync(join(directory, 'manifest.json')));
  await maker.phase(
    'second',
    (i) => (i % 4 === 0 ? `second ${i}` : i % 4 === 1 ? undefined : ''),
    async (engine) => await engine.flush(),
  );
  await maker.phase('logged', (i) => (i % 5 === 0 ? `logged ${i}` : i % 5 === 2 ? undefined : ''));
  await maker.phase('last', (i) => (i % 6 === 0 ? undefined : i % 6 === 3 ? `last ${i}` : ''));
  return maker.finish(staleManifest, { name: base, bytes: staleBytes });
}

/** As a range in the phases that end in a table with ranges, and in a log with some; as a key in the others. */
function doom(batch: WriteBatch, key: string, phase: string): void {
  if (phase === 'second' || phase === 'last') batch.deleteRange({ gte: key, lte: key });
  else batch.delete(key);
}

class Maker {
  readonly #directory: string;
  readonly #versions = new Map<string, Version[]>();
  readonly #model = new Map<string, string>();
  #seen = new Set<string>();
  #age = 0;
  #base: Version[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  tables(): string[] {
    return readdirSync(this.#directory).filter((name) => name.endsWith('.sst'));
  }

  /** The one file that was not there when last asked. */
  newFile(extension: string): string {
    const names = readdirSync(this.#directory).filter((name) => name.endsWith(extension));
    const fresh = names.filter((name) => !this.#seen.has(name));
    this.#seen = new Set(readdirSync(this.#directory));
    if (fresh.length !== 1) throw new Error(`expected one new file, found ${fresh.join(' ') || 'none'}`);
    return fresh[0]!;
  }

  /** Opens, writes, closes. `valueFor` answers '' to leave a key alone. */
  async phase(
    name: string,
    valueFor: (i: number) => string | undefined,
    then: (engine: StorageEngine) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const engine = await StorageEngine.open(this.#directory, SMALL);
    const written: Version[] = [];
    for (let i = 0; i < KEY_COUNT; i += 3) {
      const batch = new WriteBatch();
      for (let j = i; j < i + 3; j++) {
        const value = valueFor(j);
        if (value === '') continue;
        const key = keyOf(j);
        if (value === undefined) doom(batch, key, name);
        else batch.put(key, value, { ttl: j % 2 === 0 ? undefined : YEAR_MS });
        written.push({ key, value, age: ++this.#age });
        if (value === undefined) this.#model.delete(key);
        else this.#model.set(key, value);
      }
      await engine.write(batch);
    }
    await then(engine);
    await engine.close();
    if (name === 'base' || name === 'again') this.#base.push(...written);
    else this.#versions.set(this.newFile(name === 'first' || name === 'second' ? '.sst' : '.log'), written);
    if (name === 'again') {
      const newest = new Map(this.#base.map((version) => [version.key, version]));
      this.#versions.set(this.tables()[0]!, [...newest.values()]);
    }
  }

  finish(staleManifest: Uint8Array, staleTable: SmallStore['staleTable']): SmallStore {
    const names = readdirSync(this.#directory).filter((name) => name !== 'LOCK');
    const files = names.map(
      (name) => [name, new Uint8Array(readFileSync(join(this.#directory, name)))] as const,
    );
    const keys = Array.from({ length: KEY_COUNT + 2 }, (_, i) => keyOf(i));
    return {
      files: new Map(files),
      versions: this.#versions,
      replaced: this.#base,
      model: this.#model,
      keys,
      staleManifest,
      staleTable,
    };
  }
}
