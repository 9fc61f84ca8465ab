/**
 * A rival for a directory lock in another thread or process: takes it, says how that went, keeps it while it lives.
 *
 *   as a child or cluster worker:  argv [directory, app server: 'none' | 'shared' | 'exclusive']
 *   as a worker thread:            workerData { directory }
 *   answers                        { outcome: 'held' } or { outcome: <error code>, message }
 */
import { createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { acquireLock } from '../../src/main/locking/directory-lock.ts';
import { StorageError } from '../../src/shared/base/errors.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';

export interface LockOutcome {
  readonly outcome: string;
  readonly message?: string;
}

const directory: string =
  parentPort === null ? process.argv[2]! : (workerData as { directory: string }).directory;
const appServer = process.argv[3] ?? 'none';

function answer(outcome: LockOutcome): void {
  if (parentPort !== null) parentPort.postMessage(outcome);
  else process.send!(outcome);
}

// An application that listens for itself, in either way, must not change what the lock does in a cluster worker.
if (parentPort === null && appServer !== 'none') {
  await new Promise<void>((resolve) => {
    createServer().listen({ port: 0, exclusive: appServer === 'exclusive' }, resolve);
  });
}

try {
  await acquireLock(nodeFileSystem, directory);
  answer({ outcome: 'held' });
} catch (error) {
  if (!(error instanceof StorageError)) throw error;
  answer({ outcome: error.code, message: error.message });
}
// Stays until it is ended from outside: the lock by itself must keep nobody alive.
setInterval(() => {}, 60_000);
