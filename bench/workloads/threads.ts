/**
 * All cores: reads by several threads at once, and ingestions with more and more threads in the pool.
 *
 *   threads-get-N, threads-scan-N   N reader threads beside the one that has the store open; 0 = that one reads itself
 *   ingest-N                        an ingestion with N threads; peers, which have none, load by batches (in ingest-2 alone,
 *                                   as that is the same for every N)
 *   ingest-batches                  the same records into our own store by batches
 *
 * Invariants: reader i has the same keys in the same order for every store and every N. All readers start together.
 *             A load is counted and sampled afterwards: a store can't win by losing records.
 */
import type { Reading } from '../threads/reader-task.ts';
import { Readers } from '../threads/readers.ts';
import { prepareReading } from './thread-reads.ts';
import { type Context, type Workload, workload } from './workload.ts';
import { writeBatches } from './writes.ts';

const READERS = [0, 1, 2, 4] as const;
const POOL_THREADS = [1, 2, 4] as const;
/** The scale of the load, as in sustained-4m. */
const INGEST_FACTOR = 4;
const RECORDS_PER_BATCH = 1000;
const SAMPLES = 2000;
const SAMPLES_PER_GET_MANY = 100;
const ENTRIES_PER_CHUNK = 1000;

function reads(reading: Reading, count: number): Workload['prepare'] {
  return async (context) => {
    if (count === 0) return await prepareReading(reading, context);
    const { store, storeName, storeOptions, data, random, meter, afterwards } = context;
    const seeds = Array.from({ length: count }, () => random.next32());
    const readers = await Readers.start(count, (reader) => ({
      reader,
      reading,
      store: storeName,
      options: storeOptions,
      port: store.share?.(),
      records: data.records,
      shape: data.shape,
      seed: seeds[reader]!,
    }));
    afterwards(() => readers.join());
    return () => readers.run(meter, meter.limitSeconds);
  };
}

function load(isByBatches: boolean): Workload['prepare'] {
  return (context) => {
    const { store, data, random, meter, afterwards } = context;
    const order = random.permutation(data.records);
    afterwards(() => verifyLoad(context, order));
    const { ingest } = store;
    if (isByBatches || ingest === undefined)
      return writeBatches(context, RECORDS_PER_BATCH, (operation) => order[operation % order.length]!);
    return async () => {
      await ingest.call(store, recordsOf(context, order));
      meter.operations = order.length;
      meter.userBytes = order.length * data.recordBytes;
    };
  };
}

function* recordsOf({ data }: Context, order: Uint32Array): Generator<readonly [Buffer, Buffer]> {
  for (const record of order) yield [data.key(record), data.value(record)];
}

/** Throws unless the store has the records that were loaded, and nothing else. */
async function verifyLoad({ store, data, meter, random }: Context, order: Uint32Array): Promise<void> {
  // Batches end when the time is up, and the last one may reach beyond the records.
  const loaded = Math.min(meter.operations, order.length);
  const scan = store.scan(false);
  let stored = 0;
  for (;;) {
    const taken = await scan.next(ENTRIES_PER_CHUNK);
    if (taken === 0) break;
    stored += taken;
  }
  await scan.close();
  if (stored !== loaded) throw new Error(`${stored} entries are stored of ${loaded} that were loaded`);
  const samples = random.draws(SAMPLES, loaded);
  for (let begin = 0; begin < SAMPLES; begin += SAMPLES_PER_GET_MANY) {
    const records = Array.from(samples.subarray(begin, begin + SAMPLES_PER_GET_MANY), (at) => order[at]!);
    const found = await store.getMany(records.map((record) => data.key(record)));
    for (const [i, record] of records.entries()) data.expect(record, found[i]);
  }
}

function who(readers: number): string {
  if (readers === 0) return "the owner's own thread";
  return readers === 1 ? '1 reader thread' : `${readers} reader threads`;
}

const READ_BY_THREADS = { group: 'threads', isQuick: false, needsThreads: true } as const;
const LOAD = {
  group: 'threads',
  base: 'empty',
  writes: true,
  records: (scale: number): number => scale * INGEST_FACTOR,
  limit: (records: number): number => records,
  timeFactor: 180,
  isQuick: false,
  isLong: true,
} as const;

export const THREAD_WORKLOADS: readonly Workload[] = [
  ...READERS.map((count) =>
    workload({
      ...READ_BY_THREADS,
      name: `threads-get-${count}`,
      operation: `a getSync of a present key, by ${who(count)}`,
      needsGetSync: true,
      open: { isThreaded: true },
      prepare: reads('get', count),
    }),
  ),
  ...READERS.map((count) =>
    workload({
      ...READ_BY_THREADS,
      name: `threads-scan-${count}`,
      operation: `an entry of a scan over everything, by ${who(count)}`,
      open: { isThreaded: true },
      prepare: reads('scan', count),
    }),
  ),
  ...POOL_THREADS.map((count) =>
    workload({
      ...LOAD,
      name: `ingest-${count}`,
      operation: `a record of an ingestion in random order, 4 million; ${count} pool thread${count === 1 ? '' : 's'}`,
      isOursAlone: count !== 2,
      open: { poolThreads: count },
      prepare: load(false),
    }),
  ),
  workload({
    ...LOAD,
    name: 'ingest-batches',
    operation: 'the same records, put into our store in batches of 1,000',
    isOursAlone: true,
    prepare: load(true),
  }),
];
