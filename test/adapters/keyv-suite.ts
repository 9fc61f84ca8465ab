/**
 * Runs the published suite of Keyv's adapters (@keyv/test-suite) under Node's test runner: what the suite uses of vitest, it gets
 * here. Its hooks go with the tests that were registered beside them, as in vitest's describe().
 */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';

type Work = (context: unknown) => unknown;

interface Registered {
  readonly name: string;
  readonly run: Work;
}

/** What one part of the suite registers. */
export class SuitePart {
  readonly tests: Registered[] = [];
  readonly #before: Work[] = [];
  readonly #after: Work[] = [];
  readonly #expectations = new Expectations();

  /** In place of the module `vitest`. */
  get vitest(): unknown {
    return {
      it: (name: string, run: Work) => this.tests.push({ name, run }),
      beforeEach: (run: Work) => this.#before.push(run),
      afterEach: (run: Work) => this.#after.push(run),
    };
  }

  leaveOut(name: string): void {
    const place = this.tests.findIndex((test) => test.name === name);
    assert.ok(place >= 0, `the suite has no test ${name}`);
    this.tests.splice(place, 1);
  }

  /** Its tests, each with the hooks around it. */
  all(): { readonly name: string; readonly run: () => Promise<void> }[] {
    assert.ok(this.tests.length > 0, 'the suite has no tests');
    return this.tests.map(({ name, run }) => ({
      name,
      run: async () => {
        for (const before of this.#before) await before({});
        this.#expectations.begin();
        await run({ expect: this.#expectations.expect });
        this.#expectations.end();
        for (const after of this.#after) await after({});
      },
    }));
  }
}

class Expectations {
  #wanted: number | undefined;
  #count = 0;
  readonly expect: ((value: unknown) => object) & { assertions(count: number): void } = Object.assign(
    (value: unknown) => this.#matchers(value),
    {
      assertions: (count: number) => {
        this.#wanted = count;
      },
    },
  );

  begin(): void {
    this.#wanted = undefined;
    this.#count = 0;
  }

  end(): void {
    if (this.#wanted !== undefined) assert.equal(this.#count, this.#wanted, 'assertions that were made');
  }

  #matchers(value: unknown): Record<string, (expected?: unknown) => void> {
    const holds = (isRight: boolean, what: string): void => {
      this.#count++;
      assert.ok(isRight, `${String(value)} should be ${what}`);
    };
    return {
      toBe: (expected) => holds(Object.is(value, expected), String(expected)),
      toEqual: (expected) => holds(isDeepStrictEqual(value, expected), JSON.stringify(expected)),
      toBeTruthy: () => holds(Boolean(value), 'truthy'),
      toBeFalsy: () => holds(!value, 'falsy'),
      toBeUndefined: () => holds(value === undefined, 'undefined'),
      toBeDefined: () => holds(value !== undefined, 'defined'),
      toBeNull: () => holds(value === null, 'null'),
    };
  }
}
