/**
 * As much of tape as the suites of abstract-level use, over node:test: each of their tests is one of ours.
 *
 * A test ends when its function's promise resolves; without one with end(), or with the last assertion that it planned. It fails
 * when an assertion has, when it made others than it planned, when it ended twice, or asserted behind its end.
 *
 * Not chosen: tape itself: 127 packages for nine assertions.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

type Thrown = RegExp | Error | object | ((error: unknown) => boolean);

/** What a test of the suite is given. */
export class TapeTest {
  #planned: number | undefined;
  #asserted = 0;
  #isEnded = false;
  #failures: unknown[] = [];
  #end!: () => void;
  readonly ended: Promise<void> = new Promise((resolve) => {
    this.#end = resolve;
  });

  plan(count: number): void {
    this.#planned = count;
    if (count === 0) this.#finish();
  }

  end(error?: unknown): void {
    if (error !== undefined && error !== null) this.#failures.push(error);
    if (this.#isEnded) this.#failures.push(new Error('the test ended twice'));
    this.#finish();
  }

  ok(value: unknown, message?: string): void {
    this.#assert(() => assert.ok(value, message));
  }

  is(actual: unknown, expected: unknown, message?: string): void {
    this.#assert(() => assert.strictEqual(actual, expected, message));
  }

  isNot(actual: unknown, expected: unknown, message?: string): void {
    this.#assert(() => assert.notStrictEqual(actual, expected, message));
  }

  same(actual: unknown, expected: unknown, message?: string): void {
    this.#assert(() => assert.deepStrictEqual(actual, expected, message));
  }

  throws(act: () => unknown, expected?: Thrown, message?: string): void {
    this.#assert(() => {
      if (expected === undefined) assert.throws(act, message);
      else assert.throws(act, expected, message);
    });
  }

  doesNotThrow(act: () => unknown, message?: string): void {
    this.#assert(() => assert.doesNotThrow(act, message));
  }

  pass(): void {
    this.#assert(() => undefined);
  }

  fail(reason?: unknown): void {
    this.#assert(() => assert.fail(reason instanceof Error ? reason : String(reason)));
  }

  /** Its function's promise has resolved. */
  resolved(): void {
    this.#finish();
  }

  /** Throws what was wrong with it. */
  judge(): void {
    const { length } = this.#failures;
    if (length > 1) throw new AggregateError(this.#failures, `${length} assertions failed`);
    if (length === 1) throw this.#failures[0];
    if (this.#planned !== undefined && this.#planned !== this.#asserted)
      throw new Error(`${this.#planned} assertions were planned, ${this.#asserted} were made`);
  }

  #assert(check: () => void): void {
    this.#asserted++;
    if (this.#isEnded) this.#failures.push(new Error('an assertion behind the end of the test'));
    try {
      check();
    } catch (error) {
      this.#failures.push(error);
    }
    if (this.#asserted === this.#planned) this.#reachPlan();
  }

  /** A function without a promise has nothing else to end by. Behind this call, so that one assertion too many is seen. */
  #reachPlan(): void {
    setImmediate(() => {
      if (!this.#isEnded) this.#end();
    });
  }

  #finish(): void {
    this.#isEnded = true;
    this.#end();
  }
}

export type TapeFunction = (t: TapeTest) => unknown;

/** Collects the tests of a suite, which are made tests of ours by {@link Tape.register}. */
export class Tape {
  readonly #tests: { readonly name: string; readonly run: TapeFunction }[] = [];

  /** To be handed to a suite as its `test`. */
  readonly test = (name: string, run: TapeFunction): void => {
    this.#tests.push({ name, run });
  };

  get size(): number {
    return this.#tests.length;
  }

  register(prefix: string): void {
    for (const { name, run } of this.#tests) test(`${prefix}: ${name}`, () => runTape(run));
  }
}

/** Runs one test; rejects when it fails. */
export async function runTape(run: TapeFunction): Promise<void> {
  const t = new TapeTest();
  const returned = run(t);
  if (typeof (returned as PromiseLike<unknown> | undefined)?.then === 'function') {
    await returned;
    t.resolved();
  }
  await t.ended;
  t.judge();
}
