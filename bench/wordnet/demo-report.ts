/**
 * What the demonstration says, and whether it holds: every claim it prints is a check that can fail.
 *
 *   == look words up
 *      found 10,000 of 10,000 words in 41 ms (243,902/s)
 *      ok      every word has its synsets
 */
export class DemoReport {
  #failureCount = 0;

  get failureCount(): number {
    return this.#failureCount;
  }

  step(title: string): void {
    console.log(`\n== ${title}`);
  }

  say(line: string): void {
    console.log(line === '' ? '' : `   ${line}`);
  }

  check(isTrue: boolean, claim: string): void {
    if (!isTrue) this.#failureCount++;
    console.log(`   ${isTrue ? 'ok    ' : 'FAILED'}  ${claim}`);
  }

  /** A check of two numbers, told when they differ. */
  checkCount(actual: number, expected: number, what: string): void {
    const isTrue = actual === expected;
    const counts = isTrue
      ? actual.toLocaleString('en-US')
      : `expected ${expected.toLocaleString('en-US')}, found ${actual.toLocaleString('en-US')}`;
    this.check(isTrue, `${what}: ${counts}`);
  }
}

export interface Timed<T> {
  readonly result: T;
  readonly elapsedMs: number;
}

export async function timed<T>(work: () => T | Promise<T>): Promise<Timed<T>> {
  const startedAt = performance.now();
  const result = await work();
  return { result, elapsedMs: performance.now() - startedAt };
}
