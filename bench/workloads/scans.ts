/**
 * The scans: readseq, readreverse, seekrandom, and a scan over tombstones.
 *
 * Whole scans repeat until the time is up; an operation is an entry. Every entry's key and value are handed out.
 */
import { inSeries, turn, warmUp } from './loops.ts';
import { type Context, type ReadContext, type Workload, workload } from './workload.ts';

const ENTRIES_PER_CHUNK = 1000;
const ENTRIES_PER_SEEK = 10;
const DRAWS: number = 1 << 16;
const WARM_UP_MS = 400;
/** Of ten records, one stays. */
const KEPT_ONE_IN = 10;
const DELETES_PER_BATCH = 1000;

async function scanOnce({ store, meter }: ReadContext, isReverse: boolean): Promise<number> {
  const scan = store.scan(isReverse);
  let total = 0;
  for (;;) {
    const begin = performance.now();
    const taken = await scan.next(ENTRIES_PER_CHUNK);
    if (taken === 0) break;
    meter.record(begin);
    meter.operations += taken;
    total += taken;
    if (meter.lap() && meter.operations > total) break;
    await turn();
  }
  await scan.close();
  return total;
}

/** Reads for a while, so that the code is compiled. */
async function warmUpScan({ store }: ReadContext, isReverse: boolean): Promise<void> {
  const begin = performance.now();
  while (performance.now() - begin < WARM_UP_MS) {
    const scan = store.scan(isReverse);
    while ((await scan.next(ENTRIES_PER_CHUNK)) > 0) if (performance.now() - begin > WARM_UP_MS) break;
    await scan.close();
  }
}

/** Reads only through what a reader thread has, too. */
export async function prepareScans(context: ReadContext, isReverse: boolean): Promise<() => Promise<void>> {
  await warmUpScan(context, isReverse);
  return () => scanUntilOver(context, isReverse, context.data.records);
}

/** Throws when a scan that was not cut short by the time has another number of entries. */
async function scanUntilOver(context: ReadContext, isReverse: boolean, expected: number): Promise<void> {
  const { meter } = context;
  do {
    const total = await scanOnce(context, isReverse);
    if (total !== expected && !meter.lap())
      throw new Error(`a scan returned ${total} entries of ${expected}`);
  } while (!meter.lap());
}

async function prepareSeeks(context: Context): Promise<() => Promise<void>> {
  const { store, data, random } = context;
  // Not so close to the end that fewer entries would follow.
  const drawn = random.draws(DRAWS, Math.max(1, data.records - ENTRIES_PER_SEEK));
  const call = async (index: number): Promise<void> => {
    const read = await store.seek(data.key(drawn[index & (DRAWS - 1)]!), ENTRIES_PER_SEEK);
    if (read !== ENTRIES_PER_SEEK) throw new Error(`a seek returned ${read} entries of ${ENTRIES_PER_SEEK}`);
  };
  await warmUp(call);
  return () => inSeries(context, { timeEvery: 7 }, call);
}

/** Deletes 90 % of the records, then measures scans over what is left, with the tombstones fresh. */
async function prepareDeletedScan(context: Context): Promise<() => Promise<void>> {
  const { store, data } = context;
  let keys: Buffer[] = [];
  for (let record = 0; record < data.records; record++) {
    if (record % KEPT_ONE_IN !== 0) keys.push(data.key(record));
    if (keys.length < DELETES_PER_BATCH && record + 1 < data.records) continue;
    await store.write(
      keys,
      keys.map(() => undefined),
    );
    keys = [];
  }
  const kept = Math.ceil(data.records / KEPT_ONE_IN);
  return () => scanUntilOver(context, false, kept);
}

export const SCAN_WORKLOADS: readonly Workload[] = [
  workload({
    name: 'readseq',
    group: 'scans',
    operation: 'an entry of a scan over everything',
    dbBench: ['--benchmarks=readseq'],
    prepare: (context) => prepareScans(context, false),
  }),
  workload({
    name: 'readreverse',
    group: 'scans',
    operation: 'an entry of a backward scan over everything',
    dbBench: ['--benchmarks=readreverse'],
    isQuick: false,
    prepare: (context) => prepareScans(context, true),
  }),
  workload({
    name: 'seekrandom',
    group: 'scans',
    operation: 'a seek to a random key and the 10 entries from there',
    dbBench: ['--benchmarks=seekrandom', '--seek_nexts=10'],
    prepare: prepareSeeks,
  }),
  workload({
    name: 'readdeleted',
    group: 'scans',
    operation: 'an entry of a scan after nine of ten were deleted, not compacted',
    writes: true,
    isQuick: false,
    prepare: prepareDeletedScan,
  }),
];
