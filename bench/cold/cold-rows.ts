/**
 * The rows of the cold benchmark: what is read, and how many calls are under way at a time.
 *
 * The loops never give the event loop a turn of their own: whether it gets one is what is measured. They look at the clock
 * after each call. Every read is checked for having found something, one in 64 for having found the right thing.
 */

import type { RecordableHistogram } from 'node:perf_hooks';
import type { Dataset } from '../data/dataset.ts';
import type { Random } from '../data/random.ts';
import { recordSince } from '../measure/tally.ts';
import type { BenchStore, Found } from '../stores/store.ts';

const CHECK_EVERY = 64;
export const KEYS_PER_GET_MANY = 100;
export const ENTRIES_PER_SCAN = 100;
/** Asked for at a time by the scan of everything; few enough for the clock to be looked at often. */
const ENTRIES_PER_STEP = 256;

export interface ColdContext {
  readonly store: BenchStore;
  readonly data: Dataset;
  readonly random: Random;
  readonly latency: RecordableHistogram;
  /** performance.now() when the time is up. */
  readonly untilMs: number;
}

export interface ColdRow {
  readonly name: string;
  readonly operation: string;
  /** A writer puts beside the reads, so the store is a copy. */
  readonly writes: boolean;
  /** Returns how many operations were done. */
  run(context: ColdContext): Promise<number>;
}

/** `lanes` calls under way until the time is up, or one fails. `call` returns its operations. */
async function inLanes(
  { latency, untilMs }: ColdContext,
  lanes: number,
  call: (index: number) => Promise<number>,
): Promise<number> {
  let operations = 0;
  let next = 0;
  let hasFailed = false;
  const lane = async (): Promise<void> => {
    for (let begin = performance.now(); begin < untilMs && !hasFailed; begin = performance.now()) {
      // In two steps: `operations += await` would add to the count from before the await.
      const done = await call(next++);
      operations += done;
      recordSince(latency, begin);
    }
  };
  const fail = (error: unknown): never => {
    hasFailed = true;
    throw error;
  };
  await Promise.all(Array.from({ length: lanes }, () => lane().catch(fail)));
  return operations;
}

function check({ data }: ColdContext, index: number, record: number, found: Found): void {
  if (index % CHECK_EVERY === 0) data.expect(record, found);
  else if (found === undefined) throw new Error(`record ${record} was not found`);
}

function gets(lanes: number): ColdRow['run'] {
  return (context) => {
    const { store, data, random } = context;
    return inLanes(context, lanes, async (index) => {
      const record = random.below(data.records);
      check(context, index, record, await store.get(data.key(record)));
      return 1;
    });
  };
}

/** A value may be of any generation. */
function getsOfChanging(lanes: number): ColdRow['run'] {
  return ({ store, data, random, ...rest }) =>
    inLanes({ store, data, random, ...rest }, lanes, async () => {
      const record = random.below(data.records);
      if ((await store.get(data.key(record))) === undefined)
        throw new Error(`record ${record} was not found`);
      return 1;
    });
}

function getMany(context: ColdContext): Promise<number> {
  const { store, data, random } = context;
  return inLanes(context, 1, async () => {
    const records = random.draws(KEYS_PER_GET_MANY, data.records);
    const keys = [...records].map((record) => data.key(record));
    const found = await (store.awaited?.getMany?.(keys) ?? store.getMany(keys));
    for (const [i, record] of records.entries()) check(context, i, record, found[i]);
    return KEYS_PER_GET_MANY;
  });
}

function scans(lanes: number): ColdRow['run'] {
  return (context) => {
    const { store, data, random } = context;
    const starts = Math.max(1, data.records - ENTRIES_PER_SCAN);
    return inLanes(context, lanes, async () => {
      const key = data.key(random.below(starts));
      const read = await (store.awaited?.seek?.(key, ENTRIES_PER_SCAN) ?? store.seek(key, ENTRIES_PER_SCAN));
      if (read !== Math.min(ENTRIES_PER_SCAN, data.records))
        throw new Error(`a scan returned ${read} entries of ${ENTRIES_PER_SCAN}`);
      return read;
    });
  };
}

/** Once, or as far as the time allows. */
async function scanOfAll({ store, data, untilMs }: ColdContext): Promise<number> {
  const scan = store.awaited?.scan?.(false) ?? store.scan(false);
  let total = 0;
  while (performance.now() < untilMs) {
    const read = await scan.next(ENTRIES_PER_STEP);
    total += read;
    if (read > 0) continue;
    if (total !== data.records) throw new Error(`a scan returned ${total} entries of ${data.records}`);
    break;
  }
  await scan.close();
  return total;
}

const GET_COUNTS = [1, 16, 64] as const;

export const COLD_ROWS: readonly ColdRow[] = [
  ...GET_COUNTS.map((lanes) => ({
    name: `get${lanes}`,
    operation: lanes === 1 ? 'a get, awaited' : `a get, ${lanes} under way`,
    writes: false,
    run: gets(lanes),
  })),
  { name: 'many100', operation: 'a key in a getMany of 100', writes: false, run: getMany },
  { name: 'scan100', operation: 'an entry in a scan of 100', writes: false, run: scans(1) },
  { name: 'scan100x16', operation: 'an entry in a scan of 100, 16 under way', writes: false, run: scans(16) },
  { name: 'scanall', operation: 'an entry in a scan of everything', writes: false, run: scanOfAll },
  {
    name: 'writes',
    operation: 'a get, 16 under way, beside a writer of 5,000 puts a second',
    writes: true,
    run: getsOfChanging(16),
  },
];

/** Throws for a name that there is not. */
export function chooseRows(names: readonly string[] | undefined): readonly ColdRow[] {
  if (names === undefined) return COLD_ROWS;
  for (const name of names) {
    if (!COLD_ROWS.some((row) => row.name === name))
      throw new RangeError(
        `there is no row "${name}"; there are ${COLD_ROWS.map((row) => row.name).join(', ')}`,
      );
  }
  return COLD_ROWS.filter(({ name }) => names.includes(name));
}
