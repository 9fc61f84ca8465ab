/**
 * What the trace tells of a job: one operation for each attempt, from when it has a thread.
 *
 * Invariants: nothing is built that nobody wants. A job that is cancelled before it has a thread is not told of.
 * Thread:     main.
 */
import { isCancelled } from '../../shared/base/failures.ts';
import { now } from '../../shared/base/timers.ts';
import type { JobKind, ResultOf } from '../../shared/threads/jobs.ts';
import type { Span, Trace } from '../store/trace.ts';
import type { TraceOperations } from '../store/trace-events.ts';

type JobEnd = TraceOperations['job']['end'];

/** One attempt. */
export class JobTrace {
  readonly #trace: Trace;
  readonly #queuedAt: number = now();
  readonly #start: Pick<TraceOperations['job']['start'], 'kind' | 'parent' | 'attempt' | 'isUrgent'>;
  #span: Span<'job'> | undefined;

  constructor(trace: Trace, kind: JobKind, attempt: number, isUrgent: boolean, parent: number | undefined) {
    this.#trace = trace;
    this.#start = { kind, attempt, isUrgent, ...(parent === undefined ? {} : { parent }) };
  }

  /** It has a thread; so many others of the store run or wait. */
  started(running: number, queued: number): void {
    const waitedMs = now() - this.#queuedAt;
    this.#span = this.#trace.begin('job', { ...this.#start, waitedMs, running, queued });
  }

  ended(result: ResultOf[JobKind]): void {
    this.#span?.end(figuresOf(result));
  }

  failed(error: unknown): void {
    this.#span?.fail(error, isCancelled(error) ? 'debug' : 'warn');
  }
}

function figuresOf(result: ResultOf[JobKind]): JobEnd {
  if ('stats' in result) {
    const { bytesRead, bytesWritten, entriesWritten, elapsedMs } = result.stats;
    return { bytesRead, bytesWritten, entriesWritten, jobMs: elapsedMs };
  }
  if ('bytesRead' in result) return { bytesRead: result.bytesRead };
  if ('recordsRead' in result) {
    const bytesWritten = result.outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { bytesWritten: bytesWritten + (result.run?.sizeBytes ?? 0) };
  }
  return 'run' in result ? { bytesWritten: result.run.sizeBytes } : {};
}
