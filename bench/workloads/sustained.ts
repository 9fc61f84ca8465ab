/**
 * Sustained fillrandom: 1, 4 and 16 times the scale, with the throughput over time, then until the store has settled.
 * And the time to open a large store.
 */
import type { BenchStore } from '../stores/store.ts';
import { type Context, type Workload, workload } from './workload.ts';
import { writeBatches } from './writes.ts';

const FACTORS = [1, 4, 16] as const;
const OPENS = 10;

function prepareSustained(context: Context): () => Promise<void> {
  const { random, data, meter } = context;
  const order = random.permutation(data.records);
  meter.keepSeries();
  return writeBatches(context, 1000, (operation) => order[operation % order.length]!);
}

/** Opens and reads one record, again and again; only that is timed. Ops/s count the open time alone. */
function prepareOpens(context: Context): () => Promise<void> {
  const { meter, data, reopen } = context;
  return async () => {
    let store: BenchStore = context.store;
    let openMs = 0;
    for (let i = 0; i < OPENS; i++) {
      await store.close();
      const begin = performance.now();
      store = await reopen();
      data.expect(i, await store.get(data.key(i)));
      meter.record(begin);
      openMs += performance.now() - begin;
      meter.operations++;
    }
    meter.busySeconds = openMs / 1000;
    meter.extra['openMs'] = openMs / OPENS;
  };
}

export const SUSTAINED_WORKLOADS: readonly Workload[] = [
  ...FACTORS.map((factor) =>
    workload({
      name: `sustained-${factor}m`,
      group: 'sustained',
      operation: `a put in random order, in batches of 1,000; ${factor} million records`,
      base: 'empty',
      writes: true,
      records: (scale) => scale * factor,
      limit: (records) => records,
      timeFactor: 180,
      isQuick: factor === 4,
      isLong: factor !== 1,
      prepare: prepareSustained,
    }),
  ),
  workload({
    name: 'open',
    group: 'open',
    operation: 'an open of a loaded store and a first get',
    prepare: prepareOpens,
  }),
];
