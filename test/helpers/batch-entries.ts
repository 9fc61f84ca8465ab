/**
 * What batches of random tests consist of, as plain data, and how it gets into a store.
 *
 * Keys and values are latin1 strings, a character per byte. A target of bounds is a range, which only can be deleted.
 */
import type { StorageEngine, WriteBatch, WriteOptions } from '../../src/main/index.ts';
import { type ModelBounds, type SortedModel, toBytes } from './sorted-model.ts';

/** No value: a delete. `ttl`: in milliseconds. */
export type BatchEntry = readonly [target: string | ModelBounds, value: string | undefined, ttl?: number];

/** As the store takes them; a string is its own bytes. */
export function boundsOf(bounds: ModelBounds): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(bounds).map(([name, key]: [string, string]) => [name, toBytes(key)]),
  );
}

export function addTo(batch: WriteBatch, [target, value, ttl]: BatchEntry): void {
  if (typeof target !== 'string') batch.deleteRange(boundsOf(target));
  else if (value === undefined) batch.delete(toBytes(target));
  else batch.put(toBytes(target), toBytes(value), { ttl });
}

export function submitOne(
  engine: StorageEngine,
  [target, value, ttl]: BatchEntry,
  options: WriteOptions,
): Promise<void> {
  if (typeof target !== 'string') return engine.deleteRange(boundsOf(target), options);
  if (value === undefined) return engine.delete(toBytes(target), options);
  return engine.put(toBytes(target), toBytes(value), { ttl, ...options });
}

/** As if nothing ever expired. */
export function applyTo(model: SortedModel, [target, value]: BatchEntry): void {
  if (typeof target !== 'string') model.deleteRange(target);
  else if (value === undefined) model.delete(target);
  else model.put(target, value);
}
