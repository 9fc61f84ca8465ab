/**
 * Read, decide, write: update, transaction, transaction-contended; and what a transaction is made of, without one.
 *
 *   update                  a put, and the value before it: where the store has a call for that, else in a transaction
 *   gets-and-batch          two gets and a batch of two puts: what a transaction costs without being one
 *   transaction             the same in a transaction
 *   transaction-contended   a counter that all transactions in flight read and write
 */
import { inFlight, inSeries, warmUp } from './loops.ts';
import { type Context, type Workload, workload } from './workload.ts';

const DRAWS: number = 1 << 18;
const CONTENDERS = 16;
const CHANGES = { group: 'transactions', base: 'loaded', writes: true } as const;

function recordsOf({ random, data }: Context): (operation: number) => number {
  const draws = random.draws(DRAWS, data.records);
  return (operation) => draws[operation % DRAWS]!;
}

/** A loop of calls that each write `records` records, awaited one after the other. */
async function loopOf(
  context: Context,
  records: number,
  call: (index: number) => Promise<unknown>,
): Promise<() => Promise<void>> {
  const { meter, data } = context;
  await warmUp(call);
  return () =>
    inSeries(context, { timeEvery: 7 }, (index) => {
      meter.userBytes += records * data.recordBytes;
      return call(index);
    });
}

const limit = (records: number): number => Math.floor(records / 4);

export const TRANSACTION_WORKLOADS: readonly Workload[] = [
  workload({
    ...CHANGES,
    name: 'update',
    operation: 'an update of a present key, awaited before the next',
    limit,
    needsTransactions: true,
    prepare: (context) => {
      const { store, data } = context;
      const recordAt = recordsOf(context);
      return loopOf(context, 1, (index) => {
        const value = data.value(recordAt(index), 1);
        return store.update!(data.key(recordAt(index)), () => value);
      });
    },
  }),
  workload({
    ...CHANGES,
    name: 'overwrite-1',
    operation: 'a put of a present key, awaited before the next',
    limit,
    prepare: (context) => {
      const { store, data } = context;
      const recordAt = recordsOf(context);
      return loopOf(context, 1, (index) =>
        store.put(data.key(recordAt(index)), data.value(recordAt(index), 1)),
      );
    },
  }),
  workload({
    ...CHANGES,
    name: 'gets-and-batch',
    operation: 'two gets, then a batch of two puts',
    limit,
    prepare: (context) => {
      const { store, data } = context;
      const recordAt = recordsOf(context);
      return loopOf(context, 2, async (index) => {
        const [a, b] = [recordAt(2 * index), recordAt(2 * index + 1)];
        const keys = [data.key(a), data.key(b)];
        await store.get(keys[0]!);
        await store.get(keys[1]!);
        await store.write(keys, [data.value(a, 1), data.value(b, 1)]);
      });
    },
  }),
  workload({
    ...CHANGES,
    name: 'transaction',
    operation: 'a transaction of two gets and two puts',
    limit,
    needsTransactions: true,
    prepare: (context) => {
      const { store, data } = context;
      const recordAt = recordsOf(context);
      return loopOf(context, 2, (index) => {
        const [a, b] = [recordAt(2 * index), recordAt(2 * index + 1)];
        const keys = [data.key(a), data.key(b)];
        return store.transact!(keys, () => [data.value(a, 1), data.value(b, 1)]);
      });
    },
  }),
  workload({
    ...CHANGES,
    name: 'transaction-contended',
    operation: `a transaction that counts one key up, ${CONTENDERS} in flight`,
    limit,
    needsTransactions: true,
    prepare: (context) => {
      const { store, data, meter } = context;
      const keys = [data.key(0)];
      const plusOne = ([found]: readonly (Uint8Array | undefined)[]): Buffer[] => {
        const value = Buffer.from(found!);
        value.writeUInt32LE((value.readUInt32LE(0) + 1) >>> 0, 0);
        return [value];
      };
      return () =>
        inFlight(context, CONTENDERS, { timeEvery: 7 }, () => {
          meter.userBytes += data.recordBytes;
          return store.transact!(keys, plusOne);
        });
    },
  }),
];
