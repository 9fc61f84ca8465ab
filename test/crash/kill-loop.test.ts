/**
 * kill -9, again and again, of one and the same store: no acknowledged batch is lost, none is torn, none comes back.
 *
 *   each round   random options; a child writes; it is killed at a random time, at a random file operation, or while it
 *                recovers (up to three times in a row); then the parent opens what it left and compares
 *   the oracle   the store holds exactly the batches 1..P for some P with acknowledged <= P <= submitted
 *   a consumer   follows the changes in the child, stops and goes on, dies with it, and goes on in the next one, and in the
 *                parent at last: it is given the batches 1..P, once each, in order and whole
 *
 * STRATA_KILL_ROUNDS rounds. In every other round the parent looks at a copy, so that crash follows upon crash.
 */
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { StorageEngine } from '../../src/main/index.ts';
import { isSocket } from '../helpers/copy-store.ts';
import { batchesUntilNow, digestOfChanges, digestOfEntries } from '../helpers/feed.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { SortedModel } from '../helpers/sorted-model.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { applyBatch, type CrashPlan, plannedBatch, randomOptions } from './crash-plan.ts';
import { type KillTime, type Life, runUntilKilled } from './kill-round.ts';
import { checkedContent } from './store-check.ts';

const rounds = runBudget('STRATA_KILL_ROUNDS', 5);

test('a store survives kill -9 at any moment', async (t) => {
  const seed = runSeed(t);
  const loop = new KillLoop(seed, temporaryDirectory(t));
  for (let round = 0; round < rounds; round++) await loop.round(round);
  await loop.finish();
  loop.report(t);
});

class KillLoop {
  readonly #random: Random;
  readonly #seed: number;
  readonly #root: string;
  readonly #directory: string;
  /** What the store holds for certain: the batches up to #lastBatch. */
  #model = new SortedModel();
  #lastBatch = 0;
  #kills = 0;
  #inRecovery = 0;
  #acknowledged = 0;
  #unacknowledged = 0;
  /** Of the batches that have survived, those that make a batch of changes. */
  #digests: string[] = [];
  /** How many of them the consumer was given, and where it is. */
  #followed = 0;
  #followFrom = '';

  constructor(seed: number, root: string) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#root = root;
    this.#directory = join(root, 'store');
  }

  async round(round: number): Promise<void> {
    const random = this.#random;
    const depth = random.chance(0.3) ? random.between(1, 3) : 0;
    const plan = this.#plan(round);
    const life = await this.#live(plan, this.#killTime(false));
    await this.#compare(plan, life, round, depth > 0 || random.chance(0.5));
    // Killed while it opens, or soon after: what one recovery left half done is what the next one finds.
    for (let i = 0; i < depth; i++) {
      const next = this.#plan(round + (i + 1) * 100_000);
      const short = await this.#live(next, this.#killTime(true));
      await this.#compare(next, short, round, i < depth - 1);
    }
  }

  report(t: TestContext): void {
    t.diagnostic(
      `${this.#kills} kills, ${this.#inRecovery} of them before the store was open; ` +
        `${this.#acknowledged} batches acknowledged, none lost; ${this.#unacknowledged} more had survived`,
    );
    t.diagnostic(
      `FIGURE kills=${this.#kills} kills-in-recovery=${this.#inRecovery} ` +
        `batches-acknowledged=${this.#acknowledged} lost=0 torn=0 batches-followed=${this.#followed}`,
    );
  }

  #plan(round: number): CrashPlan {
    const random = this.#random;
    return {
      directory: this.#directory,
      seed: this.#seed,
      round,
      firstBatch: this.#lastBatch + 1,
      options: randomOptions(random),
      inFlight: random.pick([1, 3, 8, 32]),
      killAfter: random.chance(0.4) ? random.between(1, random.pick([8, 40, 300])) : 0,
      followFrom: this.#followFrom,
    };
  }

  #killTime(isNested: boolean): KillTime {
    const random = this.#random;
    if (isNested) return { since: 'opening', delayMs: random.below(random.pick([3, 12, 40])) };
    return { since: 'open', delayMs: random.below(random.pick([5, 60, 400])) };
  }

  async #live(plan: CrashPlan, kill: KillTime): Promise<Life> {
    const life = await runUntilKilled(plan, kill);
    this.#kills++;
    if (!life.isOpen) this.#inRecovery++;
    if (life.error !== undefined) throw new Error(`${this.#context(plan)}: the child failed: ${life.error}`);
    return life;
  }

  #context(plan: CrashPlan): string {
    return `seed ${this.#seed}, round ${plan.round}, ${JSON.stringify(plan)}`;
  }

  /** Opens what is left (or a copy of it) and takes over the prefix of batches it holds. */
  async #compare(plan: CrashPlan, life: Life, round: number, onCopy: boolean): Promise<void> {
    const looked = onCopy ? join(this.#root, 'copy') : this.#directory;
    if (onCopy) cpSync(this.#directory, looked, { recursive: true, filter: (from) => !isSocket(from) });
    let content: SortedModel;
    try {
      content = await checkedContent(looked, randomOptions(this.#random));
    } catch (error) {
      throw new Error(`${this.#context(plan)}: killed in round ${round}, the store is unsound`, {
        cause: error,
      });
    }
    if (onCopy) rmSync(looked, { recursive: true });
    this.#takeOver(plan, life, content);
  }

  /** The consumer may have been killed before it was given all. */
  #checkFollowed(plan: CrashPlan, followed: Life['followed']): void {
    const due = this.#digests.slice(this.#followed, this.#followed + followed.length);
    assert.deepEqual(
      followed.map(({ digest }) => digest),
      due,
      `${this.#context(plan)}: the consumer was given other batches than were written, from ${this.#followed} on`,
    );
    this.#followed += followed.length;
    this.#followFrom = followed.at(-1)?.position ?? this.#followFrom;
  }

  /** What the consumer has not been given yet, in the end. */
  async finish(): Promise<void> {
    const engine = await StorageEngine.open(this.#directory, randomOptions(this.#random));
    try {
      if (this.#followFrom === '') return;
      const rest = await batchesUntilNow(engine, this.#followFrom);
      assert.deepEqual(
        rest.map(({ changes }) => digestOfChanges(changes)),
        this.#digests.slice(this.#followed),
      );
    } finally {
      await engine.close();
    }
  }

  #takeOver(plan: CrashPlan, { acknowledged, submitted, followed }: Life, content: SortedModel): void {
    const model = this.#model;
    let difference: string | undefined;
    const digests: string[] = [];
    for (let n = plan.firstBatch - 1; n <= submitted; n++) {
      if (n >= plan.firstBatch) {
        const batch = plannedBatch(plan, n);
        applyBatch(model, batch);
        digests.push(...[digestOfEntries(batch.entries)].filter((digest) => digest !== undefined));
      }
      if (n < acknowledged) continue;
      const found =
        model.size === content.size ? model.difference(content) : `${content.size} keys, not ${model.size}`;
      difference ??= found;
      if (found !== undefined) continue;
      this.#lastBatch = n;
      this.#acknowledged += acknowledged - plan.firstBatch + 1;
      this.#unacknowledged += n - acknowledged;
      // It began where the store was opened.
      if (plan.followFrom === '') this.#followed = this.#digests.length;
      this.#digests.push(...digests);
      this.#checkFollowed(plan, followed);
      return;
    }
    assert.fail(
      `${this.#context(plan)}: the store holds no prefix from ${acknowledged} to ${submitted}; ` +
        `beside all that was acknowledged: ${difference}`,
    );
  }
}
