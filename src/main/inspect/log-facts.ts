/**
 * What a write-ahead log holds, record by record, from a file that may be damaged, cut short, or still being written.
 *
 *   file             its size, its number, and where it ended, if other files say so (log-length.ts)
 *   record, entry    every intact record in the order of the file; where entries are wanted, those of its group follow it
 *   gap              bytes in which no intact record stands
 *   fault            where it is met; what lies behind it goes on
 *   summary          what was read, and how the log ends:
 *
 *     empty         nothing was written to it: a crash right after it was made leaves that
 *     whole         all of it is records
 *     torn tail     nothing intact lies behind the gap: a crash cut the last append short. Recovery leaves it out; no fault
 *     lost page     records lie behind the gap, and a page of it was never written: a crash as well, and no fault
 *     damage        records lie behind the gap, and no crash explains that: a fault
 *     refused       a record is intact, but not what may stand there: likewise
 *
 * Invariants: records are believed if their checksum matches, and not before. The verdicts are those of log-reader.ts.
 *             Memory: a window of the file, and one entry if that is larger; behind damage a part of 64 MiB to search in.
 * Lifetime:   the bytes of an entry's key and value are valid until the next fact.
 * Thread:     main. Owns: not the file.
 */
import { givesValue } from '../../shared/base/entry.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import type { StorageFile } from '../../shared/files/file-system.ts';
import {
  type LogStart,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  RecordType,
} from '../../shared/log/log-format.ts';
import { MAX_LOG_BYTES } from '../open/log-files.ts';
import { FileWindow } from './file-window.ts';
import { faultOf, WrongFile } from './inspected-file.ts';
import { type EntryPlace, LogEntryCursor } from './log-entries.ts';
import {
  describeGap,
  findLogNumber,
  hasLostPage,
  readIntact,
  readLogStart,
  readNoteTime,
} from './log-records.ts';
import { LogSearch } from './log-search.ts';

/** Where a log ended, and who says so: 'manifest.json', or '000012.log'. */
export interface KnownLength {
  readonly bytes: number;
  readonly from: string;
}

export interface RecordFacts {
  readonly kind: 'record';
  readonly offset: number;
  readonly bytes: number;
  readonly record: 'start' | 'group' | 'batch' | 'note' | 'unknown';
  readonly firstSequence: number;
  /** How much of the log was known to be on the disk when it was written. */
  readonly syncedUpTo: number;
  /** Of a group; 0 for others. */
  readonly puts: number;
  readonly deletes: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Of a start record. */
  readonly start: LogStart | undefined;
  /** Of a note. */
  readonly timeMs: number | undefined;
}

export interface LogEntryFacts {
  readonly kind: 'entry';
  readonly offset: number;
  readonly sequence: number;
  /** One of EntryKind. */
  readonly entryKind: number;
  readonly keyLength: number;
  readonly valueLength: number;
  readonly key: () => Uint8Array;
  readonly value: () => Uint8Array;
}

export interface LogSummary {
  readonly kind: 'summary';
  readonly records: number;
  readonly groups: number;
  readonly entries: number;
  /** How many bytes from the front recovery counts, and how many entries are in them. */
  readonly validBytes: number;
  readonly validEntries: number;
  readonly end: 'empty' | 'whole' | 'torn tail' | 'lost page' | 'damage' | 'refused';
  readonly faults: number;
}

export type LogFact =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly bytes: number;
      readonly number: number | undefined;
      readonly known: KnownLength | undefined;
    }
  | RecordFacts
  | LogEntryFacts
  | { readonly kind: 'gap'; readonly offset: number; readonly bytes: number; readonly what: string }
  | { readonly kind: 'fault'; readonly error: StorageError }
  | LogSummary;

const TYPE_NAMES: ReadonlyMap<number, RecordFacts['record']> = new Map([
  [RecordType.Start, 'start'],
  [RecordType.Group, 'group'],
  [RecordType.Note, 'note'],
  [RecordType.Batch, 'batch'],
]);

/** Whether such a record has entries. */
export function isOfWrites(record: RecordFacts['record']): boolean {
  return record === 'group' || record === 'batch';
}

/** The facts of the log in `file`; `nameNumber`: what its name says. `wantsEntries` is asked for each group. */
export function* logFacts(
  file: StorageFile,
  nameNumber: number | undefined,
  known?: KnownLength,
  wantsEntries: () => boolean = () => false,
): Generator<LogFact, void> {
  const window = new FileWindow(file);
  const number = findLogNumber(window, Math.min(window.sizeBytes, MAX_LOG_BYTES), nameNumber);
  if (number === undefined)
    throw new WrongFile(
      `${file.path} is no log: expected a file that begins with the start record of one, or the name of one (000012.log)`,
    );
  yield { kind: 'file', path: file.path, bytes: window.sizeBytes, number: nameNumber, known };
  yield* new LogWalk(window, number, nameNumber, known, wantsEntries).facts();
}

