/**
 * The trace of a store: what happens in it, step by step, for whoever wants to know why. trace-events.ts is the table of what it
 * tells.
 *
 *   channels   `stratakv:trace:NAME` of node:diagnostics_channel; operations are tracing channels, which
 *              diagnostics_channel.tracingChannel('stratakv:trace:NAME').subscribe() follows: start and end of the call at its
 *              start; error, asyncStart and asyncEnd when it is over. All of one operation get one object: the record of its
 *              start, with `result` (the record of its end) or `error` added then
 *   sinks      trace-sinks.ts: the option `logger`, and lines on stderr
 *
 *   if (trace.wants('flush')) span = trace.begin('flush', { ... })      ...      span?.end({ ... })
 *
 * Invariants: nothing is built for nobody: whoever has something to tell asks wants() first. An operation whose start nobody
 *             wanted has no end.
 *             Nothing of the application runs within a step of the engine: records are told behind events, in the same order
 *             (tell-later.ts). A sink that throws is the application's uncaught exception.
 *             At most MAX_WAITING_RECORDS of a store wait; what comes then is dropped, counted, and the count is told.
 * Thread:     main.
 * Not chosen: TracingChannel.tracePromise(), which runs subscribers within the step. So what they bind with `bindStore` does not
 *             reach the work.
 */
