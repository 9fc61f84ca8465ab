/**
 * Many transactions at once, against a record of every write in the order in which the store took it.
 *
 *   what one reads        is what the record says of the moment at which it began, with its own writes
 *   one that commits      has read nothing that the record says was written between that moment and its own writes. So it could
 *                         have run all at once where it committed: the order of commits is a serial one
 *   one that is refused   has read something that was
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type StorageEngine, type Transaction, WriteBatch } from '../../src/main/index.ts';
import type { StoreParts } from '../../src/main/store-parts.ts';
import { keyOf, turn } from '../helpers/engines.ts';
import { openWithGate } from '../helpers/held-gate.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const KEYS = 24;
const LANES = 8;

interface Operation {
  /** The first key, and the first behind the last. */
  readonly from: string;
  readonly to: string;
  /** undefined: deleted. */
  readonly value: string | undefined;
}

/** A write and the sequence of its last operation. */
interface Recorded {
  readonly sequence: number;
  readonly operations: readonly Operation[];
}

/** [from, to). */
type Range = readonly [from: string, to: string];

const after = (key: string): string => `${key}\0`;
const put = (key: string, value: string | undefined): Operation => ({ from: key, to: after(key), value });
const touches = ({ operations }: Recorded, [from, to]: Range): boolean =>
  operations.some((one) => one.from < to && from < one.to);

function apply(state: Map<string, string>, { from, to, value }: Operation): void {
  if (value !== undefined) state.set(from, value);
  else for (const key of [...state.keys()]) if (key >= from && key < to) state.delete(key);
}

class Run {
  readonly engine: StorageEngine;
  readonly #store: StoreParts;
  readonly #random: Random;
  readonly record: Recorded[] = [];
  commits = 0;
  conflicts = 0;
  #next = 0;
  /** Of transactions that are about to commit, by a key of their own: what they write. */
  readonly #running = new Map<string, readonly Operation[]>();

  constructor(engine: StorageEngine, store: StoreParts, random: Random) {
    this.engine = engine;
    this.#store = store;
    this.#random = random;
  }

  /** What `write` does within the call is one write of these operations. */
  write<T>(operations: readonly Operation[], write: () => T): T {
    const written = write();
    this.record.push({ sequence: this.#lastSequence(), operations });
    return written;
  }

  #lastSequence(): number {
    const { active } = this.#store.memtables;
    assert.ok(active !== undefined);
    return active.memtable.nextSequence - 1;
  }

  #stateAt(sequence: number): Map<string, string> {
    const state = new Map<string, string>();
    for (const write of this.record)
      if (write.sequence <= sequence) for (const operation of write.operations) apply(state, operation);
    return state;
  }

