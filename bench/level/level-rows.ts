/**
 * The rows of `npm run bench -- level`: the ten workloads of warm data, by the calls of abstract-level alone, so that the same
 * code measures classic-level and StrataLevel.
 *
 * Invariants: each row says how many operations it made; what it measures is in memory, but for what writes bring.
 */
import { Random } from '../data/random.ts';

/** What both have. */
export interface LevelLike {
  open(): Promise<void>;
  close(): Promise<void>;
  get(key: Buffer): Promise<Buffer | undefined>;
  getSync(key: Buffer): Buffer | undefined;
  getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]>;
  put(key: Buffer, value: Buffer): Promise<void>;
  batch(): { put(key: Buffer, value: Buffer): unknown; write(): Promise<void> };
  compactRange(start: Buffer, end: Buffer): Promise<void>;
  iterator(options: object): { nextv(size: number): Promise<[Buffer, Buffer][]>; close(): Promise<void> };
}

export interface LevelData {
  readonly keys: readonly Buffer[];
  /** Places of keys, in a random order. */
  readonly order: readonly number[];
  readonly value: Buffer;
}

/** `count` operations of a kind; resolves when all of them are done. */
type Row = (db: LevelLike, data: LevelData, count: number) => Promise<void>;

const BATCH = 1000;
const IN_FLIGHT = 256;
const MANY = 100;
const SEEK_ENTRIES = 10;
/** Otherwise nextv() stops behind 16 KiB. */
const HIGH_WATER_MARK_BYTES = 1048576;

export interface RowSpec {
  readonly name: string;
  readonly operation: string;
  /** Of the records. */
  readonly share: number;
  readonly run: Row;
  /** How much better than classic-level it is to be. */
  readonly goal: number;
}

function keyAt({ keys, order }: LevelData, i: number): Buffer {
  return keys[order[i % order.length]!]!;
}

async function scan(db: LevelLike, reverse: boolean, count: number): Promise<void> {
  const iterator = db.iterator({ reverse, limit: count, highWaterMarkBytes: HIGH_WATER_MARK_BYTES });
  while ((await iterator.nextv(BATCH)).length > 0);
  await iterator.close();
}

/** The first one makes the data of those that read. */
export const ROWS: readonly RowSpec[] = [
  {
    name: 'fillrandom-1000',
    operation: 'chained batches of 1,000',
    share: 1,
    goal: 2,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i += BATCH) {
        const batch = db.batch();
        for (let j = i; j < Math.min(count, i + BATCH); j++) batch.put(keyAt(data, j), data.value);
        await batch.write();
      }
    },
  },
  {
    name: 'put-256',
    operation: 'put, 256 in flight',
    share: 0.5,
    goal: 2,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i += IN_FLIGHT) {
        const puts: Promise<void>[] = [];
        for (let j = i; j < Math.min(count, i + IN_FLIGHT); j++)
          puts.push(db.put(keyAt(data, j), data.value));
        await Promise.all(puts);
      }
    },
  },
  {
    name: 'put',
    operation: 'put, awaited one by one',
    share: 0.2,
    goal: 2,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i++) await db.put(keyAt(data, i), data.value);
    },
  },
  {
    name: 'readrandom',
    operation: 'get, awaited',
    share: 0.5,
    goal: 8,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i++) await db.get(keyAt(data, i));
    },
  },
  {
    name: 'readrandom-sync',
    operation: 'getSync',
    share: 0.5,
    goal: 2,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i++) db.getSync(keyAt(data, i));
    },
  },
  {
    name: 'readmissing',
    operation: 'get of absent keys, awaited',
    share: 0.5,
    goal: 8,
    run: async (db, data, count) => {
      const absent = Buffer.from('?');
      for (let i = 0; i < count; i++) await db.get(Buffer.concat([keyAt(data, i), absent]));
    },
  },
  {
    name: 'readrandom-many',
    operation: 'getMany of 100, keys',
    share: 1,
    goal: 2,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i += MANY)
        await db.getMany(Array.from({ length: MANY }, (_, j) => keyAt(data, i + j)));
    },
  },
  {
    name: 'readseq',
    operation: 'iterator, nextv(1,000), entries',
    share: 1,
    goal: 2,
    run: (db, _data, count) => scan(db, false, count),
  },
  {
    name: 'readreverse',
    operation: 'the same from the end',
    share: 1,
    goal: 2,
    run: (db, _data, count) => scan(db, true, count),
  },
  {
    name: 'seekrandom',
    operation: 'an iterator from a random key, 10 entries',
    share: 0.05,
    goal: 2,
    run: async (db, data, count) => {
      for (let i = 0; i < count; i++) {
        const iterator = db.iterator({ gte: keyAt(data, i), limit: SEEK_ENTRIES });
        await iterator.nextv(SEEK_ENTRIES);
        await iterator.close();
      }
    },
  },
];

/** Keys of 16 bytes, and a value of 100 of which half is random. */
export function makeData(records: number): LevelData {
  const random = new Random(1);
  const keys = Array.from({ length: records }, (_, i) => Buffer.from(String(i).padStart(16, '0')));
  const order = Array.from(random.permutation(records));
  const value = Buffer.alloc(100, 'v');
  for (let i = 0; i < 50; i++) value[i] = random.below(256);
  return { keys, order, value };
}
