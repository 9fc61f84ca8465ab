/**
 * Reads what a worker answered: a result, an error rebuilt with its class and code, or a fault of the worker itself.
 *
 * A worker's memory may be exhausted and its module may be somebody else's, so an answer is checked before main acts
 * on it: it names the tables the version edit will install.
 *
 * Thread: main; pure.
 */
import { types } from 'node:util';
import {
  errorFromWire,
  isError,
  isWireError,
  StorageError,
  type WireError,
} from '../../shared/base/errors.ts';
import type { JobKind, JobOf, ResultOf } from '../../shared/threads/jobs.ts';
import { OutputNumbers } from '../../shared/threads/output-numbers.ts';

/** The worker failed, not the job: it exited, ran out of memory, would not start or answered nonsense. */
class WorkerFaultError extends StorageError {
  /** The job may still be started by whoever has it. */
  isAbandoned = false;

  constructor(kind: JobKind, reason: string, cause?: unknown) {
    super('STRATA_IO', `the worker of a ${kind} job failed: ${reason}`, { cause });
    this.name = 'WorkerFaultError';
  }
}

/** Whether the job may be run again, with new file numbers, as it was its worker that failed. */
export function isWorkerFault(error: unknown): boolean {
  return error instanceof WorkerFaultError;
}

/** `worker`: its module. */
export function workerFault(kind: JobKind, cause: unknown, worker?: URL): StorageError {
  if (!isTelling(cause)) {
    const reason = 'it threw what is not an error, or has no message, or its answer cannot be cloned';
    return new WorkerFaultError(kind, reason, cause);
  }
  // Of a module that can't be read the message says what is wrong, but not where.
  const where = cause.name === 'SyntaxError' && worker ? `, in ${worker.href} or what it imports` : '';
  return new WorkerFaultError(kind, cause.message + where, cause);
}

/**
 * What a thread sends when its answer can't be cloned is a DOMException, which loses its message on the way: it arrives as an
 * empty object in Node 20, as an Error without a message since 22.
 */
function isTelling(cause: unknown): cause is Error {
  return isError(cause) && cause.message !== '';
}

/** The application's pool shows no sign of a job while the store closes: nobody waits for it any more. */
export function abandonedJob(kind: JobKind): StorageError {
  const fault = new WorkerFaultError(
    kind,
    'the pool that was given shows no sign of it, and the store closes',
  );
  fault.isAbandoned = true;
  return fault;
}

/** Whether the job may still be started by whoever has it: cancelled it has to remain. */
export function isAbandoned(error: unknown): boolean {
  return error instanceof WorkerFaultError && error.isAbandoned;
}

/** The result in `reply`; throws the job's own error, or a worker fault when `reply` is not a reply to `job`. */
export function readReply<K extends JobKind>(job: JobOf<K>, reply: unknown): ResultOf[K] {
  if (isRecord(reply)) {
    if (reply['ok'] === true && isResultOf(job, reply['value'])) return reply['value'] as ResultOf[K];
    if (reply['ok'] === false && isWireError(reply['error'])) throw jobError(job.kind, reply['error']);
  }
  throw new WorkerFaultError(job.kind, 'it did not answer with a reply to its job');
}

/** What the job failed with; a defect of ours (an assertion, a TypeError) gets a class and code on its way to the caller. */
function jobError(kind: JobKind, wire: WireError): StorageError {
  const cause = errorFromWire(wire);
  if (cause instanceof StorageError) return cause;
  return new StorageError('STRATA_IO', `a ${kind} job failed: ${cause.message}`, { cause });
}

function isResultOf(job: JobOf<JobKind>, value: unknown): boolean {
  if (!isRecord(value)) return false;
  switch (job.kind) {
    case 'flush': {
      const { output } = value;
      const isOutput = output === undefined ? 'output' in value : isTable(output, job.output);
      return isOutput && hasStats(value);
    }
    case 'compact': {
      const { outputs } = value;
      return hasStats(value) && Array.isArray(outputs) && areTables(outputs, job.outputs);
    }
    case 'verify':
      return typeof value['blockCount'] === 'number' && typeof value['entryCount'] === 'number';
    case 'salvage': {
      const { output, damage } = value;
      const isOutput = output === undefined || (job.output !== undefined && isTable(output, job.output));
      return isOutput && Array.isArray(damage) && typeof value['entryCount'] === 'number';
    }
    case 'ingest-run':
      return isRun(value['run'], job.output);
    case 'ingest-merge': {
      const { outputs, run } = value;
      if (typeof value['recordsRead'] !== 'number' || !Array.isArray(outputs)) return false;
      const { output } = job;
      if (output.kind === 'run') return outputs.length === 0 && isRun(run, output.number);
      return run === undefined && areTables(outputs, output.outputs);
    }
  }
}

/** Whether these are tables under the numbers that the job has taken. */
function areTables(values: readonly unknown[], taken: SharedArrayBuffer): boolean {
  const numbers = new OutputNumbers(taken).taken;
  return values.length <= numbers.length && values.every((value, i) => isTable(value, numbers[i]));
}

/** Whether `value` is a table under this number. */
function isTable(value: unknown, expected: number | undefined): boolean {
  if (!isRecord(value)) return false;
  const { number, sizeBytes, smallestKey, largestKey } = value;
  return (
    typeof number === 'number' &&
    number === expected &&
    typeof sizeBytes === 'number' &&
    sizeBytes > 0 &&
    types.isUint8Array(smallestKey) &&
    types.isUint8Array(largestKey)
  );
}

function isRun(value: unknown, number: number): boolean {
  return (
    isRecord(value) &&
    value['number'] === number &&
    typeof value['sizeBytes'] === 'number' &&
    typeof value['recordCount'] === 'number' &&
    isRecord(value['samples']) &&
    types.isUint8Array(value['samples']['keys'])
  );
}

function hasStats(value: Record<string, unknown>): boolean {
  const stats = value['stats'];
  return isRecord(stats) && typeof stats['bytesWritten'] === 'number';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
