/**
 * A moment of the store as a transaction of this thread reads it.
 *
 * Thread: main.     Owns: nothing; whoever made it keeps the moment.
 */
import type { SequenceNumber } from '../shared/base/ids.ts';
import type { OpenScans } from '../shared/read/open-scans.ts';
import type { ResolvedRead, ResolvedScan } from '../shared/read/read-options.ts';
import { Scan } from '../shared/read/scan.ts';
import type { ScanCore } from '../shared/read/scan-core.ts';
import type { OwnSource } from '../shared/read/scan-sources.ts';
import type { MomentReads } from '../shared/transact/transaction.ts';
import type { EngineReads } from './engine-reads.ts';

type Read = ResolvedRead<never> | undefined;

/** The store as it reads it. */
export interface MomentStore {
  readonly reads: EngineReads;
  readonly scans: OpenScans;
  openScan(options: ResolvedScan<never>, sequence: SequenceNumber, own?: OwnSource): ScanCore;
  checkReadable(): void;
  checkWritable(): void;
}

export class EngineMoment implements MomentReads {
  readonly sequence: SequenceNumber;
  readonly #store: MomentStore;

  constructor(store: MomentStore, sequence: SequenceNumber) {
    this.#store = store;
    this.sequence = sequence;
  }

  checkReadable(): void {
    this.#store.checkReadable();
  }

  checkWritable(): void {
    this.#store.checkWritable();
  }

  getSync(key: Uint8Array, read: Read, copies: boolean): Buffer | undefined {
    return this.#store.reads.getSyncAt(this.sequence, key, read, copies);
  }

  get(key: Uint8Array, read: Read, copies: boolean): ReturnType<MomentReads['get']> {
    return this.#store.reads.getAt(this.sequence, key, read, copies);
  }

  getMany(keys: readonly Uint8Array[], read: Read): Promise<(Buffer | undefined)[]> {
    return this.#store.reads.getManyAt(this.sequence, keys, read);
  }

  scan(
    options: ResolvedScan<never>,
    own: OwnSource | undefined,
  ): { readonly scan: Scan; readonly core: ScanCore } {
    const core = this.#store.openScan(options, this.sequence, own);
    const scan = new Scan(core, options);
    this.#store.scans.watch(scan, core, options);
    return { scan, core };
  }
}
