/**
 * A promise and its two ends.
 *
 * Thread: any.
 */

/** Its rejection counts as handled only if a caller was given the promise. */
export class Deferred {
  readonly promise: Promise<void>;
  resolve!: () => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise<void>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}
