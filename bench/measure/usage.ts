/**
 * What this process has used: processor time, bytes handed to the kernel, memory; and what a directory takes on disk.
 *
 * Bytes written are `wchar` of /proc/self/io: all write calls of all threads, log and tables alike, before the page cache
 * merges anything. Where there is no /proc they, and the main thread's share of the time, are unknown, not zero.
 */
import { existsSync, readFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';

const IO_FILE = '/proc/self/io';
/** Of the process's first thread alone: nanoseconds on a processor, nanoseconds waiting for one, time slices. */
const MAIN_THREAD_FILE = '/proc/self/schedstat';
/** st_blocks counts these, whatever the file system's own blocks. */
const STAT_BLOCK_BYTES = 512;

export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Of the main thread only; what its workers use is not in it. */
export function mainThreadCpuSeconds(): number | undefined {
  if (!existsSync(MAIN_THREAD_FILE)) return undefined;
  const match = /^(\d+) /.exec(readFileSync(MAIN_THREAD_FILE, 'utf8'));
  return match === null ? undefined : Number(match[1]) / 1e9;
}

/** Of everything that runs on the machine, this process included. */
export function machineCpuSeconds(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000;
}

export function writtenBytes(): number | undefined {
  return ioCounter('wchar');
}

/** Read from disks, page faults in mapped files included; undefined where the system doesn't say. */
export function readBytes(): number | undefined {
  return ioCounter('read_bytes');
}

/** The most memory the process had resident at any time; pages of mapped files count. */
export function peakMemoryBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

function ioCounter(name: 'wchar' | 'read_bytes'): number | undefined {
  if (!existsSync(IO_FILE)) return undefined;
  const match = new RegExp(`^${name}: (\\d+)$`, 'm').exec(readFileSync(IO_FILE, 'utf8'));
  return match === null ? undefined : Number(match[1]);
}

/** As allocated, so that a sparse file counts for what it takes. */
export async function diskBytes(directory: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const { blocks, size } = await lstat(join(entry.parentPath ?? entry.path, entry.name));
    total += blocks === undefined ? size : blocks * STAT_BLOCK_BYTES;
  }
  return total;
}
