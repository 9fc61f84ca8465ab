/**
 * Plans the merge of an ingestion: which key ranges it is cut into, and which part of each run a range needs.
 *
 * Thread: main. Pure.
 */
import { compareKeys, sharedPrefixLength } from '../../shared/base/bytes.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import { type RunMeta, type RunSlice, sampleKey } from '../../shared/ingest/run.ts';
import { type KeySample, splitKeys } from '../compaction/key-split.ts';

/** One merge job's share. */
export interface RunRange {
  readonly range: KeyRange;
  /** Oldest first, as the runs were. */
  readonly slices: readonly RunSlice[];
  readonly sharedLength: number;
  /** About: the slices overlap those of the neighbours by a block. */
  readonly sizeBytes: number;
}

/** At most `parts` ranges, about equally large, that cover all records of `runs`. */
export function planRanges(runs: readonly RunMeta[], parts: number): RunRange[] {
  const largest = runs.map((run) => run.largestKey).reduce((a, b) => (compareKeys(a, b) < 0 ? b : a));
  const smallest = runs
    .map((run) => sampleKey(run.samples, 0))
    .reduce((a, b) => (compareKeys(a, b) < 0 ? a : b));
  return splitKeys(runs.flatMap(runSamples), parts).map((range) => {
    const slices = runs.flatMap((run) => sliceOf(run, range) ?? []);
    return {
      range,
      slices,
      sharedLength: commonLength(range.start ?? smallest, range.end ?? largest),
      sizeBytes: slices.reduce((sum, { start, end }) => sum + end - start, 0),
    };
  });
}

function runSamples({ samples, sizeBytes }: RunMeta): KeySample[] {
  const { offsets } = samples;
  return Array.from(offsets, (offset, i) => ({
    key: sampleKey(samples, i),
    bytes: (offsets[i + 1] ?? sizeBytes) - offset,
  }));
}

/** The blocks of `run` that may hold keys of the range: they begin with the last sample at or below its start. */
function sliceOf(run: RunMeta, { start, end }: KeyRange): RunSlice | undefined {
  const { number, samples, sizeBytes, largestKey } = run;
  if (start !== undefined && compareKeys(largestKey, start) < 0) return undefined;
  const count = samples.offsets.length;
  const first = start === undefined ? 0 : Math.max(0, countBelow(samples, start, true) - 1);
  const behind = end === undefined ? count : countBelow(samples, end, false);
  if (behind <= first) return undefined;
  return { number, start: samples.offsets[first]!, end: samples.offsets[behind] ?? sizeBytes };
}

/** How many samples lie below `key`, or at it. */
function countBelow(samples: RunMeta['samples'], key: Uint8Array, orAt: boolean): number {
  let low = 0;
  let high = samples.offsets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = compareKeys(sampleKey(samples, middle), key);
    if (order < 0 || (orAt && order === 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What two keys begin with alike, and so every key between them. */
function commonLength(a: Uint8Array, b: Uint8Array): number {
  return sharedPrefixLength(a, 0, a.length, b, 0, b.length);
}
