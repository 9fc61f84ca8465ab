/**
 * `npm run bench -- micro`: runs the micro-benchmarks in this process and prints nanoseconds per operation.
 *
 * The measuring is mitata's, which chooses how often to call and takes percentiles over the samples.
 */
import { loadPackage } from '../packages.ts';
import { toText } from '../report/tables.ts';
import { MEMTABLE_MICROS } from './memtable.ts';
import type { Micro } from './micro.ts';
import { STREAM_MICROS } from './streams.ts';
import { BLOCK_MICROS, BLOOM_MICROS } from './table.ts';

/** Nanoseconds per call. */
interface MitataStats {
  readonly avg: number;
  readonly p50: number;
  readonly p99: number;
  readonly min: number;
}

interface Mitata {
  measure(call: () => unknown, options?: object): Promise<MitataStats>;
}

const MICROS: readonly Micro[] = [...MEMTABLE_MICROS, ...BLOCK_MICROS, ...BLOOM_MICROS, ...STREAM_MICROS];

export async function runMicro(say: (line: string) => void): Promise<void> {
  const { measure } = loadPackage<Mitata>('mitata');
  const rows: string[][] = [];
  for (const { name, operationsPerCall, make } of MICROS) {
    const { min, p50, p99 } = await measure(make());
    const perOperation = (ns: number): string => (ns / operationsPerCall).toFixed(1);
    rows.push([
      name,
      ...[min, p50, p99].map(perOperation),
      Math.round((1e9 * operationsPerCall) / p50).toLocaleString('en'),
    ]);
  }
  say(toText({ head: ['structure', 'min ns', 'p50 ns', 'p99 ns', 'ops/s at p50'], rows }));
}
