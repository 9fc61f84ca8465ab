/**
 * LOCK: who owns a store, and when the owner was last seen alive.
 *
 *   {"pid":1,"hostname":"a","threadId":0,"startedAt":"2024-01-01T00:00:00.000Z","bootId":"...","network":"net:[...]",
 *    "ownerId":"0a1b2c3d4e5f6071","socket":"LOCK-0a1b2c3d4e5f6071.sock","isClosing":true}
 *
 *   pid .. startedAt   named in the errors of those who lose
 *   bootId             which start of which kernel: locks are known to one kernel only
 *   network            the network namespace, of which abstract sockets are a part
 *   ownerId            random, for each opening: an owner that finds another one here has been superseded
 *   socket             its socket; absent where the file system has none (directory-lock.ts)
 *   isClosing          close() was called
 *
 * An open store writes the record anew every {@link BEAT_MS}, so that the file's time is its last sign of life. Closing empties
 * LOCK. The file itself stays: unlinking a file that others may be opening is a race.
 *
 * Invariants: what LOCK says never lets anybody in who does not hold the locks of this kernel. Its text may be anybody's: every
 *             field is checked, and quoted where it is shown.
 * Thread:     main.
 */
import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';
import { systemErrorCode } from '../../shared/base/errors.ts';
import { wallClock } from '../../shared/base/timers.ts';
import { readKernelLine, readKernelLink } from '../../shared/files/lock-files.ts';

/** How often an owner shows that it lives. */
export const BEAT_MS = 5000;

const BOOT_ID_PATH = '/proc/sys/kernel/random/boot_id';
const NETWORK_PATH = '/proc/self/ns/net';

export interface LockRecord {
  readonly pid: number;
  readonly hostname: string;
  readonly bootId?: string;
  readonly network?: string;
  readonly ownerId?: string;
  readonly socket?: string;
  readonly isClosing?: boolean;
}

/** The record of this thread. */
export function describeSelf(ownerId: string, socket: string | undefined): LockRecord {
  const bootId = kernelSays(() => readKernelLine(BOOT_ID_PATH));
  const network = kernelSays(() => readKernelLink(NETWORK_PATH));
  const startedAt = new Date(wallClock());
  return {
    pid: process.pid,
    hostname: hostname(),
    ...{ threadId, ...(Number.isFinite(startedAt.getTime()) ? { startedAt: startedAt.toISOString() } : {}) },
    ...(bootId === undefined ? {} : { bootId }),
    ...(network === undefined ? {} : { network }),
    ownerId,
    ...(socket === undefined ? {} : { socket }),
  };
}

export function encodeRecord(record: LockRecord): Uint8Array {
  return Buffer.from(`${JSON.stringify(record)}\n`);
}

/** undefined when LOCK names nobody, or is not one of ours. */
export function parseRecord(text: string): LockRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Empty, torn, or a file of somebody else: nobody is named.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const {
    pid,
    hostname: host,
    bootId,
    network,
    ownerId,
    socket,
    isClosing,
  } = value as Record<string, unknown>;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return {
    pid,
    hostname: textOf(host) ?? '',
    ...optional('bootId', textOf(bootId)),
    ...optional('network', textOf(network)),
    ...optional('ownerId', textOf(ownerId)),
    ...optional('socket', textOf(socket)),
    ...(isClosing === true ? { isClosing } : {}),
  };
}

function optional<K extends string>(name: K, value: string | undefined): { [P in K]?: string } {
  return (value === undefined ? {} : { [name]: value }) as { [P in K]?: string };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.length > 0 ? value.slice(0, 256) : undefined;
}

/** Whether this is what LOCK may hold, so that it may be replaced; anything else is a file of somebody else. */
export function isOurRecord(text: string): boolean {
  return text === '' || text.startsWith('{"pid":');
}

/** The holder in words; undefined when the record names a process of this machine that is no more. */
export function nameHolder(record: LockRecord): string | undefined {
  const { pid, hostname: host } = record;
  if (host === hostname()) {
    if (pid === process.pid && isOurNetwork(record))
      return record.isClosing === true
        ? `this process (pid ${pid}), which is closing it: await close(), or open with lockTimeout`
        : `this process (pid ${pid})`;
    if (!isAlive(pid) && isOurNetwork(record)) return undefined;
    return `the process with pid ${pid}${record.isClosing === true ? ', which is closing it' : ''}`;
  }
  // Another host name in one kernel: a container, whose pids we can't look up. The name is not ours: quote it.
  const elsewhere = host === '' ? '' : ` on host ${JSON.stringify(host.slice(0, 64))}`;
  return `the process with pid ${pid}${elsewhere}`;
}

/** Containers may share a host name, and each of them has a process 1. */
function isOurNetwork({ network }: LockRecord): boolean {
  return network === undefined || network === kernelSays(() => readKernelLink(NETWORK_PATH));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}

/** For what only informs, or can't be had on this system. */
function kernelSays(read: () => string): string | undefined {
  try {
    const said = read();
    return said === '' ? undefined : said;
  } catch {
    // Another system, or no /proc: the record goes without it.
    return undefined;
  }
}
