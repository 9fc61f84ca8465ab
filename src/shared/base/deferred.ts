/**
 * A promise and its two ends; and the two that the writers of a group share.
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

/** What the writers of a group await: all plain ones one promise, all syncing ones another, each made when it is first asked
 * for. */
export class WritePromises {
  #written: Deferred | undefined;
  #synced: Deferred | undefined;

  /** For the log write, or for the sync behind it. */
  promise(sync: boolean): Promise<void> {
    if (sync) {
      this.#synced ??= new Deferred();
      return this.#synced.promise;
    }
    this.#written ??= new Deferred();
    return this.#written.promise;
  }

  /** Settles after all others of the group. */
  get last(): Promise<void> | undefined {
    return (this.#synced ?? this.#written)?.promise;
  }

  get wantsSync(): boolean {
    return this.#synced !== undefined;
  }

  written(): void {
    this.#written?.resolve();
  }

  synced(): void {
    this.#synced?.resolve();
  }

  fail(error: unknown): void {
    this.#written?.reject(error);
    this.#synced?.reject(error);
  }

  /** Settles those who wait here as `other` is settled. */
  follow(other: WritePromises): void {
    if (this.#written !== undefined) other.promise(false).then(this.#written.resolve, this.#written.reject);
    if (this.#synced !== undefined) other.promise(true).then(this.#synced.resolve, this.#synced.reject);
  }
}
