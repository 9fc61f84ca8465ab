/**
 * The write workloads: fillseq, fillrandom, overwrite, put, fillsync.
 *
 * fillrandom writes every key once, in random order (db_bench draws with replacement, so a third of its writes overwrite).
 */
import { inFlight, inSeries } from './loops.ts';
import { type Context, type Workload, workload } from './workload.ts';

type RecordAt = (operation: number) => number;

/** Batches of `size`, one after another. */
export function writeBatches(
  context: Context,
  size: number,
  recordAt: RecordAt,
  generation = 0,
): () => Promise<void> {
  const { store, data, meter } = context;
  const call = (index: number): Promise<unknown> => {
    const keys: Buffer[] = [];
    const values: Buffer[] = [];
    for (let i = index * size; i < (index + 1) * size; i++) {
      const record = recordAt(i);
      keys.push(data.key(record));
      values.push(data.value(record, generation));
    }
    meter.userBytes += size * data.recordBytes;
    return store.write(keys, values);
  };
  return () => inSeries(context, { timeEvery: size >= 100 ? 1 : 7, perCall: size }, call);
}

function randomRecords({ random, data }: Context): RecordAt {
  const order = random.permutation(data.records);
  return (operation) => order[operation % order.length]!;
}

function puts(lanes: number, timeEvery: number, isDurable: boolean): Workload['prepare'] {
  return (context) => {
    const { store, data, meter } = context;
    const recordAt = randomRecords(context);
    const call = (index: number): Promise<unknown> => {
      const record = recordAt(index);
      meter.userBytes += data.recordBytes;
      const key = data.key(record);
      return isDurable ? store.putDurably(key, data.value(record)) : store.put(key, data.value(record));
    };
    const options = { timeEvery };
    return () => (lanes === 1 ? inSeries(context, options, call) : inFlight(context, lanes, options, call));
  };
}

/** A fill is bounded by its records; the time is there for what would never end. */
const FILL_TIME = 30;
const WRITES = { group: 'writes', base: 'empty', writes: true } as const;

export const WRITE_WORKLOADS: readonly Workload[] = [
  workload({
    ...WRITES,
    name: 'fillseq',
    operation: 'a put in key order, in batches of 1,000',
    limit: (records) => records,
    timeFactor: FILL_TIME,
    dbBench: ['--benchmarks=fillseq', '--batch_size=1000'],
    prepare: (context) => writeBatches(context, 1000, (operation) => operation),
  }),
  ...[1, 100, 1000].map((size) =>
    workload({
      ...WRITES,
      name: `fillrandom-${size}`,
      operation: `a put in random order, in batches of ${size.toLocaleString('en')}`,
      limit: (records) => (size === 1 ? Math.floor(records / 4) : records),
      timeFactor: FILL_TIME,
      isQuick: size === 1000,
      dbBench: ['--benchmarks=fillrandom', `--batch_size=${size}`],
      prepare: (context) => writeBatches(context, size, randomRecords(context)),
    }),
  ),
  workload({
    ...WRITES,
    name: 'overwrite',
    base: 'loaded',
    operation: 'a put of a present key, in batches of 100',
    limit: (records) => records,
    timeFactor: FILL_TIME,
    dbBench: ['--benchmarks=overwrite', '--batch_size=100'],
    isQuick: false,
    prepare: (context) => writeBatches(context, 100, randomRecords(context), 1),
  }),
  workload({
    ...WRITES,
    name: 'put',
    operation: 'a put, awaited before the next',
    limit: (records) => Math.floor(records / 4),
    timeFactor: 4,
    prepare: puts(1, 7, false),
  }),
  workload({
    ...WRITES,
    name: 'put-256',
    operation: 'a put, 256 in flight',
    limit: (records) => records,
    timeFactor: FILL_TIME,
    prepare: puts(256, 17, false),
  }),
  // Beside `put-256`: what one who follows the changes costs writers. It takes all of them, in the same thread.
  workload({
    ...WRITES,
    name: 'changes',
    operation: 'a put, 256 in flight, while the same thread follows the changes',
    limit: (records) => records,
    timeFactor: FILL_TIME,
    isOursAlone: true,
    prepare: async (context) => {
      const run = await puts(256, 17, false)(context);
      const follower = context.store.follow!();
      return async () => {
        await run();
        await follower.stop();
      };
    },
  }),
  workload({
    ...WRITES,
    name: 'fillsync',
    operation: 'a durable put, awaited before the next',
    dbBench: ['--benchmarks=fillrandom', '--sync=1', '--writes=2000'],
    isQuick: false,
    prepare: puts(1, 1, true),
  }),
  workload({
    ...WRITES,
    name: 'fillsync-64',
    operation: 'a durable put, 64 in flight',
    prepare: puts(64, 1, true),
  }),
];
