/**
 * The child of the kill loop: opens the store and writes planned batches until it is killed.
 *
 *   on fd 3, synchronously, so that it survives the kill:
 *     L        about to open        S n   batch n is about to be submitted      E text   something failed
 *     O        open                 A n   batch n was acknowledged
 *     C d p    the consumer of the changes was given a batch with this digest and position
 */
import { writeSync } from 'node:fs';
import { openEngine, type StorageEngine } from '../../src/main/engine.ts';
import { WriteBatch } from '../../src/main/index.ts';
import { addTo, submitOne } from '../helpers/batch-entries.ts';
import { digestOfChanges } from '../helpers/feed.ts';
import { killingSpec } from '../helpers/recording-file-system.ts';
import { seededRandom } from '../helpers/rng.ts';
import { SMALL_PAGES } from '../helpers/small-pages.ts';
import { type CrashPlan, type PlannedBatch, plannedBatch } from './crash-plan.ts';

const plan = JSON.parse(process.argv[2]!) as CrashPlan;
const random = seededRandom(plan.seed + plan.round);

function tell(line: string): void {
  writeSync(3, `${line}\n`);
}

function fail(error: unknown): never {
  tell(`E ${String(error instanceof Error ? (error.stack ?? error) : error).replaceAll('\n', ' | ')}`);
  process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

tell('L');
const pageLimits = plan.round % 2 === 0 ? undefined : SMALL_PAGES;
const internals =
  plan.killAfter > 0 ? { fileSystem: killingSpec(plan.killAfter), pageLimits } : { pageLimits };
const engine = await openEngine(plan.directory, plan.options, internals);
engine.on('backgroundError', ({ error }) => fail(error));
tell('O');

let nextBatch = plan.firstBatch;
const start = plan.followFrom === '' ? engine.position : plan.followFrom;
await Promise.all([follow(start), ...Array.from({ length: plan.inFlight }, () => writeForEver())]);

/** Stops now and then, and goes on from where it was. */
async function follow(from: string): Promise<void> {
  let after = from;
  for (;;) {
    for await (const { changes, position } of engine.changes({ after })) {
      after = position;
      tell(`C ${digestOfChanges(changes)} ${position}`);
      if (random.chance(0.02)) break;
    }
    await new Promise((resolve) => setTimeout(resolve, random.below(5)));
  }
}

/** One of several writers; together they submit the batches in order. */
async function writeForEver(): Promise<void> {
  for (;;) {
    const n = nextBatch++;
    const batch = plannedBatch(plan, n);
    tell(`S ${n}`);
    await submit(engine, batch);
    tell(`A ${n}`);
    if (random.chance(0.02)) engine.flush().catch(fail);
    if (random.chance(0.008)) engine.compact().catch(fail);
    if (random.chance(0.15)) await new Promise((resolve) => setTimeout(resolve, random.below(3)));
  }
}

function submit(store: StorageEngine, { entries, sync }: PlannedBatch): Promise<void> {
  const options = sync ? { sync } : {};
  const [only] = entries;
  if (entries.length === 1 && only !== undefined) return submitOne(store, only, options);
  const batch = new WriteBatch();
  for (const entry of entries) addTo(batch, entry);
  return store.write(batch, options);
}
