/**
 * The part of a store's lock that reaches across network namespaces of one kernel: a Unix socket in the directory itself, as
 * containers with one volume have it in common (Linux).
 *
 *   LOCK-0a1b2c3d4e5f6071.sock     one for each claim, under a name that was never used before
 *
 *   1. bind and listen at a name of our own
 *   2. list the directory, and connect to every other socket in it:
 *        refused                        its owner is dead, or has not come to listening: see below
 *        accepted, and LOCK names it    somebody owns the store: give up
 *        accepted, not named            a rival at this same step. The smaller name goes first: the other one gives up at
 *                                       once; the first waits until the other has given up, or owns the store after all
 *   3. nobody else is left: we own the store. Delete the sockets of the dead
 *   release: close the socket, which deletes its name (a directory with a socket in it can't be copied)
 *
 * Why there is one owner: of two rivals, whoever lists later sees the other's name, as binding comes before listing. Refused
 * means dead or not yet listening; who is not yet listening has not yet listed, will find us listening, and can't own the
 * store without our giving up. A name is never used twice, so deleting the name of the dead deletes nobody else's. Had we
 * deleted that of one who was about to listen, he misses his own name in the list and starts again.
 *
 * An owner may receive visitors at its socket (door.ts); without that it sends everybody away.
 *
 * Invariants: a name is bound once. Only sockets with our names are deleted, and only refused ones.
 * Thread:     main.     Owns: the listening socket.
 * Not chosen: one name for all, unlinked when it is stale: two that find it stale unlink each other's, and both own the store.
 *             Renaming a claim to a lock: whoever lists meanwhile may see neither name.
 */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { ioError, systemErrorCode } from '../../shared/base/errors.ts';
import { randomHex } from '../../shared/base/random.ts';
import { delay, setTimeout } from '../../shared/base/timers.ts';
import { lockSocketName, parseFileName } from '../../shared/files/file-names.ts';
import { listNames, removeSocket, restrictSocket } from '../../shared/files/lock-files.ts';

/** What sun_path holds on Linux, less the zero at its end. Node cuts longer names off without a word. */
const MAX_SOCKET_PATH = 107;
/** A rival has its answer after a few milliseconds, unless it was stopped: then it may go on at any time, and owns the store. */
const RIVAL_ATTEMPTS = 200;
const RIVAL_POLL_MS = 10;
/** Connections at once, rivals that only look included. */
const MAX_VISITORS = 32;
/** When an owner goes, its visitors are sent away after this long. */
const FAREWELL_MS = 500;
/** How often our name may be taken for that of the dead. */
const CLAIM_ATTEMPTS = 20;
/** How file systems say that they have no sockets, or that this is no place to make one. */
const NO_SOCKETS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'EACCES',
  'EROFS',
  'EINVAL',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
]);

/** A socket that shows others who look into the directory that its owner lives. */
export interface SocketClaim {
  /** Its name in the directory; undefined where the file system has no sockets: then nobody is kept out. */
  readonly name: string | undefined;
  /** Who connects from now on is passed to `visit`, and not sent away at once. */
  receive(visit: Visit): void;
  /** What visitors have yet to be sent is sent, if they take it soon. */
  release(): Promise<void>;
}

/** Gets whoever has connected. */
export type Visit = (socket: Socket) => void;

/** undefined: somebody else has the store, or is about to. */
export async function claimBySocket(
  directory: string,
  ownerName: () => string | undefined,
): Promise<SocketClaim | undefined> {
  for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
    const name = lockSocketName(randomHex(8));
    const visitors = new Visitors();
    const server = await listenAt(join(directory, name), visitors);
    const release = async (): Promise<void> => {
      if (server === undefined) return;
      const closed = closeServer(server);
      visitors.end();
      await closed;
    };
    try {
      const outcome = await settle(directory, server === undefined ? undefined : name, ownerName);
      if (outcome === 'won')
        return {
          name: server === undefined ? undefined : name,
          receive: (visit) => visitors.receive(visit),
          release,
        };
      await release();
      if (outcome === 'lost') return undefined;
    } catch (error) {
      await release();
      throw error;
    }
  }
  return undefined;
}

