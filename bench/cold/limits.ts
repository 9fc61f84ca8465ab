/**
 * Limits: a control group of the kernel that a measured process is put into: so many reads of one disk a second, so much
 * memory, its page cache included. The memory limit is what makes the rest of the machine's memory no cache for the data.
 *
 *   version 1   two groups:  /sys/fs/cgroup/blkio/NAME   blkio.throttle.read_iops_device   "8:0 2000"
 *                            /sys/fs/cgroup/memory/NAME  memory.limit_in_bytes             "419430400"
 *   version 2   one group:   /sys/fs/cgroup/NAME         io.max "8:0 riops=2000", memory.max, memory.swap.max "0"
 *
 * A process joins by its id written to cgroup.procs, with all its threads. Memory it had before is not charged.
 *
 * Lifetime: groups are removed by `remove`, which waits until the processes in them are gone. Those of a run that was
 *           killed outright are removed by the next one, as their names hold the process id.
 * Not chosen: systemd-run, which is not everywhere, and leaves no file to count the reads in.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../temp-directories.ts';
import type { ReadCounter } from './cold-task.ts';

const NAME = /^stratakv-bench-(\d+)$/;
const REMOVE_TRIES = 200;
const REMOVE_PAUSE_MS = 20;

export interface LimitSizes {
  readonly readsPerSecond: number;
  readonly memoryBytes: number;
  /** major:minor of the whole disk, as partitions can't be limited. */
  readonly disk: string;
}

interface Setting {
  readonly file: string;
  readonly text: string;
  /** A kernel without swap accounting lacks the file. */
  readonly isOptional?: boolean;
}

interface Group {
  readonly folder: string;
  readonly settings: readonly Setting[];
}

export interface Limits {
  readonly version: 1 | 2;
  readonly counter: ReadCounter;
  /** Puts a process and its threads under the limits. */
  admit(processId: number): void;
  /** Synchronous, for exit handlers; idempotent. Throws when a group stays. */
  remove(): void;
}

/** `root`: where the control groups are mounted. Throws with the reason why there are no limits here; leaves nothing then. */
export function makeLimits(sizes: LimitSizes, root = '/sys/fs/cgroup'): Limits {
  const version = versionAt(root);
  removeLeftOvers(root);
  const groups = version === 2 ? groupsOfVersion2(sizes, root) : groupsOfVersion1(sizes, root);
  const remove = (): void => {
    for (const { folder } of groups) removeGroup(folder);
  };
  try {
    if (version === 2) enableControllers(root);
    for (const group of groups) makeGroup(group);
  } catch (error) {
    remove();
    throw error;
  }
  const file = version === 2 ? 'io.stat' : 'blkio.throttle.io_serviced';
  return {
    version,
    counter: { file: join(groups[0]!.folder, file), disk: sizes.disk },
    admit: (processId) => {
      for (const { folder } of groups) writeFileSync(join(folder, 'cgroup.procs'), String(processId));
    },
    remove,
  };
}

/** Reads that processes under the limits have asked the disk for; undefined where the file has no such line yet. */
export function countReads({ file, disk }: ReadCounter): number {
  const text = readFileSync(file, 'utf8');
  const match = new RegExp(`^${disk} (?:Read (\\d+)|.*\\brios=(\\d+))`, 'm').exec(text);
  return Number(match?.[1] ?? match?.[2] ?? 0);
}

function versionAt(root: string): 1 | 2 {
  if (existsSync(join(root, 'cgroup.controllers'))) return 2;
  for (const controller of ['blkio', 'memory']) {
    if (!existsSync(join(root, controller, 'cgroup.procs')))
      throw new Error(`there is no control group "${controller}" at ${root}`);
  }
  return 1;
}

function groupsOfVersion1({ readsPerSecond, memoryBytes, disk }: LimitSizes, root: string): Group[] {
  return [
    {
      folder: join(root, 'blkio', ownName()),
      settings: [{ file: 'blkio.throttle.read_iops_device', text: `${disk} ${readsPerSecond}` }],
    },
    {
      folder: join(root, 'memory', ownName()),
      settings: [
        { file: 'memory.limit_in_bytes', text: String(memoryBytes) },
        { file: 'memory.memsw.limit_in_bytes', text: String(memoryBytes), isOptional: true },
      ],
    },
  ];
}

function groupsOfVersion2({ readsPerSecond, memoryBytes, disk }: LimitSizes, root: string): Group[] {
  return [
    {
      folder: join(root, ownName()),
      settings: [
        { file: 'io.max', text: `${disk} riops=${readsPerSecond}` },
        { file: 'memory.max', text: String(memoryBytes) },
        { file: 'memory.swap.max', text: '0', isOptional: true },
      ],
    },
  ];
}

function ownName(): string {
  return `stratakv-bench-${process.pid}`;
}

/** Groups below the root have only the controllers that it passes on. */
function enableControllers(root: string): void {
  const file = join(root, 'cgroup.subtree_control');
  const enabled = readFileSync(file, 'utf8').split(/\s+/);
  for (const controller of ['io', 'memory']) {
    if (!enabled.includes(controller)) writeFileSync(file, `+${controller}`);
  }
}

function makeGroup({ folder, settings }: Group): void {
  mkdirSync(folder);
  for (const { file, text, isOptional } of settings) {
    const path = join(folder, file);
    if (isOptional === true && !existsSync(path)) continue;
    writeFileSync(path, text);
  }
}

/** A process that was just killed still counts for a moment. */
function removeGroup(folder: string): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 1; existsSync(folder); tries++) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (tries === REMOVE_TRIES || (error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
      Atomics.wait(pause, 0, 0, REMOVE_PAUSE_MS);
    }
  }
}

function removeLeftOvers(root: string): void {
  for (const folder of [root, join(root, 'blkio'), join(root, 'memory')]) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      const processId = NAME.exec(name)?.[1];
      if (processId !== undefined && !isAlive(Number(processId))) removeGroup(join(folder, name));
    }
  }
}
