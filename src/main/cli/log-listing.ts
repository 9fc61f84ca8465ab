/**
 * dump-log: a write-ahead log as lines or JSON lines.
 */

import { type FileNumber, MAX_FILE_NUMBER } from '../../shared/base/ids.ts';
import { logName } from '../../shared/files/file-names.ts';
import { nodeFileSystem } from '../../shared/files/node-file-system.ts';
import type { LogStart } from '../../shared/log/log-format.ts';
import { numberInName, openInspected } from '../inspect/inspected-file.ts';
import {
  isOfWrites,
  type LogFact,
  type LogSummary,
  logFacts,
  type RecordFacts,
} from '../inspect/log-facts.ts';
import { knownLength } from '../inspect/log-length.ts';
import type { CommandContext } from './context.ts';
import { bytesOf, Listing, type ListingOptions, row, verdict } from './listing.ts';
import { formatCount, timeOf } from './quantities.ts';

export interface DumpLogOptions extends ListingOptions {
  readonly entries?: boolean;
  readonly summary?: boolean;
  readonly limit?: number;
}

const EXPECTED = { what: 'the file of a write-ahead log (000012.log)', kinds: ['log', 'set-aside'] } as const;
const WIDTHS: readonly number[] = [12, 12, 10, -9, 15, 9, 9, 13, 14];
const TITLES: readonly string[] = [
  ...['offset', 'bytes', 'checksum', '  record', 'sequence'],
  ...['puts', 'deletes', 'keys+values', 'synced up to'],
];

/** What follows the bytes that count. */
const ENDINGS: Readonly<Record<LogSummary['end'], string>> = {
  empty: 'it is empty, as a crash leaves a log that was just made',
  whole: 'it ends with a record',
  'torn tail': 'behind them a torn tail, as a crash leaves it: recovery leaves it out',
  'lost page': 'behind them a page that was lost in a crash: recovery leaves out what follows',
  refused: 'behind them a record that the store refuses to read',
  damage: 'behind them damage that no crash explains: a store that needs this log does not open (see repair)',
};

export async function dumpLog(context: CommandContext, path: string, options: DumpLogOptions): Promise<void> {
  const file = openInspected(nodeFileSystem, path, EXPECTED);
  try {
    const listing = new LogListing(context, options);
    const number = numberInName(file.path, ['log']);
    const known = knownLength(nodeFileSystem, file.path, number);
    await listing.printAll(logFacts(file, number, known, () => listing.wantsEntries));
  } finally {
    file.close();
  }
}

class LogListing {
  readonly #listing: Listing;
  readonly #hasRecords: boolean;
  readonly #hasEntries: boolean;
  /** Records still to be listed, or entries where these are. */
  #left: number;
  #leftOut = 0;
  #hasTitles = false;

  constructor(context: CommandContext, options: DumpLogOptions) {
    this.#listing = new Listing(context, options);
    this.#hasRecords = options.summary !== true;
    this.#hasEntries =
      this.#hasRecords && (options.entries === true || options.keys === true || options.values === true);
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
  }

  get wantsEntries(): boolean {
    return this.#hasEntries && this.#left > 0;
  }

  printAll(facts: Iterable<LogFact>): Promise<void> {
    return this.#listing.print(facts, (fact) => this.#show(fact));
  }

