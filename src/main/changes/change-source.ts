/**
 * The changes of a store, for any number of consumers: in this thread, in clients' threads, and for the archive.
 *
 *   consumer.next()   1. is its place one of this history, not ahead, and still retained? Else STRATA_POSITION_LOST
 *                     2. nothing is visible behind it: wait for news
 *                     3. read a page: from the log, or from the tables of the ingestion, that the next sequence is in
 *
 * Consumers hold nothing, neither files nor memory: each is a few numbers. One that is slower than what is retained ends with
 * STRATA_POSITION_LOST, and nothing is ever skipped. Reads take turns, so that any number of consumers takes one thread of
 * libuv's pool.
 *
 * Invariants: pages come in the order of the sequences, without a gap; every record in them was checked.
 *             A call of next() settles: with a page, a failure, or when its consumer or the store ends.
 * Thread:     main.     Owns: who waits.
 * Not chosen: writes told to consumers as they are published. It would be a second way to the same bytes, with memory to be
 *             bounded for each consumer; a log that was just written is in the page cache.
 */
import { CorruptionError, StorageError, systemErrorCode } from '../../shared/base/errors.ts';
import { fileNumber } from '../../shared/base/ids.ts';
import { now, setImmediate, setTimeout } from '../../shared/base/timers.ts';
import type { ChangePage, PageFeed } from '../../shared/changes/change-page.ts';
import type { History } from '../../shared/changes/history.ts';
import type { Place } from '../../shared/changes/position.ts';
import type { Disk } from '../../shared/disk/disk.ts';
import { logPath } from '../../shared/files/file-names.ts';
import type { FileSystem, StorageFile } from '../../shared/files/file-system.ts';
import type { KeptLoad, KeptState } from '../manifest/kept-state.ts';
import type { MemtableList } from '../write/memtable-list.ts';
import { LiveLoads } from './live-loads.ts';
import { LOAD_START, type LoadPlace, openLoadTable, readLoadPart } from './load-pages.ts';
import { type LogPlace, readLogPart } from './log-pages.ts';
import { Retained, type RetainedItem, type RetainedLoad, type RetainedLog } from './retained.ts';

/** While writes go on, consumers that wait are woken no more often: a page costs some 0.1 ms, however small. */
const WAKE_INTERVAL_MS = 2;

/** What it needs of a store. */
export interface ChangeParts {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly disk: Disk;
  readonly memtables: MemtableList;
  readonly versions: {
    readonly history: History;
    readonly kept: KeptState;
    pin(): { release(): void };
  };
  visibleSequence(): number;
}

/** How far back what is retained reaches. */
export interface RetainedFacts {
  /** The sequence behind which changes can be asked for. */
  readonly floor: number;
  /** When the oldest of it was begun, in milliseconds since 1970; undefined: nothing is retained. */
  readonly oldestMs: number | undefined;
}

export class ChangeSource {
  readonly #parts: ChangeParts;
  readonly #consumers = new Set<ChangeConsumer>();
  #waiting: (() => void)[] = [];
  #isWakeDue = false;
  #wokenAt = 0;
  /** Ends when the read that was asked for last has ended. */
  #lastRead: Promise<unknown> = Promise.resolve();
  readonly #live = new LiveLoads();
  #ended: StorageError | undefined;

  constructor(parts: ChangeParts) {
    this.#parts = parts;
  }

  get history(): History {
    return this.#parts.versions.history;
  }

  get consumerCount(): number {
    return this.#consumers.size;
  }

