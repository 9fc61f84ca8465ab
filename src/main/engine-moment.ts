/**
 * A moment of the store as a transaction of this thread reads it.
 *
 * Thread: main.     Owns: nothing; whoever made it keeps the moment.
 */
import type { SequenceNumber } from '../shared/base/ids.ts';
import type { Wanted } from '../shared/read/found-entry.ts';
import type { OpenScans } from '../shared/read/open-scans.ts';
import type { ResolvedRead, ResolvedScan } from '../shared/read/read-options.ts';
import { Scan } from '../shared/read/scan.ts';
import type { ScanCore } from '../shared/read/scan-core.ts';
import type { OwnSource } from '../shared/read/scan-sources.ts';
import type { Clock } from '../shared/threads/shared-clock.ts';
import type { MomentReads } from '../shared/transact/transaction.ts';
import { TransactionClock } from '../shared/transact/transaction-clock.ts';
import type { EngineReads } from './engine-reads.ts';

type Read = ResolvedRead<never> | undefined;

/** The store as it reads it. */
export interface MomentStore {
  readonly reads: EngineReads;
  readonly scans: OpenScans;
  openScan(options: ResolvedScan<never>, sequence: SequenceNumber, clock: Clock, own?: OwnSource): ScanCore;
  checkReadable(): void;
  checkWritable(): void;
}

export class EngineMoment implements MomentReads {
  readonly sequence: SequenceNumber;
  readonly clock: TransactionClock;
  readonly #store: MomentStore;

  constructor(store: MomentStore, sequence: SequenceNumber, timeMs: number) {
    this.#store = store;
    this.sequence = sequence;
    this.clock = new TransactionClock(timeMs);
  }

  checkReadable(): void {
    this.#store.checkReadable();
  }

  checkWritable(): void {
    this.#store.checkWritable();
  }

  getSync(key: Uint8Array, read: Read, wanted: Wanted): Buffer | undefined {
    return this.#store.reads.getSyncAt(this.sequence, this.clock, key, read, wanted);
  }

  get(key: Uint8Array, read: Read, wanted: Wanted): ReturnType<MomentReads['get']> {
    return this.#store.reads.getAt(this.sequence, this.clock, key, read, wanted);
  }

  getMany(keys: readonly Uint8Array[], read: Read): Promise<(Buffer | undefined)[]> {
    return this.#store.reads.getManyAt(this.sequence, this.clock, keys, read);
  }

  scan(
    options: ResolvedScan<never>,
    own: OwnSource | undefined,
  ): { readonly scan: Scan; readonly core: ScanCore } {
    const core = this.#store.openScan(options, this.sequence, this.clock, own);
    const scan = new Scan(core, options);
    this.#store.scans.watch(scan, core, options);
    return { scan, core };
  }
}
