/**
 * YCSB A to F (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", 2010), eight requests in flight.
 *
 *   A  50 % read, 50 % update      B  95 % read, 5 % update     C  read only
 *   D  95 % read the latest, 5 % insert                         E  95 % scan of 1 to 100, 5 % insert
 *   F  50 % read, 50 % read, change and write back
 *
 * Keys are zipf-distributed (D: the most recent inserts). Records have the bench's 16 + 100 bytes, not YCSB's 1,000.
 */
import { Zipf } from '../data/zipf.ts';
import { inFlight, warmUp } from './loops.ts';
import { type Context, type Workload, workload } from './workload.ts';

const LANES = 8;
const DRAWS: number = 1 << 18;
const MAX_SCAN_ENTRIES = 100;

interface Mix {
  readonly letter: string;
  readonly readShare: number;
  readonly otherwise: 'update' | 'insert' | 'read-modify-write';
  /** What a "read" is. */
  readonly read: 'get' | 'get-latest' | 'scan';
  readonly says: string;
}

const MIXES: readonly Mix[] = [
  { letter: 'a', readShare: 0.5, otherwise: 'update', read: 'get', says: '50 % reads, 50 % updates' },
  { letter: 'b', readShare: 0.95, otherwise: 'update', read: 'get', says: '95 % reads, 5 % updates' },
  { letter: 'c', readShare: 1, otherwise: 'update', read: 'get', says: 'reads only' },
  {
    letter: 'd',
    readShare: 0.95,
    otherwise: 'insert',
    read: 'get-latest',
    says: '95 % latest reads, 5 % inserts',
  },
  { letter: 'e', readShare: 0.95, otherwise: 'insert', read: 'scan', says: '95 % short scans, 5 % inserts' },
  { letter: 'f', readShare: 0.5, otherwise: 'read-modify-write', read: 'get', says: '50 % reads, 50 % RMW' },
];

function requests(context: Context, mix: Mix): (index: number) => Promise<void> {
  const { store, data, random, meter } = context;
  const zipf = new Zipf(random, data.records);
  const hot = zipf.draws(DRAWS);
  const ranks = Uint32Array.from({ length: DRAWS }, () => zipf.rank());
  const dice = Float64Array.from({ length: DRAWS }, () => random.fraction());
  const lengths = random.draws(DRAWS, MAX_SCAN_ENTRIES);
  let inserted = data.records;
  let visible = data.records;
  const acknowledged = new Set<number>();

  const write = async (record: number, generation: number): Promise<void> => {
    meter.userBytes += data.recordBytes;
    await store.put(data.key(record), data.value(record, generation));
  };
  const read = async (record: number): Promise<void> => {
    const found = await store.get(data.key(record));
    if (found === undefined) throw new Error(`record ${record} was not found`);
  };
  return async (index) => {
    const at = index & (DRAWS - 1);
    const record = hot[at]!;
    if (dice[at]! < mix.readShare) {
      if (mix.read === 'get') await read(record);
      else if (mix.read === 'get-latest') await read(visible - 1 - ranks[at]!);
      else await store.seek(data.key(record), lengths[at]! + 1);
    } else if (mix.otherwise === 'insert') {
      const added = inserted++;
      await write(added, 0);
      // Lanes finish in any order; what is read must have been acknowledged, so the mark waits for the oldest.
      acknowledged.add(added);
      while (acknowledged.delete(visible)) visible++;
    } else {
      if (mix.otherwise === 'read-modify-write') await read(record);
      await write(record, 1);
    }
  };
}

export const YCSB_WORKLOADS: readonly Workload[] = MIXES.map((mix) =>
  workload({
    name: `ycsb-${mix.letter}`,
    group: 'ycsb',
    operation: `a request of ${mix.says}, 8 in flight`,
    writes: mix.readShare < 1,
    timeFactor: 2,
    isQuick: false,
    prepare: async (context) => {
      const call = requests(context, mix);
      if (mix.readShare === 1) await warmUp(call);
      return () => inFlight(context, LANES, { timeEvery: 7 }, call);
    },
  }),
);
