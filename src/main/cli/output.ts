/**
 * The command's three voices: results on stdout, remarks and errors on stderr.
 *
 * Results are gathered into 64 KiB writes, which makes a scan of a million lines as fast as the reader of the pipe.
 * When that reader goes away (`| head`) nothing is wrong: `isClosed` turns true and whoever produces results stops.
 *
 * Invariants: nothing but results ever reaches stdout. `flush` returns once everything is with the operating system.
 */
import type { Writable } from 'node:stream';
import { isError } from '../../shared/base/errors.ts';
import { describeError } from './exit-codes.ts';

const CHUNK_LENGTH = 64 * 1024;
const DEFAULT_COLUMNS = 80;

export class Output {
  readonly #stdout: Writable;
  readonly #stderr: Writable & { readonly isTTY?: boolean };
  #pending = '';
  #failure: Error | undefined;

  constructor(stdout: Writable, stderr: Writable & { readonly isTTY?: boolean }) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    stdout.on('error', (error) => {
      this.#failure ??= error;
    });
    // With nowhere left to complain there is nothing to do about it.
    stderr.on('error', () => undefined);
  }

  /** Nobody reads stdout any more. */
  get isClosed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether a person is watching stderr. */
  get isWatched(): boolean {
    return this.#stderr.isTTY === true;
  }

  /** Whether a person is to read the results as they come. */
  get isTerminal(): boolean {
    return (this.#stdout as { readonly isTTY?: boolean }).isTTY === true;
  }

  /** How many characters a line of the terminal takes; 80 where results don't go to one. */
  get columns(): number {
    return (this.#stdout as { readonly columns?: number }).columns || DEFAULT_COLUMNS;
  }

  /** A line of results; returns a promise when the reader has to catch up. */
  line(text: string): Promise<void> | undefined {
    this.#pending += `${text}\n`;
    return this.#pending.length < CHUNK_LENGTH ? undefined : this.flush();
  }

  /** Results that are not text. */
  async bytes(bytes: Uint8Array): Promise<void> {
    await this.flush();
    await this.#write(bytes);
  }

  async flush(): Promise<void> {
    const text = this.#pending;
    this.#pending = '';
    if (text !== '') await this.#write(text);
    const code = (this.#failure as { code?: unknown } | undefined)?.code;
    // EOF is Windows' word for a pipe whose reader has gone.
    if (this.#failure !== undefined && code !== 'EPIPE' && code !== 'EOF') throw this.#failure;
  }

  /** A remark for whoever watches; scripts are spared it. */
  remark(text: string): void {
    if (this.isWatched) this.#stderr.write(`${text}\n`);
  }

  /** A line on stderr that scripts get too. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  /** One line per error; the stack as well under STRATAKV_DEBUG. */
  error(error: unknown, where = ''): void {
    this.note(`stratakv: ${where}${describeError(error)}`);
    if (process.env['STRATAKV_DEBUG'] && isError(error)) this.note(error.stack ?? '');
  }

  #write(chunk: string | Uint8Array): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stdout.write(chunk, (error) => {
        if (error) this.#failure ??= error;
        resolve();
      });
    });
  }
}
