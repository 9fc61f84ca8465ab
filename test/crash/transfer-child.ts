/**
 * The child that transfers between accounts until it is killed: many transactions at once, some of them synced, beside flushes.
 *
 * On fd 3, as crash-child.ts says it: `S n` and `A n` are how many transfers were begun and acknowledged.
 */
import { writeSync } from 'node:fs';
import { openEngine } from '../../src/main/engine.ts';
import { killingSpec } from '../helpers/recording-file-system.ts';
import { seededRandom } from '../helpers/rng.ts';
import { ACCOUNTS, accountKey, LANES, laneKey, type TransferPlan } from './transfer-plan.ts';

const plan = JSON.parse(process.argv[2]!) as TransferPlan;
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
const internals = plan.killAfter > 0 ? { fileSystem: killingSpec(plan.killAfter) } : {};
const engine = await openEngine(plan.directory, plan.options, internals);
engine.on('backgroundError', ({ error }) => fail(error));
tell('O');

let begun = 0;
let done = 0;
await Promise.all(Array.from({ length: LANES }, (_, lane) => transferForEver(laneKey(lane))));

async function transferForEver(lane: string): Promise<void> {
  for (;;) {
    tell(`S ${++begun}`);
    const [from, to] = [accountKey(random.below(ACCOUNTS)), accountKey(random.below(ACCOUNTS))];
    const amount = random.below(20);
    await engine.transaction(
      async (tx) => {
        const balance = Number(await tx.get(from));
        tx.put(from, String(balance - amount));
        if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
        tx.put(to, String(Number(await tx.get(to)) + amount));
        tx.put(lane, String(Number((await tx.get(lane)) ?? 0) + 1));
      },
      { retries: 1000, sync: random.chance(0.2) },
    );
    tell(`A ${++done}`);
    if (random.chance(0.02)) engine.flush().catch(fail);
    if (random.chance(0.005)) engine.compact().catch(fail);
  }
}
