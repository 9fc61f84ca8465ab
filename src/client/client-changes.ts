/**
 * The changes as a client follows them: the owner reads the pages, this thread takes them apart.
 *
 * Invariants: a call of next() settles when it is ended here, whatever the owner does.
 * Thread:     the client's.
 */
import { StorageError } from '../shared/base/errors.ts';
import type { ChangePage, PageFeed } from '../shared/changes/change-page.ts';
import type { Calls } from '../shared/threads/calls.ts';
import type { OwnerCalls } from '../shared/threads/share-protocol.ts';

export class ClientChanges implements PageFeed {
  readonly #calls: Calls<OwnerCalls>;
  readonly #after: string;
  readonly #onEnd: (feed: ClientChanges) => void;
  #id: Promise<number> | undefined;
  #isEnded = false;
  #reject: ((error: unknown) => void) | undefined;

  constructor(calls: Calls<OwnerCalls>, after: string, onEnd: (feed: ClientChanges) => void) {
    this.#calls = calls;
    this.#after = after;
    this.#onEnd = onEnd;
  }

  next(): Promise<ChangePage> {
    return new Promise((resolve, reject) => {
      if (this.#isEnded) {
        reject(closed());
        return;
      }
      this.#reject = reject;
      this.#id ??= this.#calls.call('changesBegin', [this.#after]);
      this.#id.then((id) => this.#calls.call('changesNext', [id])).then(resolve, reject);
    });
  }

  end(error: unknown = closed()): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#reject?.(error);
    this.#onEnd(this);
    this.#id
      ?.then((id) => this.#calls.call('changesEnd', [id]))
      .catch(() => {
        // The client or the store has ended, and these changes with it.
      });
  }
}

function closed(): StorageError {
  return new StorageError('STRATA_CLOSED', 'these changes have ended');
}