class LogWalk {
  readonly #window: FileWindow;
  readonly #number: number;
  readonly #nameNumber: number | undefined;
  readonly #known: KnownLength | undefined;
  readonly #wantsEntries: () => boolean;
  /** Where the log ends. */
  readonly #end: number;
  readonly #search: LogSearch;
  #place: EntryPlace = { bucket: -1, ordinal: 0, isUnknown: false };
  /** Of the next entry; infinite where it is not known. */
  #nextSequence: number = Number.POSITIVE_INFINITY;
  #records = 0;
  #groups = 0;
  #entries = 0;
  #faults = 0;
  /** Where the first gap begins; -1: there is none. */
  #gap = -1;
  /** Where the first record is that recovery refuses, though it is intact; -1: there is none. */
  #refused = -1;
  /** Entries before the first of these two. */
  #validEntries = 0;
  /** The first record behind the gap, and how far such records say that the log was synced. */
  #behindGap = -1;
  #syncedBehind = 0;

  constructor(
    window: FileWindow,
    number: number,
    nameNumber: number | undefined,
    known: KnownLength | undefined,
    wantsEntries: () => boolean,
  ) {
    this.#window = window;
    this.#number = number;
    this.#nameNumber = nameNumber;
    this.#known = known;
    this.#wantsEntries = wantsEntries;
    this.#end = Math.min(window.sizeBytes, MAX_LOG_BYTES, known?.bytes ?? MAX_LOG_BYTES);
    this.#search = new LogSearch(window, this.#end, number);
  }