  #show(fact: LogFact): Promise<void> | undefined {
    switch (fact.kind) {
      case 'fault':
        return this.#listing.fault(fact.error);
      case 'record':
        return this.#record(fact);
      case 'entry':
        return this.#entry(fact);
      default:
        return this.#listing.isJson ? this.#object(fact) : this.#text(fact);
    }
  }

  #object(fact: Extract<LogFact, { kind: 'file' | 'gap' | 'summary' }>): Promise<void> | undefined {
    const { kind, ...fields } = fact;
    const more = kind === 'summary' ? { notListed: this.#leftOut } : {};
    return this.#listing.object(kind, { ...fields, ...more });
  }

  #text(fact: Extract<LogFact, { kind: 'file' | 'gap' | 'summary' }>): Promise<void> | undefined {
    if (fact.kind === 'file') {
      const { known } = fact;
      const length = known === undefined ? '' : `; complete with ${known.bytes} bytes, says ${known.from}`;
      return this.#listing.line(`${fact.path}: ${bytesOf(fact.bytes)}${length}`);
    }
    if (fact.kind === 'gap')
      return this.#listing.line(
        `${row(WIDTHS, [fact.offset, formatCount(fact.bytes), '-'])}    no intact record: ${fact.what}`,
      );
    if (this.#leftOut > 0) {
      const what = this.#hasEntries ? 'entries' : 'records';
      this.#listing.line(`... and ${formatCount(this.#leftOut)} more ${what} (--limit)`);
    }
    const { faults, records, groups, entries, validBytes, validEntries, end } = fact;
    return this.#listing.line(
      [
        `${verdict(faults)}: ${formatCount(records)} intact records, ` +
          `${formatCount(groups)} of them groups of writes, with ${formatCount(entries)} entries`,
        `recovery counts ${formatCount(validBytes)} bytes from the front, with ${formatCount(validEntries)} entries; ${ENDINGS[end]}`,
      ].join('\n'),
    );
  }

  #record(fact: RecordFacts): Promise<void> | undefined {
    const count = fact.puts + fact.deletes;
    const isWithin = this.#left > 0;
    if (this.#hasEntries && !isWithin) this.#leftOut += count;
    if (!this.#hasRecords || !isWithin) {
      if (this.#hasRecords && !this.#hasEntries) this.#leftOut++;
      return undefined;
    }
    if (!this.#hasEntries) this.#left--;
    const { kind, start, ...fields } = fact;
    if (this.#listing.isJson) return this.#listing.object(kind, { ...fields, start, checksumOk: true });
    const isGroup = isOfWrites(fact.record);
    const cells = [
      fact.offset,
      formatCount(fact.bytes),
      'ok',
      `  ${fact.record}`,
      fact.firstSequence,
      isGroup ? formatCount(fact.puts) : '-',
      isGroup ? formatCount(fact.deletes) : '-',
      isGroup ? formatCount(fact.keyBytes + fact.valueBytes) : '-',
      fact.syncedUpTo,
    ];
    const titles = this.#hasTitles ? '' : `${row(WIDTHS, TITLES)}\n`;
    this.#hasTitles = true;
    const note = fact.timeMs === undefined ? '' : `\n${' '.repeat(14)}time: ${timeOf(fact.timeMs)}`;
    return this.#listing.line(
      `${titles}${row(WIDTHS, cells)}${start === undefined ? note : `\n${startLine(start)}`}`,
    );
  }

  #entry(fact: Extract<LogFact, { kind: 'entry' }>): Promise<void> | undefined {
    if (this.#left <= 0) {
      this.#leftOut++;
      return undefined;
    }
    this.#left--;
    if (!this.#listing.isJson)
      return this.#listing.line(this.#listing.entryLine(String(fact.sequence), fact));
    const { offset, sequence } = fact;
    return this.#listing.object('entry', { offset, sequence, ...this.#listing.entryFields(fact) });
  }
}

function startLine(start: LogStart): string {
  const { version, logNumber, previousLog, previousBytes, previousSynced, epoch, epochId, startedAtMs } =
    start;
  const before =
    previousLog === 0
      ? 'names no log before it'
      : `after ${nameOf(previousLog)} (${previousBytes} bytes, ${previousSynced} of them on the disk then)`;
  const opening = epochId === '' ? '' : ` (epoch ${epochId})`;
  return `${' '.repeat(14)}log ${logNumber}, format version ${version}, ${before}; owner ${epoch}${opening}, begun ${timeOf(startedAtMs)}`;
}

function nameOf(number: number): string {
  return number > MAX_FILE_NUMBER ? `log ${number}` : logName(number as FileNumber);
}
