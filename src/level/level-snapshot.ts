/**
 * LevelSnapshot: an explicit snapshot of abstract-level, over one of the store. The moment is that of the call.
 *
 * Invariants: reading through one of another database is refused by the engine; abstract-level closes it with the database.
 * Thread:     that of its database.     Owns: the store's snapshot.
 */
import { AbstractSnapshot } from 'abstract-level';
import { LevelError } from './level-error.ts';
import type { StoreSnapshot } from './level-store.ts';

/** What the base class takes; its declaration leaves the constructor out. */
const Base = AbstractSnapshot as unknown as new (options: object) => AbstractSnapshot;

export class LevelSnapshot extends Base {
  readonly #moment: StoreSnapshot;

  /** `options` name the owner, as abstract-level has them. */
  constructor(moment: StoreSnapshot, options: object) {
    super(options);
    this.#moment = moment;
  }

  /** @internal The store's snapshot behind the option `snapshot` of a read; throws for one that is not ours. */
  static momentOf(snapshot: unknown): StoreSnapshot | undefined {
    if (snapshot === undefined || snapshot === null) return undefined;
    if (typeof snapshot !== 'object' || !(#moment in snapshot))
      throw new LevelError('LEVEL_INVALID_ARGUMENT', 'the snapshot is not one of this kind of database');
    return snapshot.#moment;
  }

  /** @internal */
  _close(): Promise<void> {
    this.#moment.close();
    return Promise.resolve();
  }
}
