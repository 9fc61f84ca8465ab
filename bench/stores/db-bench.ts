/**
 * db_bench, RocksDB's own benchmark in C++ (Debian: rocksdb-tools), where it is on the PATH: the same names and sizes,
 * without Node in between. It makes its own keys, of the same length, and values, of the same compressibility.
 *
 *   empty    a fresh directory, the benchmark's own arguments
 *   loaded   filluniquerandom and waitforcompaction once; reads then use that directory, writers a copy
 *
 * What it doesn't tell: latencies in the same sense, event loop, processor time. Those columns stay empty.
 */
import { spawnSync } from 'node:child_process';
import { runProgram } from '../children.ts';
import type { Measurement } from '../measure/measurement.ts';
import { diskBytes } from '../measure/usage.ts';
import type { MeasureTask, Reply, Task } from '../task.ts';
import { DB_BENCH } from './store.ts';

const KEY_BYTES = 16;

export function hasDbBench(): boolean {
  return spawnSync(DB_BENCH, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** "rocksdb 7.8.3", or undefined where it doesn't say. */
export function dbBenchVersion(): string | undefined {
  const result = spawnSync(DB_BENCH, ['--version'], { encoding: 'utf8' });
  return /version:?\s*([\d.]+)/i.exec(`${result.stdout}${result.stderr}`)?.[1];
}

export async function runDbBench(
  task: Task,
  special: readonly string[],
  isLoaded: boolean,
  timeoutMs: number,
): Promise<Reply> {
  try {
    const common = commonArguments(task);
    if (task.kind === 'load') {
      await runProgram(DB_BENCH, [...common, '--benchmarks=filluniquerandom,waitforcompaction'], timeoutMs);
      return { kind: 'loaded' };
    }
    const existing = isLoaded ? ['--use_existing_db=1', ...readLimit(task, special)] : [];
    const output = await runProgram(DB_BENCH, [...common, ...existing, ...special], timeoutMs);
    return { kind: 'measured', measurement: await toMeasurement(output, task) };
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

function commonArguments(task: Task): string[] {
  return [
    `--db=${task.directory}`,
    `--num=${task.records}`,
    `--key_size=${KEY_BYTES}`,
    `--value_size=${task.shape.valueBytes}`,
    '--compression_ratio=0.5',
    '--compression_type=snappy',
    '--bloom_bits=10',
    `--write_buffer_size=${task.writeBufferBytes}`,
    `--cache_size=${task.cacheBytes}`,
    '--threads=1',
    '--disable_wal=0',
  ];
}

/** Reads run for the same time as everyone's; whole scans and writes have their own end. */
function readLimit(task: MeasureTask, special: readonly string[]): string[] {
  const isTimed = special.some((each) => /=(?:\w*random|readmissing|readwhilewriting)$/.test(each));
  const isWrite = special.some((each) => /=(?:overwrite|deleterandom)$/.test(each));
  return isTimed && !isWrite ? [`--duration=${Math.max(1, Math.round(task.seconds))}`] : [];
}

async function toMeasurement(output: string, task: MeasureTask): Promise<Measurement> {
  const { opsPerSecond, seconds } = parseDbBench(output);
  return {
    operations: Math.round(opsPerSecond * seconds),
    seconds,
    opsPerSecond,
    latencyUs: null,
    loopDelayMs: null,
    cpuSeconds: null,
    userBytes: 0,
    writtenBytes: null,
    diskBytes: await diskBytes(task.directory),
    peakMemoryBytes: null,
    settledSeconds: null,
    isCalm: true,
    series: [],
    extra: {},
  };
}

/** Reads "fillrandom : 5.4 micros/op 183000 ops/sec 5.464 seconds 1000000 operations; ..." */
export function parseDbBench(output: string): { readonly opsPerSecond: number; readonly seconds: number } {
  const match = /micros\/op\s+(\d+)\s+ops\/sec(?:\s+([\d.]+) seconds)?/.exec(output);
  if (match === null) throw new Error(`db_bench printed no result: ${output.trim().split('\n').at(-1)}`);
  return { opsPerSecond: Number(match[1]), seconds: Number(match[2] ?? Number.NaN) || 0 };
}
