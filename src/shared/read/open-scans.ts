/**
 * The open scans of one reader (the engine, or a client in another thread): makes them, ends them with the reader, and gives
 * up what a forgotten one holds when it is collected.
 *
 * Thread: any.      Owns: the cores of open scans.
 */
import type { StorageError } from '../errors.ts';
import type { InternalIterator, KeyRange } from '../iterator.ts';
import { MergingIterator } from '../merging-iterator.ts';
import { openSources, type ScanSources } from './read-view.ts';
import { type Scan, ScanCore } from './scan.ts';
import type { TableCache } from './table-cache.ts';
import { isEmptyRange, UserIterator } from './user-iterator.ts';

const forgottenScans = new FinalizationRegistry<ScanCore>((core) => core.close());

export class OpenScans {
  readonly #tables: TableCache;
  /** Refuses to go on, where the reader may end without being able to say so. */
  readonly #check: (() => void) | undefined;
  /** But for those of this turn of the event loop. */
  readonly #scans = new Set<ScanCore>();
  readonly #newScans = new Map<ScanCore, Scan>();
  #isWatchDue = false;

  constructor(tables: TableCache, check?: () => void) {
    this.#tables = tables;
    this.#check = check;
  }

  get size(): number {
    return this.#scans.size + this.#newScans.size;
  }

  /** A scan of `sources`, which {@link watch} has to be told of in the same turn. `onClose`: gives up what they pin. */
  open(sources: ScanSources, range: KeyRange, reverse: boolean, onClose: () => void): ScanCore {
    const open = (): UserIterator =>
      new UserIterator(
        merge(isEmptyRange(range) ? [] : openSources(sources, this.#tables, range, true)),
        range,
        sources.sequence,
        reverse,
      );
    const core: ScanCore = new ScanCore(
      open,
      () => {
        if (!this.#newScans.delete(core)) {
          this.#scans.delete(core);
          forgottenScans.unregister(core);
        }
        onClose();
      },
      this.#check,
    );
    return core;
  }

  /** Closes `core` when `scan` is collected without having been closed. */
  watch(scan: Scan, core: ScanCore): void {
    this.#newScans.set(core, scan);
    // Registering costs more than a short scan, and most scans end in the turn they began in.
    if (this.#isWatchDue) return;
    this.#isWatchDue = true;
    setImmediate(() => this.#watchNewScans()).unref();
  }

  /** Each then throws `reason`, as an end without it would look like the end of the range. */
  closeAll(reason: StorageError): void {
    for (const scan of [...this.#newScans.keys(), ...this.#scans]) scan.close(reason);
  }

  #watchNewScans(): void {
    this.#isWatchDue = false;
    for (const [core, scan] of this.#newScans) {
      this.#scans.add(core);
      forgottenScans.register(scan, core, core);
    }
    this.#newScans.clear();
  }
}

/** Tables of one level need no merging: the usual case of a compacted store. A memtable's runs are those of a merge. */
function merge(sources: InternalIterator[]): InternalIterator {
  const first = sources[0];
  return sources.length === 1 && first?.lookAhead !== undefined ? first : new MergingIterator(sources);
}
