/**
 * A target as one call uses it: attempts that fail for a moment are repeated, and nothing waits for ever.
 *
 *   retry      with pauses that double, up to 5 s, each shortened by chance, so that many clients do not come back together
 *   watchdog   while an attempt is under way, something must get on within `timeoutMs`: bytes that move, an answer that is no
 *              failure. Looks of a timer are counted, so a process that was stopped is not blamed
 *   pace       bytes wait for their turn, which `bytesPerSecond` gives
 *   each       the work on many objects, some at a time; the first failure ends the others
 *
 * Invariants: after the first failure of the session (the signal, the watchdog, fail()) every call rejects with it.
 * Thread:     main.     Owns: a timer, until close().
 */

import { unless } from '../shared/base/abortable.ts';
import { CorruptionError, isError, StorageError } from '../shared/base/errors.ts';
import { keepProcessAlive } from '../shared/base/process-keeper.ts';
import { whenAborted } from '../shared/base/signals.ts';
import { clearInterval, clearTimeout, now, setInterval, setTimeout } from '../shared/base/timers.ts';
import type { BackupTarget, ListedObject, StoredObject, TargetCall } from './target.ts';
import type { ResolvedTransfer } from './transfer-options.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;
/** Looks of the watchdog in the time that a call has, */
const LOOKS = 12;
/** and in the time that one attempt without an answer has, of a remote target: what hangs is tried again. */
const LOOKS_OF_ATTEMPT = 4;
/** What is larger takes its time on a slow line, and nobody knows how far it has come. */
const SMALL_BYTES: number = 256 * 1024;
/** A body that does not match its checksum may have been damaged on its way. */
const READS_OF_DAMAGED = 3;

/** Takes the bytes of an object; one that is to be read again begins anew. */
export interface Sink {
  begin(): Promise<void> | void;
  write(bytes: Uint8Array): Promise<void> | void;
  /** What is wrong with all that was written; undefined: nothing. */
  end(): Promise<string | undefined> | string | undefined;
}

/** Gives parts of what is to be uploaded; bytes stay as they are until the next one is asked for. */
export type PartSource = (position: number, length: number) => Promise<Uint8Array>;

/** An attempt that is under way. */
interface Attempt {
  readonly abort: AbortController;
  looksWithoutBytes: number;
}

export class TargetSession {
  readonly target: BackupTarget;
  readonly #terms: ResolvedTransfer;
  readonly #abort = new AbortController();
  readonly #forgetSignal: () => void;
  readonly #watchdog: NodeJS.Timeout;
  readonly #releaseProcess: () => void;
  /** Attempts, pauses between them included. */
  #underWay = 0;
  readonly #watched = new Set<Attempt>();
  #pacing = 0;
  #looksWithoutProgress = 0;
  #lastFailure: unknown;
  /** When the next byte may move. */
  #freeAt = 0;

  constructor(target: BackupTarget, terms: ResolvedTransfer) {
    this.target = target;
    this.#terms = terms;
    this.#releaseProcess = keepProcessAlive();
    this.#forgetSignal = whenAborted(terms.signal, (reason) => this.fail(reason));
    this.#watchdog = setInterval(() => this.#look(), Math.max(1, terms.timeoutMs / LOOKS));
  }

