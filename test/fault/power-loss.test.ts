/**
 * Power loss: whatever a POSIX disk may show after it, at any moment of a run, the store opens and holds every write it
 * promised, a prefix of all writes, and batches whole.
 *
 * STRATA_CRASH_STATES=100000 looks at that many states; STRATA_SEED=n at the runs of that seed.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { searchCrashes } from '../helpers/fault/crash-search.ts';
import { fateOf, filesOf } from '../helpers/fault/disk-model.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { type TracedRun, traceRun } from '../helpers/fault/traced-run.ts';
import { WriteModel } from '../helpers/fault/write-model.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

// Of the states, every fifth is of a run that began in a crash state of another.
const NESTED_SHARE = 0.2;
const BUDGET = Number(process.env['STRATA_CRASH_STATES'] ?? 500);
const STATES_PER_RUN = Math.max(500, Math.min(5000, Math.ceil(BUDGET / 8)));
const WRITES = 220;

test(`power loss at any moment loses nothing that was promised (${BUDGET} states)`, async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const totals = new Totals();
  const share = Math.ceil(BUDGET * (1 - NESTED_SHARE));
  for (let i = 0; totals.states < share; i++) {
    const run = await traceRun({ directory: storeDirectory(t), seed: seed + i, writes: WRITES });
    await totals.search(t, run, seed + i, share);
  }
  t.diagnostic(totals.text());
  t.diagnostic(totals.figures());
});

test('power loss while recovering from a power loss, and after it, loses nothing either', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const totals = new Totals();
  const share = Math.floor(BUDGET * NESTED_SHARE);
  for (let i = 0; totals.states < share; i++) {
    const first = await traceRun({ directory: storeDirectory(t), seed: seed + i, writes: WRITES >> 1 });
    for (let j = 0; j < 3 && totals.states < share; j++) {
      const state = first.disk.stateAt(
        random.between(first.moments >> 2, first.moments),
        fateOf(2, random.next),
      );
      if (state.files === undefined) continue;
      const files = filesOf(state);
      const directory = storeDirectory(t, true);
      for (const [name, bytes] of files) writeFileSync(join(directory, name), bytes);
      const model = new WriteModel(await contents(directory));
      const run = await traceRun({ directory, seed: seed + i + j, writes: 60, initial: { files, model } });
      await totals.search(t, run, seed + i + j, share);
    }
  }
  t.diagnostic(totals.text());
  t.diagnostic(totals.figures());
});

for (const lostBytes of [1, 10, 31, 32]) {
  test(`a page lost behind a sync that ended ${lostBytes} bytes before its end is no damage`, async (t) => {
    const directory = storeDirectory(t);
    const engine = await openEngine(directory, { threads: 0 }, { clock: new SettableClock() });
    await engine.put('synced', '');
    const [name] = readdirSync(directory).filter((file) => file.endsWith('.log'));
    const log = join(directory, name!);
    // A record of one put: 19 bytes of header, 1 + 1 + 2 of the entry's, key and value.
    const room = 4096 - lostBytes - statSync(log).size;
    await engine.put('fills', Buffer.alloc(room - 19 - 4 - 5), { sync: true });
    assert.equal(statSync(log).size, 4096 - lostBytes);
    await engine.put('lost', 'its first bytes are in the page that is lost');
    await engine.put('kept', 'but of no use without the write before');
    const bytes = readFileSync(log).fill(0, 4096 - lostBytes, 4096);
    const manifest = readFileSync(join(directory, 'manifest.json'));
    await engine.close();
    const crashed = storeDirectory(t, true);
    writeFileSync(join(crashed, name!), bytes);
    writeFileSync(join(crashed, 'manifest.json'), manifest);
    assert.deepEqual(
      (await contents(crashed)).map(([key]) => key),
      ['fills', 'synced'],
    );
  });
}

/** What the store in `directory` holds; nothing is written but LOCK. */
async function contents(directory: string): Promise<[string, Uint8Array][]> {
  const engine = await openEngine(directory, { threads: 0, readOnly: true }, {});
  const entries = [...engine.scan()].map(([key, value]): [string, Uint8Array] => [key.toString(), value]);
  await engine.close();
  return entries;
}

class Totals {
  states = 0;
  #distinct = 0;
  #runs = 0;
  #operations = 0;

  async search(t: TestContext, run: TracedRun, seed: number, wanted: number): Promise<void> {
    assert.deepEqual(run.leaks, {}, 'handles stayed open');
    assert.equal(run.changedBuffers, 0, 'bytes changed while they were being written');
    const { states, distinct, violations } = await searchCrashes(run, {
      scratch: storeDirectory(t, true),
      seed,
      states: Math.min(STATES_PER_RUN, wanted - this.states),
    });
    this.states += states;
    this.#distinct += distinct;
    this.#runs++;
    this.#operations += run.operations;
    assert.deepEqual(
      violations.slice(0, 5),
      [],
      `${violations.length} of ${states} states are wrong (${seed})`,
    );
  }

  text(): string {
    return `${this.states} crash states (${this.#distinct} different) of ${this.#runs} runs, ${this.#operations} operations on files`;
  }

  figures(): string {
    return `FIGURE crash-states=${this.states} different=${this.#distinct} traced-runs=${this.#runs} violations=0`;
  }
}
