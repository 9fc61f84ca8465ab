/**
 * Every change that the sweep makes to a store, one at a time.
 *
 * Lazy, as there are tens of thousands: `pickEvery` takes a sample that touches all kinds alike.
 */
import type { LazyFile } from '../helpers/fault/memory-file-system.ts';
import type { SmallStore } from './small-store.ts';

export interface Mutant {
  /** What was done, to say in a failure. */
  readonly what: string;
  /** The file that was changed, or two with a space between; the others are as they were. */
  readonly file: string;
  /** Where, for a changed byte. */
  readonly offset?: number;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

type Files = ReadonlyMap<string, Uint8Array>;

/** All of them, kind after kind. */
export function* allMutants(store: SmallStore, isFull = false): Generator<Mutant> {
  for (const [file, bytes] of store.files) {
    yield* byteMutants(store.files, file, bytes);
    yield* lengthMutants(store.files, file, bytes, isFull);
  }
  yield* wholeFileMutants(store);
}

/** Every byte: one bit flipped, all zeros, all ones. */
export function* byteMutants(files: Files, file: string, bytes: Uint8Array): Generator<Mutant> {
  for (let at = 0; at < bytes.length; at++) {
    const old = bytes[at]!;
    for (const value of new Set([old ^ (1 << (at % 8)), 0x00, 0xff])) {
      if (value === old) continue;
      const changed = bytes.slice();
      changed[at] = value;
      yield { ...replaced(files, file, changed, `byte ${at} of ${file}: ${old} -> ${value}`), offset: at };
    }
  }
}

/** Every shorter length; zeros behind the end. */
export function* lengthMutants(
  files: Files,
  file: string,
  bytes: Uint8Array,
  isFull: boolean,
): Generator<Mutant> {
  for (let length = 0; length < bytes.length; length++)
    yield replaced(files, file, bytes.slice(0, length), `${file} cut to ${length} bytes`);
  for (const count of zeroTails(isFull)) {
    const longer = new Uint8Array(bytes.length + count);
    longer.set(bytes);
    yield replaced(files, file, longer, `${count} zeros behind ${file}`);
  }
}

/** 1 to 4096; in the short run, from 64 on in larger steps: what matters is where headers and pages end. */
function zeroTails(isFull: boolean): number[] {
  if (isFull) return Array.from({ length: 4096 }, (_, i) => i + 1);
  const counts = Array.from({ length: 64 }, (_, i) => i + 1);
  for (let count = 65; count < 4096; count += 61) counts.push(count);
  return [...counts, 4095, 4096];
}

/** Files deleted, swapped, doubled, emptied, and out of date. */
export function* wholeFileMutants(store: SmallStore): Generator<Mutant> {
  const { files } = store;
  const names = [...files.keys()];
  for (const file of names) {
    const rest = new Map(files);
    rest.delete(file);
    yield { what: `${file} deleted`, file, files: rest };
    yield replaced(files, file, new Uint8Array(files.get(file)!.length), `${file} all zeros`);
  }
  for (const a of names)
    for (const b of names) {
      if (a === b || a.slice(-4) !== b.slice(-4)) continue;
      yield replaced(files, a, files.get(b)!, `${a} replaced by a copy of ${b}`);
      if (a < b) {
        const swapped = new Map(files).set(a, files.get(b)!).set(b, files.get(a)!);
        yield { what: `${a} and ${b} swapped`, file: `${a} ${b}`, files: swapped };
      }
    }
  yield replaced(files, 'manifest.json', store.staleManifest, 'the manifest from before the last flush');
  yield replaced(files, store.staleTable.name, store.staleTable.bytes, 'a table from before the compaction');
}

function replaced(files: Files, file: string, bytes: Uint8Array, what: string): Mutant {
  return { what, file, files: new Map(files).set(file, bytes) };
}

/** For mountMemory(). */
export function lazyFiles(files: Files): ReadonlyMap<string, LazyFile> {
  return new Map([...files].map(([name, bytes]) => [name, { bytes: () => bytes }]));
}

/** Every `step`-th of `mutants`, beginning with the `offset`-th. */
export function* pickEvery(mutants: Iterable<Mutant>, step: number, offset: number): Generator<Mutant> {
  let i = 0;
  for (const mutant of mutants) if (i++ % step === offset % step) yield mutant;
}
