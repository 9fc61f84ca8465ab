/**
 * Opens the door of a store (door.ts): until somebody comes it is one function, and its code is not loaded.
 *
 * Thread: main.
 */
import type { StoreLock } from '../locking/directory-lock.ts';
import type { ServedStore } from './commands.ts';

/** Who connects to the socket of the lock may ask `store` for something. */
export function openDoor(lock: StoreLock, store: ServedStore): void {
  lock.receive((socket) => {
    import('./door.ts').then(
      ({ receive }) => receive(store, lock.ownerId, socket),
      // The package was removed or replaced: whoever asks gets no answer.
      () => socket.destroy(),
    );
  });
}
