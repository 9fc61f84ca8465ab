/**
 * Warns of what an application forgot to close: the collector gives it up in the end, but until it comes memory and files are
 * kept for it, and nobody says when it comes.
 *
 *   STRATAKV_FORGOTTEN_SCAN, STRATAKV_FORGOTTEN_SNAPSHOT      codes of `process.on('warning')`
 *
 * Invariants: one warning of a kind per reader (an engine or a client), however many are forgotten, and none once it is closed.
 * Thread:     any.
 */

export class ForgottenWarning {
  readonly #what: 'scan' | 'snapshot';
  /** Of the directory, or whose it is. */
  readonly #where: string;
  #isDone = false;

  constructor(what: 'scan' | 'snapshot', where: string) {
    this.#what = what;
    this.#where = where;
  }

  /** One was collected that had not been closed. */
  tell(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    process.emitWarning(
      `a ${this.#what} of ${this.#where} was never closed and has been collected: until then memory and files were kept for it. There may be more`,
      { code: `STRATAKV_FORGOTTEN_${this.#what.toUpperCase()}` },
    );
  }

  /** The reader is closed. */
  end(): void {
    this.#isDone = true;
  }
}