  *facts(): Generator<LogFact, void> {
    const { sizeBytes } = this.#window;
    if (this.#nameNumber !== undefined && this.#nameNumber !== this.#number)
      yield this.#damage(`the log says that it is ${this.#number}, not ${this.#nameNumber}`, 0);
    for (let at = 0; at < this.#end; ) {
      const header = this.#intactAt(at);
      if (header === undefined) {
        at = yield* this.#gapAt(at);
        continue;
      }
      yield* this.#record(at, header);
      at += RECORD_HEADER_BYTES + header.payloadLength;
    }
    if (this.#end < sizeBytes && this.#end === this.#known?.bytes)
      yield {
        kind: 'gap',
        offset: this.#end,
        bytes: sizeBytes - this.#end,
        what: 'behind the end of the log',
      };
    else if (this.#end < sizeBytes) yield this.#damage('the log is longer than logs get', this.#end);
    yield* this.#verdict();
  }

  /** Behind a gap the search says what stands there, for less than a checksum of whatever is claimed. */
  #intactAt(at: number): RecordHeader | undefined {
    if (this.#gap < 0) return readIntact(this.#window, at, this.#end, this.#number);
    const found = this.#search.next(at);
    return found?.at === at ? found.header : undefined;
  }

  /** Where the next intact record begins. */
  *#gapAt(at: number): Generator<LogFact, number> {
    let found = this.#search.next(at + 1);
    // More writes than fit in between: part of a value, whose checksum matches by chance.
    while (found !== undefined && found.header.firstSequence - this.#nextSequence > found.at - at)
      found = this.#search.next(found.at + 1);
    const gapEnd = found?.at ?? this.#end;
    if (this.#gap < 0) {
      if (this.#refused < 0) this.#validEntries = this.#entries;
      this.#gap = at;
    }
    yield {
      kind: 'gap',
      offset: at,
      bytes: gapEnd - at,
      what: describeGap(this.#window, at, gapEnd, this.#end),
    };
    // Whoever comes behind a gap begins anew.
    this.#place.isUnknown = true;
    this.#nextSequence = Number.POSITIVE_INFINITY;
    return gapEnd;
  }

  *#record(at: number, header: RecordHeader): Generator<LogFact, void> {
    this.#records++;
    if (this.#gap >= 0) {
      if (this.#behindGap < 0) this.#behindGap = at;
      this.#syncedBehind = Math.max(this.#syncedBehind, header.syncedUpTo);
    }
    const faults: StorageError[] = [];
    const facts = this.#read(at, header, faults);
    if (faults.length > 0 && this.#refused < 0) {
      if (this.#gap < 0) this.#validEntries = this.#entries;
      this.#refused = at;
    }
    const hasEntries = isOfWrites(facts.record);
    if (hasEntries) this.#groups++;
    const count = facts.puts + facts.deletes;
    this.#entries += count;
    yield facts;
    if (hasEntries && this.#wantsEntries()) yield* this.#entriesOf(at, header, count);
    for (const error of faults) yield this.#fault(error);
    // Of a group that can't be read nobody knows how many entries it has.
    this.#nextSequence = faults.length > 0 ? Number.POSITIVE_INFINITY : header.firstSequence + count;
  }

  #read(at: number, header: RecordHeader, faults: StorageError[]): RecordFacts {
    const type = TYPE_NAMES.get(header.type) ?? 'unknown';
    const problem = this.#problemOf(at, header, type);
    if (problem !== undefined) faults.push(problem);
    const facts = {
      kind: 'record' as const,
      offset: at,
      bytes: RECORD_HEADER_BYTES + header.payloadLength,
      record: type,
      firstSequence: header.firstSequence,
      syncedUpTo: header.syncedUpTo,
      start: undefined as LogStart | undefined,
      timeMs: undefined as number | undefined,
    };
    const group = { puts: 0, deletes: 0, keyBytes: 0, valueBytes: 0 };
    try {
      if (type === 'start' && at === 0) facts.start = readLogStart(this.#window, header, this.#number);
      else if (type === 'note') facts.timeMs = readNoteTime(this.#window, at, header);
      else if (isOfWrites(type)) {
        const cursor = this.#cursor(at, header, this.#place);
        while (cursor.next()) {
          if (givesValue(cursor.kind)) group.puts++;
          else group.deletes++;
          group.keyBytes += cursor.keyLength;
          group.valueBytes += cursor.valueLength;
        }
      }
    } catch (error) {
      faults.push(faultOf(error));
      this.#place.isUnknown = true;
    }
    return { ...facts, ...group };
  }

  /** What is wrong with an intact record where it stands. */
  #problemOf(at: number, header: RecordHeader, type: RecordFacts['record']): StorageError | undefined {
    const { path } = this.#window;
    if (type === 'unknown')
      return new StorageError(
        'STRATA_UNSUPPORTED',
        `${path} has a log with records of type ${header.type}, of a later release`,
        { file: path, offset: at },
      );
    if ((type === 'start') !== (at === 0))
      return this.#corrupt(
        at === 0 ? 'the log does not begin with a start record' : 'a log record is out of order',
        at,
      );
    if (header.payloadLength === 0) return this.#corrupt('a log record is empty', at);
    const isDue =
      this.#nextSequence === Number.POSITIVE_INFINITY || this.#nextSequence === header.firstSequence;
    return isDue ? undefined : this.#corrupt('a log record is out of order', at);
  }

  /** The entries again, one fact each: so many could be read. */
  *#entriesOf(at: number, header: RecordHeader, count: number): Generator<LogFact, void> {
    const cursor = this.#cursor(at, header, { bucket: -1, ordinal: 0, isUnknown: true });
    for (let i = 0; i < count && cursor.next(); i++) {
      const { offset, sequence, kind, keyLength, valueLength } = cursor;
      yield {
        kind: 'entry',
        offset,
        sequence,
        entryKind: kind,
        keyLength,
        valueLength,
        key: () => cursor.key(),
        value: () => cursor.value(),
      };
    }
  }

  #cursor(at: number, header: RecordHeader, place: EntryPlace): LogEntryCursor {
    const payload = at + RECORD_HEADER_BYTES;
    const end = payload + header.payloadLength;
    return new LogEntryCursor(this.#window, payload, end, header.firstSequence, place);
  }

  *#verdict(): Generator<LogFact, void> {
    const gap = this.#gap;
    let end = this.#howItEnds();
    if (end === 'damage')
      yield this.#damage(
        this.#syncedBehind > gap
          ? 'the log is damaged in a part that had been synced'
          : 'the log is damaged in the middle',
        gap,
      );
    const stops = [gap, this.#refused].filter((at) => at >= 0);
    const validBytes = Math.min(this.#end, ...stops);
    const known = this.#known;
    if (known !== undefined && validBytes < known.bytes && end !== 'damage') {
      end = 'damage';
      yield this.#damage(
        `the log has ${validBytes} sound bytes of the ${known.bytes} that ${known.from} says it has`,
        validBytes,
      );
    } else if (gap === 0 && end === 'torn tail') {
      // Only a crash at its very first append leaves a log so; whoever looks wants to hear of it.
      yield this.#damage('the log does not begin with an intact start record', 0);
    }
    yield {
      kind: 'summary',
      records: this.#records,
      groups: this.#groups,
      entries: this.#entries,
      validBytes,
      validEntries: stops.length === 0 ? this.#entries : this.#validEntries,
      end: this.#refused >= 0 && end !== 'damage' ? 'refused' : end,
      faults: this.#faults,
    };
  }

  #howItEnds(): LogSummary['end'] {
    if (this.#gap < 0) return this.#records === 0 ? 'empty' : 'whole';
    if (this.#behindGap < 0) return 'torn tail';
    if (this.#syncedBehind > this.#gap) return 'damage';
    return hasLostPage(this.#window, this.#gap, this.#behindGap, this.#end) ? 'lost page' : 'damage';
  }

  #damage(message: string, offset: number): LogFact {
    return this.#fault(this.#corrupt(message, offset));
  }

  #fault(error: StorageError): LogFact {
    this.#faults++;
    return { kind: 'fault', error };
  }

  #corrupt(message: string, offset: number): CorruptionError {
    return new CorruptionError(message, { file: this.#window.path, offset });
  }
}
