/**
 * What tests make of changes(): texts to compare, and a copy of a store that is made of nothing but them.
 */
import assert from 'node:assert/strict';
import type { Change, ChangeBatch, StorageEngine } from '../../src/main/index.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import { resolveDeleteRange } from '../../src/shared/base/key-range.ts';
import { type BatchEntry, boundsOf } from './batch-entries.ts';
import { SortedModel, toBytes, toText } from './sorted-model.ts';

/** By what a batch is known: its operations in their order, but for moments of expiry. */
export function digestOfChanges(changes: readonly Change[]): string {
  return digest(
    changes.map((change) => {
      if (change.type === 'deleteRange') return [change.start, change.end];
      return [change.key, change.type === 'put' ? [change.value, change.expiresAt !== undefined] : 0];
    }),
  );
}

/** The same of a batch before it is written; undefined: it has no operation, and makes no batch of changes. */
export function digestOfEntries(entries: readonly BatchEntry[]): string | undefined {
  const operations = entries.flatMap(([target, value, ttl]): unknown[][] => {
    if (typeof target === 'string')
      return [[toBytes(target), value === undefined ? 0 : [toBytes(value), ttl !== undefined]]];
    const range = resolveDeleteRange(boundsOf(target));
    return range === undefined ? [] : [[range.start, range.end]];
  });
  return operations.length === 0 ? undefined : digest(operations);
}

function digest(operations: unknown): string {
  const text = JSON.stringify(operations, (_, value: unknown) => textOfBytes(value));
  return `${text.length}.${crc32(Buffer.from(text)).toString(16)}`;
}

/** Buffers have been turned into objects by their toJSON() by now. */
function textOfBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  const { type, data } = (value ?? {}) as { readonly type?: unknown; readonly data?: readonly number[] };
  return type === 'Buffer' && data !== undefined ? Buffer.from(data).toString('latin1') : value;
}

/** All batches behind `after` that are visible now. */
export async function batchesUntilNow(engine: StorageEngine, after: string): Promise<ChangeBatch[]> {
  const { position } = engine;
  const batches: ChangeBatch[] = [];
  if (after === position) return batches;
  for await (const batch of engine.changes({ after })) {
    batches.push(batch);
    if (batch.position === position) break;
  }
  return batches;
}

/** A copy of a store, kept up by its changes. */
export class Replica {
  readonly model: SortedModel = new SortedModel();
  position: string;
  batches = 0;

  constructor(position: string) {
    this.position = position;
  }

  /** Takes all that is visible now. */
  async catchUp(engine: StorageEngine): Promise<void> {
    for (const { changes, position } of await batchesUntilNow(engine, this.position)) {
      assert.ok(changes.length > 0);
      for (const change of changes) this.#apply(change);
      this.position = position;
      this.batches++;
    }
    assert.equal(this.position, engine.position);
  }

  #apply(change: Change): void {
    if (change.type === 'put') this.model.put(toText(change.key), toText(change.value), change.expiresAt);
    else if (change.type === 'delete') this.model.delete(toText(change.key));
    else {
      const end = change.end === undefined ? {} : { lt: toText(change.end) };
      this.model.deleteRange({ gte: toText(change.start), ...end });
    }
  }
}
