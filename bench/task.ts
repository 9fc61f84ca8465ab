/**
 * Task: what the parent tells a child process to do, and what the child answers. Plain JSON.
 */
import type { Shape } from './data/dataset.ts';
import type { Measurement } from './measure/measurement.ts';
import type { StoreName } from './stores/store.ts';

interface TaskBase {
  readonly store: StoreName;
  readonly directory: string;
  readonly records: number;
  readonly shape: Shape;
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
  readonly settleLimitMs: number;
  /** A store counts as settled after this long without work. */
  readonly calmMs: number;
}

/** Loads all records and leaves them in tables. */
export interface LoadTask extends TaskBase {
  readonly kind: 'load';
  /** By key, and not in random order. */
  readonly isInOrder?: boolean;
}

export interface MeasureTask extends TaskBase {
  readonly kind: 'measure';
  readonly workload: string;
  /** What a read workload gets; others have a multiple of it. */
  readonly seconds: number;
  readonly seed: number;
}

export type Task = LoadTask | MeasureTask;

export type Reply =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'measured'; readonly measurement: Measurement }
  | { readonly kind: 'failed'; readonly message: string };
