/**
 * The owner's part in the changes that one client follows: reads the pages, which are transferred and taken apart over there.
 *
 * Invariants: what a client leaves open ends with it.
 * Thread:     main.     Owns: the consumers of the client.
 */
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import type { ChangePage, PageFeed } from '../../shared/changes/change-page.ts';
import { decodePosition, type Place } from '../../shared/changes/position.ts';
import { moving } from '../../shared/threads/calls.ts';

/** The store's changes, as a client follows them. */
export interface ChangeService {
  consumer(after: Place): PageFeed;
}

/** A client that follows more of them has lost count. */
const MAX_FOLLOWED = 1024;

export class ClientChanges {
  readonly #service: ChangeService;
  readonly #feeds = new Map<number, PageFeed>();
  readonly #reading = new Set<number>();
  #lastId = 0;
  #isEnded = false;

  constructor(service: ChangeService) {
    this.#service = service;
  }

  begin(after: string): number {
    if (this.#isEnded) throw new StorageError('STRATA_CLOSED', 'the client is closed');
    if (this.#feeds.size >= MAX_FOLLOWED) throw invalidArgument('a client follows too many changes at once');
    const id = ++this.#lastId;
    this.#feeds.set(id, this.#service.consumer(decodePosition(after)));
    return id;
  }

  async next(id: number): Promise<ChangePage> {
    const feed = this.#feeds.get(id);
    if (feed === undefined || this.#reading.has(id))
      throw invalidArgument('these changes have ended, or a page of them is asked for already');
    this.#reading.add(id);
    try {
      const page = await feed.next();
      return moving(page, [page.bytes.buffer, page.pieces.buffer]);
    } catch (error) {
      this.finish(id);
      throw error;
    } finally {
      this.#reading.delete(id);
    }
  }

  finish(id: number): void {
    const feed = this.#feeds.get(id);
    this.#feeds.delete(id);
    feed?.end();
  }

  /** Idempotent. */
  end(): void {
    this.#isEnded = true;
    for (const id of [...this.#feeds.keys()]) this.finish(id);
  }
}
