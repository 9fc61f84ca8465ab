/**
 * What a reader thread is told, and what it answers.
 *
 *   task (workerData)  ->  ready, when it has opened the store and is warm  ->  [ reads ]  ->  done  ->  exit
 *
 * A failure is an error of the thread. `done` comes before the store is closed, which no longer counts.
 */
import type { RecordableHistogram } from 'node:perf_hooks';
import type { MessagePort } from 'node:worker_threads';
import type { Shape } from '../data/dataset.ts';
import type { StoreName, StoreOptions } from '../stores/store.ts';

/** `get`: random present keys. `scan`: everything, again and again. */
export type Reading = 'get' | 'scan';

export interface ReaderTask {
  /** From 0. */
  readonly reader: number;
  readonly reading: Reading;
  readonly store: StoreName;
  readonly options: StoreOptions;
  /** For a store that gives its readers a port. */
  readonly port: MessagePort | undefined;
  readonly records: number;
  readonly shape: Shape;
  readonly seed: number;
  /** The shared memory of the start line. */
  readonly line: SharedArrayBuffer;
}

export type ReaderMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly latency: RecordableHistogram };
