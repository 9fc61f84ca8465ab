/**
 * What a store must hold: a sorted map of bytes in plain JavaScript, the oracle of the random tests.
 *
 * Keys are held as latin1 strings: one character per byte, so that string order is the order of unsigned bytes.
 * Scans compute what they should give from a whole sorted list; nothing here is clever enough to be wrong.
 */

export interface ModelRange {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export type ModelEntry = readonly [key: string, value: string];

export class SortedModel {
  readonly #values: Map<string, string>;
  #sortedKeys: string[] | undefined;

  constructor(values: Iterable<ModelEntry> = []) {
    this.#values = new Map(values);
  }

  get size(): number {
    return this.#values.size;
  }

  put(key: string, value: string): void {
    if (!this.#values.has(key)) this.#sortedKeys = undefined;
    this.#values.set(key, value);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#sortedKeys = undefined;
  }

  get(key: string): string | undefined {
    return this.#values.get(key);
  }

  keys(): readonly string[] {
    this.#sortedKeys ??= [...this.#values.keys()].sort(byBytes);
    return this.#sortedKeys;
  }

  scan({ gt, gte, lt, lte, reverse, limit }: ModelRange = {}): ModelEntry[] {
    const keys = this.keys().filter(
      (key) =>
        (gt === undefined || key > gt) &&
        (gte === undefined || key >= gte) &&
        (lt === undefined || key < lt) &&
        (lte === undefined || key <= lte),
    );
    if (reverse) keys.reverse();
    return keys.slice(0, limit ?? keys.length).map((key) => [key, this.#values.get(key)!]);
  }

  /** This moment, for snapshots and open scans. */
  clone(): SortedModel {
    return new SortedModel(this.#values);
  }

  /** Where the first difference lies, in words; undefined when there is none. */
  difference(actual: SortedModel): string | undefined {
    for (const [key, value] of this.#values) {
      const found = actual.#values.get(key);
      if (found === undefined) return `key ${printable(key)} is missing`;
      if (found !== value) return `key ${printable(key)} is ${printable(found)}, not ${printable(value)}`;
    }
    for (const key of actual.#values.keys())
      if (!this.#values.has(key)) return `key ${printable(key)} should not exist`;
    return undefined;
  }
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
