/**
 * Reads and writes together: readwhilewriting, deleterandom.
 *
 * readwhilewriting offers every store the same writes, a batch of 100 every 5 ms, and measures the reads that get
 * through beside them: on one thread, a writer at full speed would only say that fast writers leave less time to read.
 */
import { inSeries, warmUp } from './loops.ts';
import { type Context, type Workload, workload } from './workload.ts';

const DRAWS: number = 1 << 18;
const WRITES_PER_BATCH = 100;
const BATCH_INTERVAL_MS = 5;
/** A store that can't keep up gets no more than this at once. */
const MAX_BATCHES_IN_FLIGHT = 16;
const DELETES_PER_BATCH = 100;

/** Writes batches when they are due. */
class PacedWriter {
  written = 0;
  readonly #context: Context;
  readonly #records: Uint32Array;
  #beginMs = 0;
  #issued = 0;
  #inFlight = 0;
  #failure: unknown;

  constructor(context: Context) {
    this.#context = context;
    this.#records = context.random.draws(DRAWS, context.data.records);
  }

  begin(): void {
    this.#beginMs = performance.now();
  }

  /** Starts the batches that are due. Throws what an earlier one failed with. */
  poll(): void {
    if (this.#failure !== undefined) throw this.#failure;
    const due = Math.floor((performance.now() - this.#beginMs) / BATCH_INTERVAL_MS);
    while (this.#issued < due && this.#inFlight < MAX_BATCHES_IN_FLIGHT) {
      this.#inFlight++;
      void this.#write(this.#issued++).then(
        () => {
          this.#inFlight--;
          this.written += WRITES_PER_BATCH;
        },
        (error: unknown) => {
          this.#failure = error;
        },
      );
    }
  }

  async finish(): Promise<void> {
    while (this.#inFlight > 0 && this.#failure === undefined)
      await new Promise((resolve) => setTimeout(resolve, 1));
    if (this.#failure !== undefined) throw this.#failure;
  }

  #write(batch: number): Promise<unknown> {
    const { store, data, meter } = this.#context;
    const keys: Buffer[] = [];
    const values: Buffer[] = [];
    for (let i = batch * WRITES_PER_BATCH; i < (batch + 1) * WRITES_PER_BATCH; i++) {
      const record = this.#records[i & (DRAWS - 1)]!;
      keys.push(data.key(record));
      values.push(data.value(record, 1));
    }
    meter.userBytes += WRITES_PER_BATCH * data.recordBytes;
    return store.write(keys, values);
  }
}

async function prepareReadWhileWriting(context: Context): Promise<() => Promise<void>> {
  const { store, data, random, meter } = context;
  const drawn = random.draws(DRAWS, data.records);
  const writer = new PacedWriter(context);
  const read = async (index: number): Promise<void> => {
    const found = await store.get(data.key(drawn[index & (DRAWS - 1)]!));
    if (found?.length !== data.shape.valueBytes) throw new Error('a read beside writes returned no value');
  };
  await warmUp(read);
  const call = (index: number): Promise<void> => {
    if ((index & 7) === 0) writer.poll();
    return read(index);
  };
  return async () => {
    writer.begin();
    await inSeries(context, { timeEvery: 7 }, call);
    meter.extra['writesPerSecond'] = writer.written / meter.elapsedSeconds;
    await writer.finish();
  };
}

function prepareDeletes(context: Context): () => Promise<void> {
  const { store, data, random, meter } = context;
  const order = random.permutation(data.records);
  const nothing = new Array<undefined>(DELETES_PER_BATCH).fill(undefined);
  const call = (index: number): Promise<unknown> => {
    const keys: Buffer[] = [];
    for (let i = index * DELETES_PER_BATCH; i < (index + 1) * DELETES_PER_BATCH; i++)
      keys.push(data.key(order[i % order.length]!));
    meter.userBytes += DELETES_PER_BATCH * data.keyBytes;
    return store.write(keys, nothing);
  };
  return () => inSeries(context, { timeEvery: 1, perCall: DELETES_PER_BATCH }, call);
}

export const MIXED_WORKLOADS: readonly Workload[] = [
  workload({
    name: 'readwhilewriting',
    group: 'mixed',
    operation: 'a get, awaited, while 20,000 puts a second are written',
    writes: true,
    timeFactor: 2,
    dbBench: ['--benchmarks=readwhilewriting', '--threads=1', '--benchmark_write_rate_limit=2320000'],
    prepare: prepareReadWhileWriting,
  }),
  workload({
    name: 'deleterandom',
    group: 'mixed',
    operation: 'a delete of a present key, in batches of 100',
    writes: true,
    limit: (records) => Math.floor(records / 2),
    timeFactor: 12,
    dbBench: ['--benchmarks=deleterandom', '--batch_size=100'],
    isQuick: false,
    prepare: prepareDeletes,
  }),
];
