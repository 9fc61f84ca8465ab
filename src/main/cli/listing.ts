/**
 * What the commands that look into files have in common: facts as lines or as JSON, keys and values hidden unless asked for,
 *                                                        faults in
 * their place and counted.
 *
 *   text    a fault is a line that begins with "damaged:", where it is met
 *   JSON    a fault is an object of type "fault"
 *   both    in the end a fault is the command's error: exit code 4, or 1 for what this release or this installation can't read
 *
 * Invariants: no bytes of a key or a value are printed unless they were asked for: without that, their number.
 */
import { readU64 } from '../../shared/base/bytes.ts';
import { EntryKind } from '../../shared/base/entry.ts';
import { isError, type StorageError } from '../../shared/base/errors.ts';
import { EXPIRY_BYTES } from '../../shared/base/expiry.ts';
import { rangeDeleteEnd } from '../../shared/base/range-delete.ts';
import { setImmediate } from '../../shared/base/timers.ts';
import { type CommandContext, type NotationOptions, notationOf } from './context.ts';
import { CommandError, exitCodeOf } from './exit-codes.ts';
import { jsonField, type Notation, showInLine } from './notation.ts';
import { formatBytes, formatCount, timeOf } from './quantities.ts';

export interface ListingOptions extends NotationOptions {
  readonly json?: boolean;
  readonly keys?: boolean;
  readonly values?: boolean;
}

/** Facts that are printed between two looks at whether somebody still wants them. */
const FACTS_PER_TURN = 512;

export class Listing {
  readonly isJson: boolean;
  readonly showsKeys: boolean;
  readonly showsValues: boolean;
  readonly #context: CommandContext;
  readonly #notation: Notation;
  #named: StorageError | undefined;
  #faultCount = 0;

  constructor(context: CommandContext, options: ListingOptions) {
    this.#context = context;
    this.#notation = notationOf(options);
    this.isJson = options.json === true;
    this.showsKeys = options.keys === true;
    this.showsValues = options.values === true;
  }

  get columns(): number {
    return this.#context.out.columns;
  }