  key(): string {
    return keyOf(this.#random.below(KEYS));
  }

  value(): string {
    return `v${++this.#next}`;
  }

  /** Somebody who just writes, awaiting it or not. */
  async writeOne(): Promise<void> {
    const random = this.#random;
    const [key, value] = [this.key(), this.value()];
    const { engine } = this;
    const kind = random.below(5);
    let written: Promise<unknown>;
    if (kind === 0) written = this.write([put(key, undefined)], () => engine.delete(key));
    else if (kind === 1) {
      const to = keyOf(Number(key.slice(4)) + 3);
      written = this.write([{ from: key, to, value: undefined }], () =>
        engine.deleteRange({ gte: key, lt: to }),
      );
    } else if (kind === 2) {
      const other = this.key();
      const batch = new WriteBatch().put(key, value).delete(other);
      written = this.write([put(key, value), put(other, undefined)], () => engine.write(batch));
    } else if (kind === 3) written = this.write([put(key, value)], () => engine.update(key, () => value));
    else written = this.write([put(key, value)], () => engine.put(key, value));
    if (random.chance(0.5)) await written;
    else written.catch(() => undefined);
  }

  /** One transaction, run once, and whether it was right to commit or not. */
  async transact(): Promise<void> {
    const reads: Range[] = [];
    const operations: Operation[] = [];
    const marker = `~${++this.#next}~`;
    let sequence = 0;
    const outcome = this.engine.transaction(
      async (tx) => {
        sequence = this.engine.stats().sequence;
        const state = this.#stateAt(sequence);
        for (let steps = this.#random.between(1, 7); steps > 0; steps--) {
          if (this.#random.chance(0.5)) this.#writeIn(tx, state, operations);
          else await this.#readIn(tx, state, operations, reads);
          if (this.#random.chance(0.4)) await turn();
        }
        if (operations.length === 0) return;
        tx.put(marker, '');
        this.#running.set(marker, operations);
      },
      { retries: 0 },
    );
    const isCommitted = await outcome.then(
      () => true,
      (error: { code?: string }) => {
        assert.equal(error.code, 'STRATA_CONFLICT', String(error));
        return false;
      },
    );
    this.#running.delete(marker);
    const own = this.record.findIndex((write) => write.operations === operations);
    const until = own < 0 ? this.record.length : own;
    const between = this.record.slice(0, until).filter((write) => write.sequence > sequence);
    const isTouched = between.some((write) => reads.some((range) => touches(write, range)));
    if (operations.length === 0) assert.equal(isCommitted, true, 'one that writes nothing never conflicts');
    else if (isCommitted) {
      assert.ok(own >= 0, 'what commits is written');
      assert.equal(isTouched, false, 'it committed, though what it had read was written');
    } else {
      assert.ok(own < 0, 'what is refused is not written');
      assert.equal(isTouched, true, 'it was refused, though nothing that it had read was written');
    }
    if (isCommitted) this.commits++;
    else this.conflicts++;
  }

  #writeIn(tx: Transaction, state: Map<string, string>, operations: Operation[]): void {
    const key = this.key();
    const kind = this.#random.below(4);
    let operation = put(key, undefined);
    if (kind === 0) tx.delete(key);
    else if (kind === 1) {
      operation = { from: key, to: keyOf(Number(key.slice(4)) + 3), value: undefined };
      tx.deleteRange({ gte: key, lt: operation.to });
    } else {
      operation = put(key, this.value());
      tx.put(key, operation.value!);
    }
    operations.push(operation);
    apply(state, operation);
  }

  async #readIn(
    tx: Transaction,
    state: Map<string, string>,
    operations: readonly Operation[],
    reads: Range[],
  ): Promise<void> {
    const random = this.#random;
    const key = this.key();
    const kind = random.below(5);
    if (kind < 3) {
      const isOwn = operations.some((one) => one.from <= key && key < one.to);
      if (!isOwn) reads.push([key, after(key)]);
      const value =
        kind === 0 ? await tx.get(key) : kind === 1 ? tx.getSync(key) : (await tx.getMany([key]))[0];
      assert.equal(value?.toString(), state.get(key));
      return;
    }
    const [from, to] = [key, keyOf(Number(key.slice(4)) + random.between(1, 10))];
    const reverse = random.chance(0.3);
    const inside = [...state].filter(([one]) => one >= from && one < to).sort(([a], [b]) => (a < b ? -1 : 1));
    if (reverse) inside.reverse();
    const count = random.between(1, 6);
    const scan = tx.scan({ gte: from, lt: to, reverse });
    let found: [Buffer, Buffer][] = [];
    if (kind === 3) found = scan.nextMany(count);
    else {
      for await (const entry of scan) {
        found.push(entry);
        if (found.length === count) break;
      }
    }
    const texts = found.map(([one, value]) => [String(one), String(value)]);
    assert.deepEqual(texts, inside.slice(0, count));
    const last = texts.at(-1)?.[0];
    if (texts.length < count) reads.push([from, to]);
    else if (last !== undefined) reads.push(reverse ? [last, to] : [from, after(last)]);
  }

  /** The commits of transactions come into the record as the store takes them, known by their markers. */
  watchCommits(): void {
    const { pipeline } = this.#store;
    const append = pipeline.appendBatch.bind(pipeline);
    pipeline.appendBatch = (batch, sync) => {
      const bytes = Buffer.from(WriteBatch.encoded(batch));
      const marker = [...this.#running.keys()].find((one) => bytes.includes(one));
      if (marker === undefined) return append(batch, sync);
      return this.write(this.#running.get(marker)!, () => append(batch, sync));
    };
  }
}

/** Each lane does one thing after another; some flush and compact. */
async function lane(run: Run, index: number, count: number, random: Random): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (random.chance(0.6)) await run.transact();
    else await run.writeOne();
    if (random.chance(0.3)) await turn();
    if (index === 0 && i % 25 === 24) await run.engine.flush();
    if (index === 1 && i % 40 === 39) await run.engine.compact();
  }
}

async function check(seed: number, count: number, t: TestContext): Promise<number> {
  const random = seededRandom(seed);
  const { engine, store } = await openWithGate(t, { blockSize: 256, blockRestartInterval: 2 });
  const run = new Run(engine, store, random);
  run.watchCommits();
  for (let i = 0; i < KEYS; i += 2) await run.write([put(keyOf(i), 'v')], () => engine.put(keyOf(i), 'v'));
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(run, index, count, random)));
  assert.ok(run.commits > 0 && run.conflicts > 0, 'there were both');
  assert.equal(engine.stats().transactions.open, 0);
  await engine.close();
  return run.commits + run.conflicts;
}

test('transactions at random commit when nothing that they have read was written, and only then', async (t) => {
  const rounds = runBudget('STRATA_TRANSACTION_ROUNDS', 3);
  const seed = runSeed(t);
  let judged = 0;
  for (let round = 0; round < rounds; round++) judged += await check(seed + round, 60, t);
  t.diagnostic(`FIGURE transactions-judged=${judged}`);
});