  close(): void {
    clearInterval(this.#watchdog);
    this.#forgetSignal();
    this.#releaseProcess();
  }

  /** Ends everything under way. */
  fail(reason: unknown): void {
    this.#abort.abort(reason);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  async read(key: string): Promise<StoredObject | undefined> {
    return await this.attempt('read', key, (call) => this.target.read(key, call));
  }

  /**
   * What `decode` makes of a small object, whose checksum it compares: one that is damaged is read again before it counts as
   * such.
   */
  async readSealed<T>(
    key: string,
    decode: (object: StoredObject, file: string) => T,
  ): Promise<T | undefined> {
    for (let tries = 1; ; tries++) {
      const found = await this.read(key);
      try {
        return found && decode(found, this.nameOf(key));
      } catch (error) {
        if (tries === READS_OF_DAMAGED || !(error instanceof CorruptionError)) throw error;
      }
    }
  }

  /**
   * Writes a small object if there is none; false: there is one with other bytes. An attempt whose answer was lost is recognised
   * by them, so they must not be anybody else's.
   */
  async create(key: string, bytes: Uint8Array): Promise<boolean> {
    if (await this.attempt('write', key, (call) => this.target.create(key, bytes, call))) return true;
    return await this.#holds(key, bytes);
  }

  /** Likewise, in the place of the object with that version. */
  async replace(key: string, bytes: Uint8Array, version: string): Promise<boolean> {
    if (await this.attempt('write', key, (call) => this.target.replace(key, bytes, version, call)))
      return true;
    return await this.#holds(key, bytes);
  }

  async #holds(key: string, bytes: Uint8Array): Promise<boolean> {
    const found = await this.read(key);
    return found !== undefined && Buffer.compare(found.bytes, bytes) === 0;
  }

  /** Writes a small object, whatever is there. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.upload(key, bytes.length, async (position, length) =>
      bytes.subarray(position, position + length),
    );
  }

  async remove(key: string): Promise<void> {
    await this.attempt('delete', key, (call) => this.target.remove(key, call));
  }

  async list(prefix: string): Promise<ListedObject[]> {
    const objects: ListedObject[] = [];
    let after: string | undefined;
    do {
      const page = await this.attempt('list', prefix, (call) => this.target.list(prefix, after, call));
      objects.push(...page.objects);
      after = page.next;
    } while (after !== undefined);
    return objects;
  }

  /** Whether there is anything at all. */
  async isEmpty(): Promise<boolean> {
    const page = await this.attempt('list', '', (call) => this.target.list('', undefined, call));
    return page.objects.length === 0 && page.next === undefined;
  }

  async upload(key: string, sizeBytes: number, source: PartSource): Promise<void> {
    const upload = await this.attempt('write', key, (call) => this.target.upload(key, sizeBytes, call));
    try {
      const { partBytes } = upload;
      for (let part = 0; part === 0 || part * partBytes < sizeBytes; part++) {
        const bytes = await source(part * partBytes, Math.min(partBytes, sizeBytes - part * partBytes));
        await this.#pace(bytes.length);
        const isSmall = bytes.length <= SMALL_BYTES;
        await this.attempt('write', key, (call) => upload.write(part, bytes, call), isSmall);
      }
      await this.attempt('write', key, (call) => upload.finish(call));
    } catch (error) {
      await upload.cancel();
      throw error;
    }
  }

  /**
   * Reads an object into a sink. A body that breaks is read on from where it broke; one that is damaged is read again before it
   * counts as such. @throws {@link CorruptionError} for an object that is missing or damaged.
   */
  async download(key: string, sizeBytes: number, sink: Sink): Promise<void> {
    for (let tries = 1; ; tries++) {
      await sink.begin();
      const problem = (await this.#downloadOnce(key, sizeBytes, sink)) ?? (await sink.end());
      if (problem === undefined) return;
      if (tries === READS_OF_DAMAGED) throw this.damage(key, problem);
    }
  }

  damage(key: string, problem: string): CorruptionError {
    return new CorruptionError(problem, { file: this.nameOf(key) });
  }

  nameOf(key: string): string {
    return `${this.target.name}/${key}`;
  }

  /** Returns what is wrong with the length. */
  async #downloadOnce(key: string, sizeBytes: number, sink: Sink): Promise<string | undefined> {
    let done = 0;
    return await this.attempt('read', key, async (call) => {
      // It broke behind the last byte.
      if (done === sizeBytes && done > 0) return undefined;
      const body = await this.target.download(key, done, call);
      if (body === undefined) return 'the object is missing';
      for await (const bytes of body) {
        if (done + bytes.length > sizeBytes) return 'the object is longer than it should be';
        await sink.write(bytes);
        done += bytes.length;
        call.onBytes(bytes.length);
        await this.#pace(bytes.length);
      }
      return done < sizeBytes ? 'the object is shorter than it should be' : undefined;
    });
  }