/** Whoever is connected to an owner. */
class Visitors {
  readonly #sockets = new Set<Socket>();
  #visit: Visit | undefined;

  receive(visit: Visit): void {
    this.#visit = visit;
  }

  come(socket: Socket): void {
    if (this.#visit === undefined || this.#sockets.size >= MAX_VISITORS) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on('error', () => {
      // It has gone in the midst of something: 'close' follows.
    });
    socket.on('close', () => this.#sockets.delete(socket));
    this.#visit(socket);
  }

  /** Nobody is received any more; those that are here have a moment to take what they were sent. */
  end(): void {
    this.#visit = undefined;
    for (const socket of this.#sockets) socket.destroySoon();
    if (this.#sockets.size > 0)
      setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy();
      }, FAREWELL_MS).unref();
  }
}

type Life = 'alive' | 'dead' | 'gone';

/** Step 2 and 3. `own` is undefined for one without a socket, who can only give way. */
async function settle(
  directory: string,
  own: string | undefined,
  ownerName: () => string | undefined,
): Promise<'won' | 'lost' | 'again'> {
  for (let attempt = 0; attempt < RIVAL_ATTEMPTS; attempt++) {
    const names = listNames(directory).filter((name) => parseFileName(name)?.kind === 'lock-socket');
    if (own !== undefined && !names.includes(own)) return 'again';
    const others = names.filter((name) => name !== own);
    const lives = await Promise.all(others.map((name) => lookAt(join(directory, name))));
    const rivals = others.filter((_, i) => lives[i] === 'alive');
    if (rivals.length === 0) {
      if (own !== undefined)
        for (const [i, name] of others.entries())
          if (lives[i] === 'dead') removeSocket(join(directory, name));
      return 'won';
    }
    const owner = ownerName();
    if (own === undefined || rivals.some((name) => name === owner || name < own)) return 'lost';
    await delay(RIVAL_POLL_MS);
  }
  return 'lost';
}

/** Whether anybody listens at one of the sockets that owners have in `directory`. */
export async function isAnyoneListening(directory: string): Promise<boolean> {
  const names = listNames(directory).filter((name) => parseFileName(name)?.kind === 'lock-socket');
  const lives = await Promise.all(names.map((name) => lookAt(join(directory, name))));
  return lives.includes('alive');
}

/** Whether anybody listens at a socket. Where nobody knows, it counts as alive: a socket of another user, one that is overrun. */
export function lookAt(path: string): Promise<Life> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('connect', () => {
      socket.destroy();
      resolve('alive');
    });
    socket.on('error', (error) => {
      const code = systemErrorCode(error);
      resolve(code === 'ECONNREFUSED' ? 'dead' : code === 'ENOENT' ? 'gone' : 'alive');
    });
  });
}

/** undefined where there can be no socket. */
async function listenAt(path: string, visitors: Visitors): Promise<Server | undefined> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) return undefined;
  try {
    const server = await listen(path, path, (socket) => visitors.come(socket));
    try {
      restrictSocket(path);
    } catch (error) {
      await closeServer(server);
      throw error;
    }
    return server;
  } catch (error) {
    if (NO_SOCKETS.has(systemErrorCode(error))) return undefined;
    throw error;
  }
}

/** A server: being reachable is what it is for. Without `visit` it sends everybody away. `what` is named in errors. */
export function listen(
  path: string,
  what: string,
  visit: Visit = (socket) => void socket.destroy(),
): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Whoever may not stay is sent away at once, as an open connection keeps the server from closing.
    const server = createServer(visit);
    server.on('error', (error) => reject(ioError('lock', what, error)));
    // `exclusive`: a cluster worker would otherwise share the primary's handle with its siblings, and all would win.
    server.listen({ path, exclusive: true }, () => resolve(server));
    // A store left open must not keep its process alive.
    server.unref();
  });
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
  });
}