  /** Has `show` print each fact, for as long as somebody reads; then fails if there was a fault. */
  async print<Fact>(facts: Iterable<Fact>, show: (fact: Fact) => Promise<void> | undefined): Promise<void> {
    const { out, signal } = this.#context;
    let count = 0;
    for (const fact of facts) {
      const wait = show(fact);
      if (wait !== undefined) await wait;
      if (++count % FACTS_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      if (out.isClosed) return;
      signal.throwIfAborted();
    }
    this.end();
  }

  line(text: string): Promise<void> | undefined {
    return this.#context.out.line(text);
  }

  /** A line with a JSON object. */
  object(type: string, fields: object): Promise<void> | undefined {
    return this.line(JSON.stringify({ type, ...fields }));
  }

  fault(error: StorageError): Promise<void> | undefined {
    this.note(error);
    return this.isJson ? this.object('fault', faultFields(error)) : this.line(`damaged: ${plain(error)}`);
  }

  /** Counts a fault that has been printed. */
  note(error: StorageError): void {
    // One that says where is worth more.
    if (this.#named?.offset === undefined)
      this.#named = error.offset === undefined ? (this.#named ?? error) : error;
    this.#faultCount++;
  }

  /** @throws a fault, if there was any. */
  end(): void {
    const fault = this.#named;
    if (fault === undefined) return;
    if (this.#faultCount === 1) throw fault;
    const more = this.#faultCount - 1;
    const { message, code } = fault;
    throw new CommandError(
      exitCodeOf(fault),
      `${message} (${code}); and ${more} more, marked in the listing`,
      fault,
    );
  }

  /** A key on a line: itself, or how long it is. */
  key(bytes: Uint8Array): string {
    return this.showsKeys ? showInLine(asBuffer(bytes), this.#notation) : `${bytes.length} bytes`;
  }

  /** `firstKeyBytes`, and where it was asked for `firstKey`, or `firstKey_base64` if it is no text. */
  keyFields(name: string, bytes: Uint8Array | undefined): Record<string, string | number> {
    if (bytes === undefined) return {};
    const fields: Record<string, string | number> = { [`${name}Bytes`]: bytes.length };
    if (!this.showsKeys) return fields;
    const [field, text] = jsonField(name, asBuffer(bytes), this.#notation);
    fields[field] = text;
    return fields;
  }

  /** An entry of a table or a log on a line. */
  entryLine(sequence: string, entry: ShownEntry): string {
    const { keyLength } = entry;
    const valueLength = shownValueLength(entry);
    const sizes = `key ${formatCount(keyLength)}${valueLength === undefined ? '' : `  value ${formatCount(valueLength)}`}`;
    const key = this.showsKeys ? `  ${this.key(entry.key())}` : '';
    const value =
      this.showsValues && valueLength !== undefined
        ? ` => ${showInLine(asBuffer(shownValue(entry)), this.#notation)}`
        : '';
    const op = operationOf(entry).padEnd(6);
    return `${sequence.padStart(21)}  ${op}  ${sizes}${key}${value}${this.#extra(entry)}`;
  }

  /** What kinds beyond put and delete have besides. */
  #extra(entry: ShownEntry): string {
    if (entry.entryKind === EntryKind.ExpiringPut) return `  expires ${timeOf(momentOf(entry))}`;
    if (entry.entryKind !== EntryKind.RangeDelete) return '';
    const end = endOf(entry);
    if (end === undefined) return '  to the end';
    return this.showsKeys ? `  up to ${this.key(end)}` : `  up to a key of ${formatCount(end.length)}`;
  }

  entryFields(entry: ShownEntry): object {
    const fields: Record<string, string | number> = {
      op: operationOf(entry),
      keyBytes: entry.keyLength,
      valueBytes: shownValueLength(entry) ?? 0,
    };
    if (entry.entryKind === EntryKind.ExpiringPut) fields['expiresAt'] = momentOf(entry);
    if (this.showsKeys) Object.assign(fields, this.keyFields('key', entry.key()));
    if (entry.entryKind === EntryKind.RangeDelete) Object.assign(fields, this.keyFields('end', endOf(entry)));
    if (this.showsValues && shownValueLength(entry) !== undefined) {
      const [field, text] = jsonField('value', asBuffer(shownValue(entry)), this.#notation);
      fields[field] = text;
    }
    return fields;
  }
}

/** What is shown of an entry. The key and the value are asked for only if they are shown. */
export interface ShownEntry {
  /** One of EntryKind. */
  readonly entryKind: number;
  readonly keyLength: number;
  readonly valueLength: number;
  readonly key: () => Uint8Array;
  readonly value: () => Uint8Array;
}

function operationOf({ entryKind }: ShownEntry): string {
  if (entryKind === EntryKind.RangeDelete) return 'delete-range';
  return entryKind === EntryKind.Delete ? 'delete' : 'put';
}

/** Of the user's value; undefined: it has none. */
function shownValueLength({ entryKind, valueLength }: ShownEntry): number | undefined {
  if (entryKind === EntryKind.ExpiringPut) return Math.max(0, valueLength - EXPIRY_BYTES);
  return entryKind === EntryKind.Put ? valueLength : undefined;
}

function shownValue(entry: ShownEntry): Uint8Array {
  return entry.entryKind === EntryKind.ExpiringPut ? entry.value().subarray(EXPIRY_BYTES) : entry.value();
}

function momentOf(entry: ShownEntry): number {
  return readU64(entry.value(), 0);
}

function endOf(entry: ShownEntry): Uint8Array | undefined {
  const value = entry.value();
  return rangeDeleteEnd(value, 0, value.length);
}

export function faultFields({ message, code, file, offset }: StorageError): object {
  return { message, code, file, offset };
}

/** The message without the word that stands before it. */
export function plain(error: unknown): string {
  return isError(error) ? error.message.replace(/^corruption: /, '') : String(error);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function verdict(faults: number): string {
  if (faults === 0) return 'ok';
  return faults === 1 ? '1 fault' : `${formatCount(faults)} faults`;
}

/** A size, exactly. */
export function bytesOf(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${formatBytes(bytes)} (${formatCount(bytes)} bytes)`;
}

/** Cells side by side, each as wide as its column; a negative width aligns to the left. */
export function row(widths: readonly number[], cells: readonly (string | number)[]): string {
  return cells
    .map((cell, i) => {
      const width = widths[i] ?? 0;
      return width < 0 ? String(cell).padEnd(-width) : String(cell).padStart(width);
    })
    .join('')
    .trimEnd();
}