  /** Up to here all who are {@link ChangeConsumer.keepsUp} have read; undefined: there is none. */
  get unreadAfter(): number | undefined {
    let least: number | undefined;
    for (const { keepsUp, sequence } of this.#consumers)
      if (keepsUp) least = Math.min(least ?? sequence, sequence);
    return least;
  }

  /** undefined: from now on. */
  consumer(after: Place | undefined): ChangeConsumer {
    const sequence = this.#parts.visibleSequence();
    const consumer = new ChangeConsumer(this, after ?? this.history.placeAt(sequence), () =>
      this.#consumers.delete(consumer),
    );
    this.#consumers.add(consumer);
    return consumer;
  }

  /** An ingestion has been committed, and is about to be published. */
  noteLoad(load: KeptLoad): void {
    const { kept } = this.#parts.versions;
    if (this.#consumers.size === 0 || kept.keptLoads.some(({ sequence }) => sequence === load.sequence))
      return;
    const pin = this.#parts.versions.pin();
    this.#live.add(load, () => pin.release());
  }

  /** Something has been published. */
  noteNews(): void {
    if (this.#waiting.length === 0 || this.#isWakeDue) return;
    this.#isWakeDue = true;
    const sinceMs = now() - this.#wokenAt;
    if (sinceMs >= WAKE_INTERVAL_MS) setImmediate(() => this.#wake());
    else setTimeout(() => this.#wake(), WAKE_INTERVAL_MS);
  }

  /** Calls `act` once, when something has been published, or the store is closed; returns how to forget that. */
  onNews(act: () => void): () => void {
    this.#waiting.push(act);
    if (this.#ended !== undefined) this.#wake();
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== act);
    };
  }

  #wake(): void {
    this.#isWakeDue = false;
    this.#wokenAt = now();
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /** Every call of next() that waits, and every later one, is rejected with `error`. */
  close(error: StorageError): void {
    this.#ended ??= error;
    this.#live.close();
    this.#wake();
  }

  /** Resolves when nothing is being read. */
  async settled(): Promise<void> {
    await this.#lastRead;
  }

  facts(): RetainedFacts {
    const { floor, items } = this.retained();
    const oldest = items[0];
    return { floor, oldestMs: oldest?.kind === 'load' ? oldest.load.time : oldest?.startedAtMs };
  }

  /** Of this moment. */
  retained(): Retained {
    const { memtables, versions } = this.#parts;
    const visible = this.#parts.visibleSequence();
    const retained = Retained.of(versions.kept, memtables.writtenLogs(), visible);
    const slowest = Math.min(visible, ...Array.from(this.#consumers, ({ sequence }) => sequence));
    const begins = retained.items.map(({ after }) => after);
    return retained.with(this.#live.listed(slowest, begins, visible));
  }

  /** @internal For consumers. */
  async pageFor(consumer: ChangeConsumer): Promise<ChangePage> {
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended;
      if (consumer.isEnded) throw new StorageError('STRATA_CLOSED', 'these changes have ended');
      if (!consumer.isChecked) this.#check(consumer);
      const before = { visible: this.#parts.visibleSequence(), place: consumer.log?.place.offset };
      const page =
        consumer.sequence === before.visible ? undefined : await this.#inTurn(() => this.#read(consumer));
      if (page !== undefined) return page;
      const hasMoved = consumer.log?.place.offset !== before.place;
      if (!hasMoved && this.#parts.visibleSequence() === before.visible) await this.#news(consumer);
    }
  }

  #news(consumer: ChangeConsumer): Promise<void> {
    if (consumer.isEnded || this.#ended !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      consumer.wake = resolve;
      this.#waiting.push(resolve);
    });
  }

  #inTurn<T>(read: () => Promise<T>): Promise<T> {
    const done = this.#lastRead.then(read);
    this.#lastRead = done.catch(() => undefined);
    return done;
  }

  #check(consumer: ChangeConsumer): void {
    const { place } = consumer;
    if (!this.history.holds(place))
      throw lost('it belongs to another store, or to a history that this one is not a part of');
    if (place.sequence > this.#parts.visibleSequence()) throw lost('it lies ahead of all that was written');
    consumer.isChecked = true;
  }

  /** Behind the consumer's sequence something is visible. undefined: not yet, in the log. */
  async #read(consumer: ChangeConsumer): Promise<ChangePage | undefined> {
    if (this.#ended !== undefined || consumer.isEnded) return undefined;
    const retained = this.retained();
    const { sequence } = consumer;
    if (sequence < retained.floor) throw lost('what follows it is not retained any more');
    const item = retained.itemBehind(sequence);
    if (item?.kind === 'load' && sequence < item.load.sequence) return await this.#readLoad(consumer, item);
    if (item?.kind === 'log') {
      const page = await this.#readLog(consumer, item);
      if (page !== undefined || !consumer.isAtEndOf(item)) return page;
    }
    // All of it was read before.
    if (this.#parts.visibleSequence() === sequence) return undefined;
    const latest = this.retained();
    if (sequence < latest.floor) throw lost('what follows it is not retained any more');
    const following = latest.itemBehind(sequence);
    if (following !== undefined && (item === undefined || !isSame(following, item))) return undefined;
    latest.checkFollows(sequence, this.#parts.directory);
    throw lost('what follows it was not retained');
  }

  async #readLog(consumer: ChangeConsumer, log: RetainedLog): Promise<ChangePage | undefined> {
    const { fs, directory, visibleSequence } = this.#parts;
    // In this step: once it is open it can be read, whatever becomes of its name.
    const file = openLog(fs, logPath(directory, fileNumber(log.number)));
    try {
      const place = consumer.log?.number === log.number ? consumer.log.place : undefined;
      const wanted = { after: consumer.sequence, visible: visibleSequence() };
      const part = await readLogPart(file, log, place, wanted);
      if (part.isInside) throw lost('it lies within a write');
      consumer.log = { number: log.number, place: part.place };
      if (part.page !== undefined) consumer.sequence = part.place.due - 1;
      return part.page;
    } finally {
      file.close();
    }
  }

  async #readLoad(consumer: ChangeConsumer, { load, after }: RetainedLoad): Promise<ChangePage> {
    const { fs, directory, disk } = this.#parts;
    if (consumer.sequence !== after) throw lost('it lies within an ingestion');
    const place = consumer.load ?? LOAD_START;
    const file = openLoadTable(fs, directory, load, place);
    const { page, next } = await readLoadPart(file, disk, load, place);
    consumer.load = next;
    if (next === undefined) consumer.sequence = load.sequence;
    return page;
  }
}

function isSame(a: RetainedItem, b: RetainedItem): boolean {
  return (
    a.after === b.after && a.kind === b.kind && (a.kind === 'load' || a.number === (b as RetainedLog).number)
  );
}

function openLog(fs: FileSystem, path: string): StorageFile {
  try {
    return fs.openRead(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new CorruptionError('a log that is kept for changes() is missing', { file: path, cause: error });
  }
}

function lost(why: string): StorageError {
  return new StorageError('STRATA_POSITION_LOST', `changes can not be given from this position on: ${why}`);
}

/** One who follows the changes. */
export class ChangeConsumer implements PageFeed {
  readonly #source: ChangeSource;
  readonly #onEnd: () => void;
  readonly place: Place;
  /** All up to here was given. */
  sequence: number;
  isChecked = false;
  /** What it has not read yet is to stay for a while (manifest/retention.ts). */
  keepsUp = false;
  isEnded = false;
  /** The log that was read last, and where to go on in it. */
  log: { readonly number: number; readonly place: LogPlace } | undefined;
  /** Where to go on in the ingestion behind `sequence`; undefined: at its start. */
  load: LoadPlace | undefined;
  wake: (() => void) | undefined;

  constructor(source: ChangeSource, place: Place, onEnd: () => void) {
    this.#source = source;
    this.place = place;
    this.sequence = place.sequence;
    this.#onEnd = onEnd;
  }

  next(): Promise<ChangePage> {
    return this.#source.pageFor(this);
  }

  end(): void {
    this.isEnded = true;
    this.#onEnd();
    this.wake?.();
  }

  isAtEndOf({ number, sizeBytes }: RetainedLog): boolean {
    return this.log?.number === number && this.log.place.offset >= sizeBytes;
  }
}
