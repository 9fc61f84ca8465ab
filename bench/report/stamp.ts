/**
 * Where, when and with what a result was measured.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { BenchArguments } from '../arguments.ts';
import { packageVersion, ROOT } from '../packages.ts';
import { dbBenchVersion } from '../stores/db-bench.ts';
import { DB_BENCH, OURS, PACKAGES, type StoreName } from '../stores/store.ts';

/** statfs types of file systems on which a sync costs nothing. */
const TMPFS = 0x01021994;
const GIB: number = 1024 ** 3;

export interface Stamp {
  readonly at: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly system: string;
  readonly node: string;
  /** Of the file system the stores were on, hexadecimal. */
  readonly fileSystem: string;
  readonly isMemoryDisk: boolean;
  readonly commit: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly records: number;
  readonly seconds: number;
  readonly writeBufferMib: number;
  readonly cacheMib: number;
}

type Sizes = Pick<
  BenchArguments,
  'directory' | 'isQuick' | 'rounds' | 'records' | 'seconds' | 'writeBufferBytes' | 'cacheBytes'
>;

export function makeStamp(options: Sizes, stores: readonly StoreName[]): Stamp {
  const { type } = statfsSync(options.directory);
  const versions = stores.map((store): [string, string] => [store, storeVersion(store)]);
  return {
    at: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / GIB),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    fileSystem: `0x${type.toString(16)}`,
    isMemoryDisk: type === TMPFS,
    commit: commit(),
    versions: Object.fromEntries(versions),
    isQuick: options.isQuick,
    rounds: options.rounds,
    records: options.records,
    seconds: options.seconds,
    writeBufferMib: options.writeBufferBytes / 1024 ** 2,
    cacheMib: options.cacheBytes / 1024 ** 2,
  };
}

/** Equal for runs whose ratios may be compared. */
export function machineOf({ cpu, cores, memoryGib, node, records, fileSystem, cacheMib }: Stamp): string {
  return [
    cpu,
    `${cores} cores`,
    `${memoryGib} GiB`,
    node.split('.')[0],
    fileSystem,
    `${records} records`,
    `${cacheMib} MiB`,
  ].join(', ');
}

function storeVersion(store: StoreName): string {
  if (store === OURS) return ownVersion();
  if (store === DB_BENCH) return dbBenchVersion() ?? 'unknown';
  const name = PACKAGES[store];
  return (name === undefined ? undefined : packageVersion(name)) ?? 'unknown';
}

function ownVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string })
    .version;
}

function commit(): string {
  const git = (...args: string[]): string =>
    spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout?.trim() ?? '';
  const head = git('rev-parse', '--short', 'HEAD');
  if (head === '') return 'unknown';
  return git('status', '--porcelain', 'src') === '' ? head : `${head} with changes in src`;
}
