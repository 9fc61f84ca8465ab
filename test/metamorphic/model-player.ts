/**
 * Plays a history on a sorted map: what every store must answer.
 */
import {
  isEmptyRange,
  isWithin,
  type ModelBounds,
  type ModelEntry,
  overlap,
  SortedModel,
} from '../helpers/sorted-model.ts';
import { type Answer, digest } from './answers.ts';
import { type Change, type Operation, valueText } from './operations.ts';

interface HeldScan {
  readonly entries: readonly ModelEntry[];
  at: number;
}

export class ModelPlayer {
  readonly #model = new SortedModel();
  readonly #snapshots = new Map<number, SortedModel>();
  readonly #scans = new Map<number, HeldScan>();

  perform(operation: Operation): Answer {
    switch (operation[0]) {
      case 'put':
        return this.#change([[operation[1], operation[2], operation[3]]]);
      case 'delete':
      case 'deleteRange':
        return this.#change([[operation[1], null]]);
      case 'batch':
      case 'burst':
        return this.#change(operation[1]);
      case 'update':
      case 'transaction':
      case 'expiresAt':
      case 'pass':
        return this.#beyond(operation);
      case 'get':
        return this.#read(operation[2], (model) => [model.get(operation[1])]);
      case 'has':
        return this.#read(operation[2], (model) => [model.get(operation[1]) !== undefined]);
      case 'getMany':
        return this.#read(operation[2], (model) => operation[1].map((key) => model.get(key)));
      case 'scan':
        return this.#read(operation[2], (model) => model.scan(operation[1]).flat());
      case 'snapshot':
        this.#snapshots.set(operation[1], this.#model.clone());
        return 'done';
      case 'closeSnapshot':
        return this.#snapshots.delete(operation[1]) ? 'done' : 'absent';
      case 'openScan':
        return this.#read(operation[3], (model) => {
          this.#scans.set(operation[1], { entries: model.scan(operation[2]), at: 0 });
          return 'done';
        });
      case 'step':
        return this.#step(operation[1], operation[2]);
      case 'closeScan':
        return this.#scans.delete(operation[1]) ? 'done' : 'absent';
      case 'reopen':
      case 'crash':
        this.#snapshots.clear();
        this.#scans.clear();
        return this.#model.scan().flat();
      case 'flush':
      case 'compact':
      case 'verify':
        return 'done';
    }
  }

  #change(changes: readonly Change[]): Answer {
    for (const [key, value, ttl] of changes) {
      if (typeof key !== 'string') this.#model.deleteRange(key);
      else if (value === null) this.#model.delete(key);
      else this.#model.put(key, valueText(value), ttl === undefined ? undefined : this.#model.nowMs + ttl);
    }
    return 'done';
  }

  #beyond(
    operation: Extract<
      Operation,
      readonly ['update' | 'transaction' | 'expiresAt' | 'pass', ...(readonly unknown[])]
    >,
  ): Answer {
    switch (operation[0]) {
      case 'update': {
        const [, key, value, ttl] = operation;
        const before = this.#model.get(key);
        this.#change([[key, value, ttl]]);
        return [before, value === null ? undefined : valueText(value)];
      }
      case 'transaction': {
        const [, keys, bounds, changes, other] = operation;
        const isWrite = changes.some(([target]) => typeof target === 'string' || !isEmptyRange(target));
        const model = this.#model;
        const run = (): string[] => {
          const found = keys.map((key) => model.get(key));
          this.#change(changes);
          return [...found, ...model.scan(bounds).flat()] as string[];
        };
        if (other === undefined || !isWrite) {
          // What only reads is not judged: it saw the moment before the other's change.
          const answer = ['1', ...run()];
          if (other !== undefined) this.#change([other]);
          return answer;
        }
        this.#change([other]);
        return [collides(other, keys, bounds) ? '2' : '1', ...run()];
      }
      case 'expiresAt':
        return [this.#model.expiresAt(operation[1])?.toString()];
      case 'pass':
        this.#model.nowMs += operation[1];
        return 'done';
    }
  }

  #read(snapshot: number | undefined, read: (model: SortedModel) => Answer): Answer {
    const model = snapshot === undefined ? this.#model : this.#snapshots.get(snapshot);
    return model === undefined ? 'absent' : read(model);
  }

  #step(id: number, count: number): Answer {
    const scan = this.#scans.get(id);
    if (scan === undefined) return 'absent';
    const entries = scan.entries.slice(scan.at, scan.at + count);
    scan.at += entries.length;
    return entries.flat();
  }
}

/** Whether what a transaction read has been written: the keys, or any place of the range. */
function collides([target]: Change, keys: readonly string[], bounds: ModelBounds): boolean {
  if (typeof target === 'string') return keys.includes(target) || isWithin(bounds, target);
  return keys.some((key) => isWithin(target, key)) || overlap(target, bounds);
}

/** What ends every history. */
export const LAST: readonly Operation[] = [['reopen'], ['verify']];

/** One digest per operation, those of LAST included. */
export function expectedDigests(operations: readonly Operation[]): Float64Array {
  const player = new ModelPlayer();
  return Float64Array.from([...operations, ...LAST], (operation) => digest(player.perform(operation)));
}
