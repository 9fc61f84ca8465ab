/**
 * The point reads: readrandom three ways, readmissing, readhot.
 *
 * Every value read is checked for being there, and one in 64 for being the right one, so that a store can't win by
 * answering wrongly.
 */
import { Zipf } from '../data/zipf.ts';
import type { Found } from '../stores/store.ts';
import { inSeries, inTurns, warmUp } from './loops.ts';
import { type Context, type ReadContext, type Workload, workload } from './workload.ts';

/** Reads draw from this many prepared numbers, again and again. */
const DRAWS: number = 1 << 18;
const CHECK_EVERY = 64;
const KEYS_PER_GET_MANY = 100;

function check({ data }: Pick<Context, 'data'>, index: number, record: number, found: Found): void {
  if (index % CHECK_EVERY === 0) data.expect(record, found);
  else if (found === undefined) throw new Error(`record ${record} was not found`);
}

function drawUniform({ random, data }: Pick<Context, 'random' | 'data'>): Uint32Array {
  return random.draws(DRAWS, data.records);
}

function gets(draw: (context: Context) => Uint32Array): Workload['prepare'] {
  return async (context) => {
    const { store, data } = context;
    const drawn = draw(context);
    const call = async (index: number): Promise<void> => {
      const record = drawn[index & (DRAWS - 1)]!;
      check(context, index, record, await store.get(data.key(record)));
    };
    await warmUp(call);
    return () => inSeries(context, { timeEvery: 17 }, call);
  };
}

/** Reads only through what a reader thread has, too. */
export async function prepareGetSync(context: ReadContext): Promise<() => Promise<void>> {
  const { store, data } = context;
  const drawn = drawUniform(context);
  const call = (index: number): void => {
    const record = drawn[index & (DRAWS - 1)]!;
    check(context, index, record, store.getSync!(data.key(record)));
  };
  await warmUp(call);
  return () => inTurns(context, { timeEvery: 31 }, call);
}

async function prepareGetMany(context: Context): Promise<() => Promise<void>> {
  const { store, data } = context;
  const drawn = drawUniform(context);
  const call = async (index: number): Promise<void> => {
    const first = index * KEYS_PER_GET_MANY;
    const keys: Buffer[] = [];
    for (let i = first; i < first + KEYS_PER_GET_MANY; i++) keys.push(data.key(drawn[i & (DRAWS - 1)]!));
    const found = await store.getMany(keys);
    for (let i = 0; i < KEYS_PER_GET_MANY; i++)
      check(context, i, drawn[(first + i) & (DRAWS - 1)]!, found[i]);
  };
  await warmUp(call);
  return () => inSeries(context, { timeEvery: 1, perCall: KEYS_PER_GET_MANY }, call);
}

async function prepareMissing(context: Context): Promise<() => Promise<void>> {
  const { store, data } = context;
  const drawn = drawUniform(context);
  const call = async (index: number): Promise<void> => {
    const found = await store.get(data.missingKey(drawn[index & (DRAWS - 1)]!));
    if (found !== undefined) throw new Error('a key was found that was never written');
  };
  await warmUp(call);
  return () => inSeries(context, { timeEvery: 17 }, call);
}

export const READ_WORKLOADS: readonly Workload[] = [
  workload({
    name: 'readrandom',
    group: 'reads',
    operation: 'a get of a present key, awaited',
    dbBench: ['--benchmarks=readrandom'],
    prepare: gets(drawUniform),
  }),
  workload({
    name: 'readrandom-sync',
    group: 'reads',
    operation: 'a getSync of a present key',
    needsGetSync: true,
    dbBench: ['--benchmarks=readrandom'],
    prepare: prepareGetSync,
  }),
  workload({
    name: 'readrandom-many',
    group: 'reads',
    operation: 'a present key, in a getMany of 100',
    dbBench: ['--benchmarks=multireadrandom', '--batch_size=100'],
    prepare: prepareGetMany,
  }),
  workload({
    name: 'readmissing',
    group: 'reads',
    operation: 'a get of an absent key between present ones, awaited',
    dbBench: ['--benchmarks=readmissing'],
    prepare: prepareMissing,
  }),
  workload({
    name: 'readhot',
    group: 'reads',
    operation: 'a get, awaited; keys zipf-distributed (theta 0.99)',
    isQuick: false,
    prepare: gets(({ random, data }) => new Zipf(random, data.records).draws(DRAWS)),
  }),
];
