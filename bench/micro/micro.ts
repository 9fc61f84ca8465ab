/**
 * A micro-benchmark: one hot structure, alone, on the data of the large benchmarks.
 *
 * They tell where a change in a structure shows; whether it matters, only the workloads tell.
 */

import { type Entry, EntryKind } from '../../src/shared/base/entry.ts';
import { Dataset } from '../data/dataset.ts';
import { Random } from '../data/random.ts';
import { DEFAULT_SHAPE } from '../workloads/workload.ts';

export interface Micro {
  readonly name: string;
  /** What one call of the function counts for. */
  readonly operationsPerCall: number;
  /** Prepares, and returns the function to be measured; what it returns keeps the compiler from dropping the work. */
  readonly make: () => () => unknown;
}

export const SEED = 11;

export function makeDataset(records: number): Dataset {
  return new Dataset(records, DEFAULT_SHAPE);
}

export function randomOrder(count: number): Uint32Array {
  return new Random(SEED).permutation(count);
}

/** Lets `entry` stand on one record. */
export function standOn(entry: Entry, key: Uint8Array, value: Uint8Array, sequence: number): Entry {
  entry.keyBytes = key;
  entry.keyStart = 0;
  entry.keyEnd = key.length;
  entry.valueBytes = value;
  entry.valueStart = 0;
  entry.valueEnd = value.length;
  entry.sequence = sequence;
  entry.kind = EntryKind.Put;
  return entry;
}