import { type Channel, channel, type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import { isError, StorageError } from '../../shared/base/errors.ts';
import { now, wallClock } from '../../shared/base/timers.ts';
import { tellLater } from './tell-later.ts';
import type {
  TraceEnd,
  TraceFailure,
  TraceOperationName,
  TraceOperations,
  TracePoint,
  TracePointName,
  TracePoints,
  TraceRecord,
  TraceSeverity,
  TraceStart,
} from './trace-events.ts';

/** Records of one store that wait to be told: those of a step, however large, and far from what memory notices. */
export const MAX_WAITING_RECORDS = 1000;

/** Takes a record. */
export type TraceSink = (record: TraceRecord) => void;

/** Kept for good, as those of events.ts are: a channel that is collected is forgotten with its subscribers. */
const POINTS: Readonly<Record<TracePointName, Channel>> = {
  lock: channel('stratakv:trace:lock'),
  epoch: channel('stratakv:trace:epoch'),
  manifest: channel('stratakv:trace:manifest'),
  'log-replayed': channel('stratakv:trace:log-replayed'),
  'log-dropped': channel('stratakv:trace:log-dropped'),
  orphans: channel('stratakv:trace:orphans'),
  'log-created': channel('stratakv:trace:log-created'),
  'table-opened': channel('stratakv:trace:table-opened'),
  'table-closed': channel('stratakv:trace:table-closed'),
  'file-deleted': channel('stratakv:trace:file-deleted'),
  stall: channel('stratakv:trace:stall'),
  'background-error': channel('stratakv:trace:background-error'),
  'records-dropped': channel('stratakv:trace:records-dropped'),
};

const OPERATIONS: Readonly<Record<TraceOperationName, TracingChannel>> = {
  open: tracingChannel('stratakv:trace:open'),
  recovery: tracingChannel('stratakv:trace:recovery'),
  flush: tracingChannel('stratakv:trace:flush'),
  compaction: tracingChannel('stratakv:trace:compaction'),
  job: tracingChannel('stratakv:trace:job'),
  ingestion: tracingChannel('stratakv:trace:ingestion'),
  close: tracingChannel('stratakv:trace:close'),
};

/** By name: channels all, of either kind. */
const CHANNELS: Readonly<Record<TracePointName | TraceOperationName, { readonly hasSubscribers: boolean }>> =
  { ...POINTS, ...OPERATIONS };

/** Every event, for tests and lists. */
export const TRACE_POINTS: readonly string[] = Object.keys(POINTS);
export const TRACE_OPERATIONS: readonly string[] = Object.keys(OPERATIONS);

/** Where it is not 'info'. */
const SEVERITIES: Readonly<Record<string, TraceSeverity>> = {
  epoch: 'warn',
  'log-dropped': 'warn',
  'log-created': 'debug',
  'table-opened': 'debug',
  'table-closed': 'debug',
  'file-deleted': 'debug',
  job: 'debug',
};

/** What the channels of an operation are given. */
export type TraceContext = TraceStart & { readonly result?: TraceEnd; readonly error?: unknown };

/** An operation under way whose start was told. */
export interface Span<K extends TraceOperationName> {
  readonly id: number;
  end(fields: TraceOperations[K]['end']): void;
  fail(error: unknown, severity?: TraceSeverity): void;
}

export class Trace {
  readonly #store: string;
  readonly #sinks: readonly TraceSink[];
  #lastId = 0;
  #waitingCount = 0;
  #droppedCount = 0;

  /** `store`: the path that its records bear. */
  constructor(store: string, sinks: readonly TraceSink[] = []) {
    this.#store = store;
    this.#sinks = sinks;
  }

  /** Whether anybody listens. */
  wants(name: TracePointName | TraceOperationName): boolean {
    return this.#sinks.length > 0 || CHANNELS[name].hasSubscribers;
  }

  point<K extends TracePointName>(
    name: K,
    fields: TracePoints[K],
    severity: TraceSeverity = severityOf(name),
  ): void {
    const record = { ...this.#stamp(severity), event: name, phase: 'point', ...fields } as TracePoint;
    this.#tell(() => this.#tellPoint(record));
  }

  begin<K extends TraceOperationName>(name: K, fields: TraceOperations[K]['start']): Span<K> {
    const startedAt = now();
    const severity = severityOf(name);
    const id = ++this.#lastId;
    const head = (phase: string): object => ({
      ...this.#stamp(severity),
      event: name,
      phase,
      id,
      ...(phase === 'start' ? {} : { elapsedMs: now() - startedAt }),
    });
    const start = { ...head('start'), ...fields } as TraceStart;
    const context: TraceContext = { ...start };
    const channels = OPERATIONS[name];
    this.#tell(() => {
      publish(channels.start, context);
      publish(channels.end, context);
      this.#write(start);
    });
    const tellEnd = (record: TraceEnd | TraceFailure, outcome: object): void => {
      Object.assign(context, outcome);
      if (record.phase === 'error') publish(channels.error, context);
      publish(channels.asyncStart, context);
      publish(channels.asyncEnd, context);
      this.#write(record);
    };
    return {
      id,
      end: (fields) => {
        const result = { ...head('end'), ...fields } as TraceEnd;
        this.#tell(() => tellEnd(result, { result }));
      },
      fail: (error, failedAs = 'warn') => {
        const failed = { ...head('error'), severity: failedAs };
        // Described later: an error of the application's may have code of its own to say what it is.
        this.#tell(() => tellEnd({ ...failed, ...describe(error) } as TraceFailure, { error }));
      },
    };
  }

  #stamp(severity: TraceSeverity): Pick<TraceRecord, 'time' | 'store' | 'severity'> {
    return { time: wallClock(), store: this.#store, severity };
  }

  #tell(tell: () => void): void {
    if (this.#waitingCount >= MAX_WAITING_RECORDS) {
      // Told in the place of the first that was lost.
      if (this.#droppedCount++ === 0) tellLater(() => this.#tellDropped());
      return;
    }
    this.#waitingCount++;
    tellLater(() => {
      this.#waitingCount--;
      tell();
    });
  }

  #tellDropped(): void {
    const count = this.#droppedCount;
    this.#droppedCount = 0;
    this.#tellPoint({ ...this.#stamp('warn'), event: 'records-dropped', phase: 'point', count });
  }

  #tellPoint(record: TracePoint): void {
    publish(POINTS[record.event], record);
    this.#write(record);
  }

  #write(record: TraceRecord): void {
    for (const sink of this.#sinks) sink(record);
  }
}

function severityOf(name: TracePointName | TraceOperationName): TraceSeverity {
  return SEVERITIES[name] ?? 'info';
}

function publish(to: Channel, message: object): void {
  if (to.hasSubscribers) to.publish(message);
}

/** What a record says of a failure. */
export function describe(error: unknown): { readonly code?: string; readonly message: string } {
  const message = isError(error) ? error.message : String(error);
  return error instanceof StorageError ? { code: error.code, message } : { message };
}
