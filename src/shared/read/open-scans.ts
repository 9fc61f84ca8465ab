/**
 * The open scans of one reader (the engine, or a client in another thread): makes them, ends them with the reader or when their
 * signal is aborted, and gives up what a forgotten one holds when it is collected.
 *
 * Thread: any.      Owns: the cores of open scans.
 */
import { keySuccessor } from '../base/bytes.ts';
import type { StorageError } from '../base/errors.ts';
import { NOTHING_EXPIRES } from '../base/expiry.ts';
import type { ForgottenWarning } from '../base/forgotten.ts';
import type { KeyRange } from '../base/iterator.ts';
import { isEmptyRange } from '../base/key-range.ts';
import { setImmediate } from '../base/timers.ts';
import { MergingIterator } from '../merge/merging-iterator.ts';
import type { SpanIterator } from '../table/block-span.ts';
import type { Scan } from './scan.ts';
import { ScanCore, type ScanReader } from './scan-core.ts';
import { type ScanExtent, ScanReads } from './scan-reads.ts';
import { openSources, type ScanSources } from './scan-sources.ts';
import type { TableCache } from './table-cache.ts';
import { UserIterator } from './user-iterator.ts';

interface NewScan {
  core: ScanCore | undefined;
  scan: Scan | undefined;
}

/** What else a scan's life depends on. */
export interface ScanTies {
  readonly signal: AbortSignal | undefined;
  readonly snapshot: unknown;
}

const forgottenScans = new FinalizationRegistry<ScanCore>((core) => core.forget());

export class OpenScans {
  readonly #tables: TableCache;
  readonly #reader: ScanReader;
  readonly #warning: ForgottenWarning;
  /** Refuses to go on, where the reader may end without being able to say so. */
  readonly #check: (() => void) | undefined;
  /** But for those of this turn of the event loop. */
  readonly #scans = new Set<ScanCore>();
  /** Those of this turn: each core knows its place, as a map would cost a short scan more than its first entry. */
  #newScans: NewScan[] = [];
  #newCount = 0;
  #isWatchDue = false;

  constructor(tables: TableCache, reader: ScanReader, warning: ForgottenWarning, check?: () => void) {
    this.#tables = tables;
    this.#reader = reader;
    this.#warning = warning;
    this.#check = check;
  }

  get size(): number {
    return this.#scans.size + this.#newCount;
  }

  /** A scan of `sources`, which is to be passed to {@link watch} in the same turn. `onClose`: gives up what they pin. */
  open(sources: ScanSources, extent: ScanExtent, onClose: () => void): ScanCore {
    const { range, reverse } = extent;
    const reads = new ScanReads(this.#tables, this.#reader.disk, sources.version, extent);
    const open = (decided: Uint8Array | undefined): UserIterator => {
      const rest = decided === undefined ? range : restOf(range, decided, reverse);
      const iterators = isEmptyRange(rest) ? [] : openSources(sources, this.#tables, rest, reads);
      const sequence = sources.own?.sequence ?? sources.sequence;
      return new UserIterator(merge(iterators, sources.nowMs), rest, sequence, reverse);
    };
    const core: ScanCore = new ScanCore(
      this.#reader,
      reads,
      open,
      () => {
        if (core.place >= 0) this.#dropNew(core);
        else if (this.#scans.delete(core)) forgottenScans.unregister(core);
        onClose();
      },
      this.#check,
      this.#warning,
    );
    return core;
  }

  /**
   * Closes `core` when `scan` is collected without having been closed, and when `signal` is aborted. `snapshot`, through which it
   * reads, is in use until it is closed.
   */
  watch(scan: Scan, core: ScanCore, { signal, snapshot }: ScanTies): void {
    this.#watch(scan, core);
    core.snapshot = snapshot;
    // Of the core, not of the scan: a signal may live long, and must not keep a forgotten scan.
    if (signal !== undefined) core.endWith(signal);
  }

  #watch(scan: Scan, core: ScanCore): void {
    core.place = this.#newCount;
    const known = this.#newScans[this.#newCount];
    if (known === undefined) this.#newScans.push({ core, scan });
    else {
      known.core = core;
      known.scan = scan;
    }
    this.#newCount++;
    // Registering costs more than a short scan, and most scans end in the turn they began in.
    if (this.#isWatchDue) return;
    this.#isWatchDue = true;
    setImmediate(() => this.#watchNewScans()).unref();
  }

  /** Each then throws `reason`, as an end without it would look like the end of the range. */
  closeAll(reason: StorageError): void {
    // Written out now: until it is asked for, a stack holds whatever it goes through, which is the reader.
    if (this.size > 0) void reason.stack;
    while (this.#newCount > 0) this.#newScans[this.#newCount - 1]!.core!.close(reason);
    for (const core of [...this.#scans]) core.close(reason);
    this.#warning.end();
  }

  #watchNewScans(): void {
    this.#isWatchDue = false;
    for (let i = 0; i < this.#newCount; i++) {
      const core = this.#newScans[i]!.core!;
      core.place = -1;
      this.#scans.add(core);
      forgottenScans.register(this.#newScans[i]!.scan!, core, core);
    }
    // Not kept: a turn may have seen any number of them.
    this.#newScans = [];
    this.#newCount = 0;
  }

  /** The last one takes its place. */
  #dropNew(core: ScanCore): void {
    const left = this.#newScans[core.place]!;
    const last = this.#newScans[--this.#newCount]!;
    left.core = last.core;
    left.scan = last.scan;
    left.core!.place = core.place;
    core.place = -1;
    last.core = undefined;
    last.scan = undefined;
  }
}

/** What of `range` is left once everything up to `decided` is done with, in the direction of the scan. */
function restOf(range: KeyRange, decided: Uint8Array, reverse: boolean): KeyRange {
  return reverse ? { start: range.start, end: decided } : { start: keySuccessor(decided), end: range.end };
}

/**
 * Tables of one level need no merging: the usual case of a compacted store. A memtable's runs are those of a merge, and what
 * expires is settled by it.
 */
function merge(sources: SpanIterator[], nowMs: number): SpanIterator {
  const first = sources[0];
  const isAlone = sources.length === 1 && first?.lookAhead !== undefined;
  return isAlone && nowMs === NOTHING_EXPIRES ? first : new MergingIterator(sources, nowMs);
}
