/**
 * What a store must hold: a sorted map of bytes in plain JavaScript, the oracle of the random tests. Values may expire: the
 * model has a time of its own, which whoever owns it sets; a copy keeps the time at which it was made.
 *
 * Keys are held as latin1 strings: one character per byte, so that string order is the order of unsigned bytes.
 * Scans compute what they should give from a whole sorted list; nothing here is clever enough to be wrong.
 */

export interface ModelBounds {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
  /** Beside no other bound. */
  readonly prefix?: string;
}

export interface ModelRange extends ModelBounds {
  readonly reverse?: boolean;
  readonly limit?: number;
}

export type ModelEntry = readonly [key: string, value: string];

export class SortedModel {
  readonly #values: Map<string, string>;
  /** When a value expires, if it does. */
  readonly #moments: Map<string, number>;
  #sortedKeys: string[] | undefined;
  nowMs = 0;

  constructor(values: Iterable<ModelEntry> = [], moments: Iterable<readonly [string, number]> = []) {
    this.#values = new Map(values);
    this.#moments = new Map(moments);
  }

  get size(): number {
    return this.keys().length;
  }

  put(key: string, value: string, expiresAt?: number): void {
    if (!this.#values.has(key)) this.#sortedKeys = undefined;
    this.#values.set(key, value);
    if (expiresAt === undefined) this.#moments.delete(key);
    else this.#moments.set(key, expiresAt);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#sortedKeys = undefined;
    this.#moments.delete(key);
  }

  deleteRange(bounds: ModelBounds): void {
    for (const key of [...this.#values.keys()]) if (isWithin(bounds, key)) this.delete(key);
  }

  get(key: string): string | undefined {
    return this.#isAlive(key) ? this.#values.get(key) : undefined;
  }

  expiresAt(key: string): number | undefined {
    return this.#isAlive(key) ? this.#moments.get(key) : undefined;
  }

  #isAlive(key: string): boolean {
    return this.nowMs < (this.#moments.get(key) ?? Number.POSITIVE_INFINITY);
  }

  keys(): readonly string[] {
    this.#sortedKeys ??= [...this.#values.keys()].sort(byBytes);
    return this.#moments.size === 0 ? this.#sortedKeys : this.#sortedKeys.filter((key) => this.#isAlive(key));
  }

  scan({ reverse, limit, ...bounds }: ModelRange = {}): ModelEntry[] {
    const keys = this.keys().filter((key) => isWithin(bounds, key));
    if (reverse) keys.reverse();
    return keys.slice(0, limit ?? keys.length).map((key) => [key, this.#values.get(key)!]);
  }

  /** This moment, for snapshots and open scans. */
  clone(): SortedModel {
    const copy = new SortedModel(this.#values, this.#moments);
    copy.nowMs = this.nowMs;
    return copy;
  }

  /** Where the first difference lies, in words; undefined when there is none. */
  difference(actual: SortedModel): string | undefined {
    for (const [key, value] of this.scan()) {
      const found = actual.get(key);
      if (found === undefined) return `key ${printable(key)} is missing`;
      if (found !== value) return `key ${printable(key)} is ${printable(found)}, not ${printable(value)}`;
    }
    for (const key of actual.keys())
      if (this.get(key) === undefined) return `key ${printable(key)} should not exist`;
    return undefined;
  }
}

export function isWithin({ gt, gte, lt, lte, prefix }: ModelBounds, key: string): boolean {
  return (
    (gt === undefined || key > gt) &&
    (gte === undefined || key >= gte) &&
    (lt === undefined || key < lt) &&
    (lte === undefined || key <= lte) &&
    (prefix === undefined || key.startsWith(prefix))
  );
}

/** The first key of bounds, and the first behind them; undefined: there is no end. */
export function edgesOf({ gt, gte, lt, lte, prefix }: ModelBounds): [start: string, end: string | undefined] {
  if (prefix !== undefined) {
    const stem = prefix.replace(/\xff+$/, '');
    const last = stem.charCodeAt(stem.length - 1);
    return [prefix, stem === '' ? undefined : stem.slice(0, -1) + String.fromCharCode(last + 1)];
  }
  const starts = [gte ?? '', gt === undefined ? '' : `${gt}\0`];
  const ends = [lt, lte === undefined ? undefined : `${lte}\0`].filter((end) => end !== undefined);
  return [starts.sort()[1]!, ends.sort()[0]];
}

/** Whether no key can lie within. */
export function isEmptyRange(bounds: ModelBounds): boolean {
  const [start, end] = edgesOf(bounds);
  return end !== undefined && end <= start;
}

/** Whether a key can lie within both. */
export function overlap(a: ModelBounds, b: ModelBounds): boolean {
  const [aStart, aEnd] = edgesOf(a);
  const [bStart, bEnd] = edgesOf(b);
  const start = aStart > bStart ? aStart : bStart;
  return (
    !isEmptyRange(a) && !isEmptyRange(b) && [aEnd, bEnd].every((end) => end === undefined || start < end)
  );
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

export function toBytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** Short and readable, for messages. */
export function printable(text: string | undefined): string {
  if (text === undefined) return 'undefined';
  const shown = text.length > 24 ? `${text.slice(0, 24)}...` : text;
  return `${JSON.stringify(shown)}(${text.length})`;
}
