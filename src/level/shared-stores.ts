/**
 * `multithreading: true`: one store for all databases of a process that name the same directory, in whichever thread they are.
 *
 *   1. in this thread somebody has it already: the same engine, or the same client
 *   2. nobody has: this thread opens the store, owns it, and answers on a channel named for the directory
 *   3. it is locked by this process: another thread owns it. A request on the channel is answered with a port of engine.share(),
 *      and a second port, the lease, whose end tells the owner that this thread is through, however it ended
 *
 * The owner's thread closes the store when the last database on it is closed, in any thread: until then it is kept, though its
 * own databases are closed.
 *
 * Invariants: nothing here keeps a thread or the process alive. A database without the option does not share, and is refused as
 *             anybody else is. When the thread that owns the store ends, the other threads' databases fail with
 *             LEVEL_DATABASE_NOT_OPEN; opened again, one of them owns it.
 * Bound:      a thread that does not answer is asked again for OPEN_LIMIT_MS; then the store counts as locked. One that a
 *             database of this thread has, without the option, counts as locked at once.
 * Thread:     any; each has its own list.     Owns: the engine or client of a directory, while databases of this thread use it.
 */
import { StorageClient } from '../client/storage-client.ts';
import { StorageEngine } from '../main/engine.ts';
import { resolveDirectory } from '../main/store/open-request.ts';
import { StorageError } from '../shared/base/errors.ts';
import { delay, now } from '../shared/base/timers.ts';
import { engineOptionsOf, type GivenOptions } from './level-options.ts';
import type { LevelStore } from './level-store.ts';
import { endLease, type Handover, OwnerDoor, PortRequest } from './owner-door.ts';

/** A process with many threads on few processors takes long to answer all of them. */
const OPEN_LIMIT_MS = 30_000;
const RETRY_MS = 20;

/** A store that is open for one database. */
export interface OpenLevel {
  readonly store: LevelStore;
  /** undefined: another thread has it. */
  readonly engine: StorageEngine | undefined;
  close(): Promise<void>;
}

/** The engine and the client take their own snapshots alone, and check them; LevelStore says that any may be passed. */
export function storeOf(store: StorageEngine | StorageClient): LevelStore {
  return store as unknown as LevelStore;
}

/** What this thread has of a store. */
class SharedStore {
  readonly store: LevelStore;
  readonly engine: StorageEngine | undefined;
  readonly #door: OwnerDoor | undefined;
  readonly #lease: Handover['lease'] | undefined;
  readonly #onClose: () => void;
  #users = 0;
  #closing: Promise<void> | undefined;

  constructor(
    path: string,
    had: StorageEngine | { readonly client: StorageClient; readonly lease: Handover['lease'] },
    onClose: () => void,
  ) {
    this.#onClose = onClose;
    if (had instanceof StorageEngine) {
      this.engine = had;
      this.store = storeOf(had);
      this.#door = new OwnerDoor(path, had, () => this.#closeUnused());
    } else {
      this.store = storeOf(had.client);
      this.#lease = had.lease;
    }
  }

  /** Closed, or about to be: nobody can join. */
  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  join(): OpenLevel {
    this.#users++;
    let isOpen = true;
    const close = async (): Promise<void> => {
      if (!isOpen) return;
      isOpen = false;
      this.#users--;
      await this.#closeUnused();
    };
    return { store: this.store, engine: this.engine, close };
  }

  /** Closes the store if nobody uses it, here or in another thread. */
  async #closeUnused(): Promise<void> {
    if (this.#users > 0 || (this.#door?.leases ?? 0) > 0) return;
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#door?.close();
    try {
      await this.store.close();
    } finally {
      if (this.#lease !== undefined) await endLease(this.#lease);
      this.#onClose();
    }
  }
}

/** Of this thread, by directory; those that are being opened, too. */
const stores = new Map<string, Promise<SharedStore>>();

/** Directories of this thread's databases without the option: nobody shares those. */
const openAlone = new Set<string>();

/** A store for one database without the option `multithreading`. */
export async function openUnshared(location: string, given: GivenOptions): Promise<OpenLevel> {
  const path = resolveDirectory(location);
  const engine = await StorageEngine.open(location, engineOptionsOf(given));
  openAlone.add(path);
  const close = async (): Promise<void> => {
    openAlone.delete(path);
    await engine.close();
  };
  return { store: storeOf(engine), engine, close };
}

/** A store for one database with the option `multithreading`. */
export async function openShared(location: string, given: GivenOptions): Promise<OpenLevel> {
  const path = resolveDirectory(location);
  for (;;) {
    const known = stores.get(path);
    const shared = await (known ?? begin(path, given));
    if (shared.isClosing) continue;
    if (given['errorIfExists'] === true && known !== undefined)
      throw new StorageError('STRATA_EXISTS', `the store ${path} exists already`);
    return shared.join();
  }
}

function begin(path: string, given: GivenOptions): Promise<SharedStore> {
  const forget = (): void => {
    if (stores.get(path) === opening) stores.delete(path);
  };
  const opening: Promise<SharedStore> = openOrAttach(path, given, forget);
  stores.set(path, opening);
  opening.catch(forget);
  return opening;
}

async function openOrAttach(path: string, given: GivenOptions, onClose: () => void): Promise<SharedStore> {
  const options = engineOptionsOf(given);
  const giveUpAt = now() + OPEN_LIMIT_MS;
  let request: PortRequest | undefined;
  try {
    for (;;) {
      try {
        return new SharedStore(path, await StorageEngine.open(path, options), onClose);
      } catch (error) {
        if (!isLockedHere(error) || openAlone.has(path) || now() > giveUpAt) throw error;
      }
      request ??= new PortRequest(path);
      const ports = await request.reply();
      if (ports !== undefined) {
        try {
          const client = await StorageClient.attach(ports.port, { cacheSize: options.cacheSize });
          return new SharedStore(path, { client, lease: ports.lease }, onClose);
        } catch (error) {
          ports.lease.close();
          // The owner was about to close.
          if (!(error instanceof StorageError && error.code === 'STRATA_CLOSED')) throw error;
        }
        request.close();
        request = undefined;
      }
      await delay(RETRY_MS);
    }
  } finally {
    request?.close();
  }
}

/** Whether it is this process that has the store. */
function isLockedHere(error: unknown): boolean {
  if (!(error instanceof StorageError) || error.code !== 'STRATA_LOCKED') return false;
  return new RegExp(`\\b(?:process|pid) ${process.pid}\\b`).test(error.message);
}
