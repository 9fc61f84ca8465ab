/**
 * Fills a store with a data set: every record once, in batches, in random order or in that of the keys.
 */
import type { BenchStore } from '../stores/store.ts';
import { Dataset, type Shape } from './dataset.ts';
import { Random } from './random.ts';

const LOAD_SEED = 7;
const RECORDS_PER_BATCH = 1000;
/** Batches hold no more than this, however large the values. */
const BATCH_BYTES: number = 1024 * 1024;

export interface Filling {
  readonly records: number;
  readonly shape: Shape;
  readonly isInOrder?: boolean;
}

export async function fill(store: BenchStore, { records, shape, isInOrder = false }: Filling): Promise<void> {
  const data = new Dataset(records, shape);
  const order = isInOrder
    ? Uint32Array.from({ length: records }, (_, i) => i)
    : new Random(LOAD_SEED).permutation(records);
  const perBatch = Math.max(1, Math.min(RECORDS_PER_BATCH, Math.floor(BATCH_BYTES / data.recordBytes)));
  for (let begin = 0; begin < order.length; begin += perBatch) {
    const batch = [...order.subarray(begin, begin + perBatch)];
    await store.write(
      batch.map((record) => data.key(record)),
      batch.map((record) => data.value(record)),
    );
  }
}