  /** Works on all of `items`, some at a time. */
  async each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < items.length) await work(items[next++]!);
    };
    const workers = Array.from({ length: Math.min(this.#terms.concurrency, items.length) }, () =>
      worker().catch((error: unknown) => {
        this.fail(error);
        throw error;
      }),
    );
    const outcomes = await Promise.allSettled(workers);
    // What `work` reports to may have ended the session.
    const isFailed = outcomes.some(({ status }) => status === 'rejected');
    if (isFailed || this.#abort.signal.aborted) throw this.#abort.signal.reason;
  }

  /**
   * One attempt after the other, until one succeeds, or fails for good. `isSmall`: one that hangs is given up before the call is.
   */
  async attempt<T>(
    action: string,
    key: string,
    run: (call: TargetCall) => Promise<T>,
    isSmall = true,
  ): Promise<T> {
    if (this.#underWay++ === 0) this.#progress();
    try {
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
        if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
        try {
          const result = await this.#try(run, isSmall);
          this.#progress();
          return result;
        } catch (error) {
          if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
          const failure = this.#asStorageError(error, action, key);
          if (!isRetryable(error)) throw failure;
          this.#lastFailure = failure;
        }
        // Half of it by chance: clients that were refused together come back one by one.
        await this.#sleep(pauseMs * (0.5 + Math.random() / 2));
      }
    } finally {
      this.#underWay--;
    }
  }

  async #sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const slept = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    try {
      await unless(this.#abort.signal, slept);
    } finally {
      clearTimeout(timer);
    }
  }

  /** With a signal of its own: of more than ten that listen to one, as clients do, Node warns. */
  async #try<T>(run: (call: TargetCall) => Promise<T>, isSmall: boolean): Promise<T> {
    const attempt: Attempt = { abort: new AbortController(), looksWithoutBytes: 0 };
    const onBytes = (count: number): void => {
      if (count === 0) return;
      attempt.looksWithoutBytes = 0;
      this.#progress();
    };
    const { signal } = attempt.abort;
    const forget = whenAborted(this.#abort.signal, (reason) => attempt.abort.abort(reason));
    if (isSmall && this.target.isRemote === true) this.#watched.add(attempt);
    try {
      return await unless(signal, run({ signal, onBytes }));
    } finally {
      this.#watched.delete(attempt);
      forget();
    }
  }

  #asStorageError(error: unknown, action: string, key: string): unknown {
    if (error instanceof StorageError) return error;
    const reason = isError(error) ? error.message : String(error);
    return new StorageError('STRATA_IO', `cannot ${action} ${this.nameOf(key)}: ${reason}`, {
      cause: error,
      file: this.nameOf(key),
    });
  }

  #progress(): void {
    this.#looksWithoutProgress = 0;
  }

  #look(): void {
    if (this.#underWay === 0 || this.#pacing > 0) {
      this.#progress();
      return;
    }
    for (const read of this.#watched)
      if (++read.looksWithoutBytes > LOOKS_OF_ATTEMPT) read.abort.abort(this.#hangs());
    if (++this.#looksWithoutProgress <= LOOKS) return;
    const { timeoutMs } = this.#terms;
    const last = isError(this.#lastFailure) ? `; the last failure: ${this.#lastFailure.message}` : '';
    this.fail(
      new StorageError('STRATA_IO', `no progress with ${this.target.name} for ${timeoutMs} ms${last}`, {
        cause: this.#lastFailure,
      }),
    );
  }

  #hangs(): Error {
    return Object.assign(new Error('the target does not answer'), { retryable: true });
  }

  async #pace(byteLength: number): Promise<void> {
    const { bytesPerSecond } = this.#terms;
    if (bytesPerSecond === Number.POSITIVE_INFINITY) return;
    const at = Math.max(now(), this.#freeAt);
    this.#freeAt = at + (byteLength * 1000) / bytesPerSecond;
    this.#pacing++;
    try {
      await this.#sleep(at - now());
    } finally {
      this.#pacing--;
    }
  }
}

/** Whether the target said that the next attempt may succeed. */
function isRetryable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as { retryable?: unknown }).retryable === true;
}
