/**
 * What the trace tells of parts that know nothing of it: tables that are opened and closed, stalls, failures in the background.
 *
 * Invariants: nothing is built that nobody wants.
 * Thread:     main.
 */
import type { TableWatch } from '../shared/read/table-cache.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { TellEvent } from './store/events.ts';
import type { StallEvent } from './store/stalls.ts';
import { describe, type Trace } from './store/trace.ts';
import type { MemtableList } from './write/memtable-list.ts';

export function tableWatch(trace: Trace): TableWatch {
  return {
    opened: (table, bytes, openTables) => {
      if (trace.wants('table-opened')) trace.point('table-opened', { table, bytes, openTables });
    },
    closed: (table, openTables) => {
      if (trace.wants('table-closed')) trace.point('table-closed', { table, openTables });
    },
  };
}

export function traceStall(
  trace: Trace,
  event: StallEvent,
  versions: Pick<VersionSet, 'current'>,
  memtables: Pick<MemtableList, 'frozen'>,
): void {
  if (!trace.wants('stall')) return;
  const levelZeroRuns = versions.current.levelZeroRuns.length;
  const fields = { ...event, levelZeroRuns, frozenMemtables: memtables.frozen.length };
  trace.point('stall', fields, event.state === 'open' ? 'info' : 'warn');
}

/** `tell`, and the trace as well where the event is a failure. */
export function tracedReport(trace: Trace, tell: TellEvent): TellEvent {
  return (name, ...payload) => {
    tell(name, ...payload);
    const [event] = payload;
    if (event === undefined || !('error' in event) || !trace.wants('background-error')) return;
    const { error, operation, willRetry } = event;
    const fields = { operation, willRetry, code: error.code, message: describe(error).message };
    trace.point('background-error', fields, willRetry ? 'warn' : 'error');
  };
}
