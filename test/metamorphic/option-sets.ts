/**
 * The option sets of the metamorphic test: so chosen that every two choices of different options meet in at least one set.
 *
 *   FACTORS    what can be chosen, option by option
 *   pairwise   sets are added, each the best of some random ones, until no pair is missing
 *   and two more: the defaults, and one that takes another set each time the store is opened
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import type { ForeignPool } from '../../src/main/store/open-request.ts';
import { seededRandom } from '../helpers/rng.ts';

const KIB = 1024;

export interface OptionSet {
  readonly name: string;
  /** The options of each opening, counted from 0. */
  optionsOf(generation: number): EngineOptions;
}

const canLz4: boolean = isInstalled('lz4-napi');

/** Mapping needs koffi for this platform, which only opening a store can tell. */
export async function canMap(directory: string): Promise<boolean> {
  if (!isInstalled('koffi')) return false;
  try {
    await (await StorageEngine.open(directory, { mmap: true })).close();
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'STRATA_UNSUPPORTED') return false;
    throw error;
  }
}

function isInstalled(name: string): boolean {
  try {
    return existsSync(createRequire(import.meta.url).resolve(name));
  } catch {
    return false;
  }
}

function factors(pool: ForeignPool, mmap: boolean): readonly (readonly EngineOptions[])[] {
  const codecs: EngineOptions[] = [{ compression: 'none' }, { compression: 'snappy' }];
  return [
    canLz4 ? [...codecs, { compression: 'lz4' }] : codecs,
    [{ bloomBitsPerKey: 0 }, { bloomBitsPerKey: 1 }, { bloomBitsPerKey: 10 }],
    [{ cacheSize: 0 }, { cacheSize: 2 * KIB }, { cacheSize: 1024 * KIB }],
    [{ blockSize: 64 }, { blockSize: 512 }, { blockSize: 4 * KIB }],
    [{ blockRestartInterval: 1 }, { blockRestartInterval: 16 }, { blockRestartInterval: 256 }],
    [{ maxFileSize: 4 * KIB }, { maxFileSize: 24 * KIB }, { maxFileSize: 256 * KIB }],
    [{ writeBufferSize: 4 * KIB }, { writeBufferSize: 16 * KIB }, { writeBufferSize: 128 * KIB }],
    // Threads of a store's own start anew at each opening, which takes longer than the rest: one choice of four.
    [{ threads: 0 }, { threads: 2 }, { threads: 1, pool }, { threads: 2, pool }],
    mmap ? [{ mmap: false }, { mmap: true }] : [{ mmap: false }],
    [{ maxOpenFiles: 8 }, { maxOpenFiles: 1000 }],
    [{ sync: false }, { sync: true }],
  ];
}

/** Indices of choices, one per factor. */
type Row = readonly number[];

function pairsOf(row: Row): string[] {
  return row.flatMap((a, i) => row.slice(i + 1).map((b, j) => `${i}=${a} ${i + 1 + j}=${b}`));
}

export function pairwise(sizes: readonly number[], atLeast: number): Row[] {
  const random = seededRandom(20);
  const missing = new Set<string>();
  for (const [i, size] of sizes.entries())
    for (let j = i + 1; j < sizes.length; j++)
      for (let a = 0; a < size; a++) for (let b = 0; b < sizes[j]!; b++) missing.add(`${i}=${a} ${j}=${b}`);
  const rows: Row[] = [];
  while (missing.size > 0 || rows.length < atLeast) {
    let best: Row = [];
    let bestGain = -1;
    for (let attempt = 0; attempt < 500; attempt++) {
      const row = sizes.map((size) => random.below(size));
      const gain = pairsOf(row).filter((pair) => missing.has(pair)).length;
      if (gain > bestGain) [best, bestGain] = [row, gain];
    }
    for (const pair of pairsOf(best)) missing.delete(pair);
    rows.push(best);
  }
  return rows;
}

export function optionSets(pool: ForeignPool, mmap: boolean): OptionSet[] {
  const choices = factors(pool, mmap);
  const rows = pairwise(
    choices.map((factor) => factor.length),
    16,
  );
  const all = rows.map(
    (row): EngineOptions => Object.assign({}, ...row.map((choice, i) => choices[i]![choice])),
  );
  return [
    ...all.map((options) => ({ name: nameOf(options), optionsOf: () => options })),
    { name: 'defaults', optionsOf: () => ({}) },
    { name: 'others at each opening', optionsOf: (generation) => all[generation % all.length]! },
  ];
}

function nameOf({ pool, ...options }: EngineOptions): string {
  const parts = Object.entries(options).map(([name, value]) => `${name} ${value}`);
  return [...parts, ...(pool === undefined ? [] : ['foreign pool'])].join(', ');
}
