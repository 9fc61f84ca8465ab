/**
 * Where the trace of a store goes besides its channels: the option `logger`, and lines on stderr, which STRATAKV_TRACE asks for.
 *
 *   logger            a function       is called with each record
 *                     an object        the method named by the severity (debug, info, warn, error) is called with a line of text
 *   STRATAKV_TRACE    json             JSON, one record a line
 *                     (empty), 0       nothing
 *                     anything else    text: TIME SEVERITY STORE EVENT#ID PHASE NAME=VALUE ...
 *
 * Invariants: a line is one line, whatever a path or a message holds. The logger comes last: what it throws keeps no line from
 *             stderr. Both are read once, within the call of open(); the methods of a logger each time, as loggers change theirs.
 * Thread:     main.
 */
import { Console } from 'node:console';
import { invalidArgument } from '../../shared/base/errors.ts';
import { describe } from '../../shared/base/input-bytes.ts';
import { Trace, type TraceSink } from './trace.ts';
import type {
  TracedTable,
  TraceLineLogger,
  TraceLogger,
  TraceRecord,
  TraceSeverity,
} from './trace-events.ts';

/** Of a list, a line shows so many items; records have all. */
const MAX_SHOWN = 16;

/** What needs no quotes in a line. */
const PLAIN = /^[\w./:+@%-]+$/;

/** Ends of lines and orders to a terminal that JSON leaves as they are. */
const CONTROLS = /[\u007f-\u009f\u2028\u2029]/g;

const SEVERITIES: readonly TraceSeverity[] = ['debug', 'info', 'warn', 'error'];

/** The trace of a store that is about to be opened. Throws STRATA_INVALID_ARGUMENT for what is no logger. */
export function openTrace(
  store: string,
  logger?: TraceLogger,
  setting: string | undefined = process.env['STRATAKV_TRACE'],
): Trace {
  const sinks: TraceSink[] = [];
  if (setting !== undefined && setting !== '' && setting !== '0')
    sinks.push(stderrSink(setting === 'json' ? toJson : toText));
  if (logger !== undefined) sinks.push(loggerSink(logger));
  return new Trace(store, sinks);
}

/** A Console swallows what a closed stderr has to say, which would be the end of the process otherwise. */
function stderrSink(format: (record: TraceRecord) => string): TraceSink {
  const out = new Console({ stdout: process.stderr });
  return (record) => out.log(format(record));
}

function loggerSink(logger: TraceLogger): TraceSink {
  if (typeof logger === 'function') return (record) => void logger(record);
  const given: unknown = logger;
  const isLogger =
    typeof given === 'object' &&
    given !== null &&
    SEVERITIES.every((name) => typeof (given as TraceLineLogger)[name] === 'function');
  if (!isLogger)
    throw invalidArgument(
      `option 'logger' must be a function, or an object with debug, info, warn and error, not ${describe(given)}`,
    );
  return (record) => void logger[record.severity](toText(record));
}

function toJson(record: TraceRecord): string {
  const { time, ...rest } = record;
  return JSON.stringify({ time: new Date(time).toISOString(), ...rest });
}

/** A record as a line, without the end of the line. */
export function toText(record: TraceRecord): string {
  const { time, store, severity, event, phase, id, ...fields } = record as TraceRecord & { id?: number };
  const what = id === undefined ? event : `${event}#${id} ${phase}`;
  const head = `${new Date(time).toISOString()} ${severity} ${quoted(store)} ${what}`;
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined);
  return [head, ...shown.map(([name, value]) => `${name}=${valueText(value)}`)].join(' ');
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toFixed(2);
  if (Array.isArray(value)) {
    const more = value.length > MAX_SHOWN ? ` +${value.length - MAX_SHOWN}` : '';
    return `[${value.slice(0, MAX_SHOWN).map(valueText).join(' ')}${more}]`;
  }
  if (typeof value === 'object' && value !== null) return tableText(value as TracedTable);
  return quoted(String(value));
}

/** 17:4096B: a table and its size. */
function tableText({ table, bytes }: TracedTable): string {
  return `${table}:${bytes}B`;
}

function quoted(text: string): string {
  return PLAIN.test(text) ? text : JSON.stringify(text).replace(CONTROLS, escaped);
}

function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
