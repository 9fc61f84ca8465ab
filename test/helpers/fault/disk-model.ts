/**
 * From a trace to the directories that a disk may show after a power loss at any of its moments.
 *
 *   inodes    each file created (or there before), with its writes and syncs       entries    what happened to names
 *
 *   at moment k:  a write is on the disk      if a sync of its file began after the write had returned, and has ended
 *                 an entry change is          if a sync of its directory began after the change had returned, and has ended
 *                 everything else that had begun is there or not: each 4 KiB block of a file and each create, rename and
 *                 unlink for itself. A block may also show an older state than its last. Lost blocks read as what was
 *                 synced there, or zeros; a file may be long without its bytes
 *
 * A rename happens whole or not at all, and names the file itself: it may be kept although the creation under the old
 * name was lost.
 *
 * Not modelled: torn sectors inside a block beyond its older states; a disk that lies about flushing.
 */
import { basename, dirname } from 'node:path';
import type { TraceRecord } from './trace.ts';

/** The unit in which a disk keeps or loses what was not synced. */
const BLOCK_BYTES = 4096;

/** Decides about everything that was not synced. */
export interface Fate {
  /** Whether an unsynced thing is kept. */
  keeps(): boolean;
  /** How many of `count` unsynced writes of a block are kept, from the first on. */
  keptWrites(count: number): number;
}

/** A file of a crash state: its bytes are put together only when they are asked for. */
export interface CrashedFile {
  /** Equal keys, equal bytes. */
  readonly key: string;
  bytes(): Uint8Array;
}

export interface CrashState {
  /** The store's files by name; undefined: the directory itself is gone. */
  readonly files: ReadonlyMap<string, CrashedFile> | undefined;
  readonly key: string;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

interface Write extends Span {
  readonly position: number;
  readonly bytes: Uint8Array;
}

class Inode {
  readonly id: number;
  readonly initial: Uint8Array | undefined;
  readonly writes: Write[] = [];
  readonly syncs: Span[] = [];

  constructor(id: number, initial?: Uint8Array) {
    this.id = id;
    this.initial = initial;
  }
}

interface EntryChange extends Span {
  /** The name that goes, unless it names another file by then. */
  readonly removes: string | undefined;
  readonly adds: string | undefined;
  readonly inode: Inode;
}

export class DiskModel {
  readonly #directory: string;
  readonly #initial = new Map<string, Inode>();
  readonly #changes: EntryChange[] = [];
  readonly #directorySyncs: Span[] = [];
  /** Creations of the store's directory and those above it, outermost first. */
  readonly #ancestors: (Span & { readonly parent: string })[] = [];
  readonly #ancestorSyncs: (Span & { readonly path: string })[] = [];
  readonly #cache = new Map<string, Uint8Array>();
  #inodeCount = 0;

  /** `initial`: what the directory held, durably, before the trace. */
  constructor(
    directory: string,
    records: readonly TraceRecord[],
    initial: ReadonlyMap<string, Uint8Array> = new Map(),
  ) {
    this.#directory = directory;
    for (const [name, bytes] of initial) this.#initial.set(name, this.#newInode(bytes));
    const names = new Map(this.#initial);
    const handles = new Map<number, Inode>();
    for (const record of records) this.#take(record, names, handles);
  }

  #newInode(bytes?: Uint8Array): Inode {
    return new Inode(this.#inodeCount++, bytes);
  }

  #take(record: TraceRecord, names: Map<string, Inode>, handles: Map<number, Inode>): void {
    const { kind, path, start, end } = record;
    const name = basename(path);
    const isInStore = dirname(path) === this.#directory;
    if (kind === 'makeDirectory') {
      for (const created of record.created ?? [])
        this.#ancestors.push({ start, end, parent: dirname(created) });
    } else if (kind === 'syncDirectory') {
      if (path === this.#directory) this.#directorySyncs.push({ start, end });
      else this.#ancestorSyncs.push({ start, end, path });
    } else if (kind === 'write') {
      handles
        .get(record.handle!)
        ?.writes.push({ start, end, position: record.position!, bytes: record.bytes });
    } else if (kind === 'datasync') {
      handles.get(record.handle!)?.syncs.push({ start, end });
    } else if (!isInStore) {
      return;
    } else if (kind === 'create') {
      const inode = this.#newInode();
      handles.set(record.handle!, inode);
      names.set(name, inode);
      this.#changes.push({ start, end, removes: undefined, adds: name, inode });
    } else if (kind === 'open') {
      const inode = names.get(name);
      if (inode !== undefined) handles.set(record.handle!, inode);
    } else if (kind === 'rename') {
      const inode = names.get(name)!;
      names.delete(name);
      names.set(basename(record.to!), inode);
      this.#changes.push({ start, end, removes: name, adds: basename(record.to!), inode });
    } else if (kind === 'unlink') {
      const inode = names.get(name)!;
      names.delete(name);
      this.#changes.push({ start, end, removes: name, adds: undefined, inode });
    }
  }

  /** Moments just before and after the changes of names, where few states go wrong and all of them badly. */
  entryMoments(): number[] {
    return this.#changes.flatMap(({ start, end }) => [start, end, end + 1]);
  }

  /** What the disk may show when the power fails after moment `k` and before the next. */
  stateAt(k: number, fate: Fate): CrashState {
    if (!this.#directorySurvives(k, fate)) return { files: undefined, key: 'gone' };
    const entries = this.#entriesAt(k, fate);
    const files = new Map<string, CrashedFile>();
    const keys: string[] = [];
    for (const [name, inode] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const file = this.#fileAt(inode, k, fate);
      files.set(name, file);
      keys.push(`${name}=${file.key}`);
    }
    return { files, key: keys.join(' ') };
  }

  #directorySurvives(k: number, fate: Fate): boolean {
    for (const { start, end, parent } of this.#ancestors) {
      if (start > k) return false;
      const syncs = this.#ancestorSyncs.filter((sync) => sync.path === parent);
      if (!isCovered(end, syncs, k) && !fate.keeps()) return false;
    }
    return true;
  }

  #entriesAt(k: number, fate: Fate): Map<string, Inode> {
    const entries = new Map(this.#initial);
    const syncedBefore = lastSyncStart(this.#directorySyncs, k);
    for (const { start, end, removes, adds, inode } of this.#changes) {
      if (start > k) break;
      if (end >= syncedBefore && !fate.keeps()) continue;
      if (removes !== undefined && entries.get(removes) === inode) entries.delete(removes);
      if (adds !== undefined) entries.set(adds, inode);
    }
    return entries;
  }

  #fileAt(inode: Inode, k: number, fate: Fate): CrashedFile {
    const syncedBefore = lastSyncStart(inode.syncs, k);
    let durable = 0;
    let begun = 0;
    for (const write of inode.writes) {
      if (write.start > k) break;
      begun++;
      if (write.end < syncedBefore) durable++;
    }
    const pending = inode.writes.slice(durable, begun);
    const blocks = blocksOf(pending);
    const choices = [...blocks].map(([block, count]) => [block, fate.keptWrites(count)] as const);
    const isLong = pending.length > 0 && fate.keeps();
    const key = `${inode.id}:${durable}+${choices.map(([block, kept]) => `${block}.${kept}`).join()}${isLong ? 'L' : ''}`;
    const build = (): Uint8Array => {
      // Small: the files that many states share. Rebuilding a large one costs less than keeping all of its forms.
      let bytes = this.#cache.get(key);
      if (bytes === undefined) {
        bytes = assemble(inode, durable, pending, new Map(choices), isLong);
        if (choices.length === 0) this.#cache.set(key, bytes);
      }
      return bytes;
    };
    return { key, bytes: build };
  }
}

/** Copies the files of a state out as the plain map that the next trace starts from. */
export function filesOf(state: CrashState): Map<string, Uint8Array> {
  return new Map([...(state.files ?? [])].map(([name, file]) => [name, file.bytes()]));
}

/** Everything that ended before this moment is durable at `k`. */
function lastSyncStart(syncs: readonly Span[], k: number): number {
  let latest = 0;
  for (const { start, end } of syncs) if (end <= k && start > latest) latest = start;
  return latest;
}

function isCovered(end: number, syncs: readonly Span[], k: number): boolean {
  return end < lastSyncStart(syncs, k);
}

/** Each block that `writes` touch, with how many of them touch it. */
function blocksOf(writes: readonly Write[]): Map<number, number> {
  const blocks = new Map<number, number>();
  for (const { position, bytes } of writes) {
    const last = Math.floor((position + bytes.length - 1) / BLOCK_BYTES);
    for (let block = Math.floor(position / BLOCK_BYTES); block <= last; block++)
      blocks.set(block, (blocks.get(block) ?? 0) + 1);
  }
  return blocks;
}

function assemble(
  inode: Inode,
  durable: number,
  pending: readonly Write[],
  kept: Map<number, number>,
  isLong: boolean,
): Uint8Array {
  const settled = inode.writes.slice(0, durable);
  const endOf = (size: number, write: Write): number => Math.max(size, write.position + write.bytes.length);
  const fullSize = pending.reduce(endOf, settled.reduce(endOf, inode.initial?.length ?? 0));
  const bytes = new Uint8Array(fullSize);
  let size = inode.initial?.length ?? 0;
  if (inode.initial !== undefined) bytes.set(inode.initial);
  for (const write of settled) {
    bytes.set(write.bytes, write.position);
    size = endOf(size, write);
  }
  for (const write of pending) {
    const end = write.position + write.bytes.length;
    for (let from = write.position; from < end; ) {
      const block = Math.floor(from / BLOCK_BYTES);
      const to = Math.min(end, (block + 1) * BLOCK_BYTES);
      const left = kept.get(block)!;
      if (left > 0) {
        bytes.set(write.bytes.subarray(from - write.position, to - write.position), from);
        size = Math.max(size, to);
        kept.set(block, left - 1);
      }
      from = to;
    }
  }
  return bytes.subarray(0, isLong ? fullSize : size);
}

const ALL: Fate = { keeps: () => true, keptWrites: (count) => count };
const NOTHING: Fate = { keeps: () => false, keptWrites: () => 0 };

/** Nothing unsynced is kept; everything is; or each thing for itself, with even odds. */
export function fateOf(variant: number, next: () => number): Fate {
  if (variant === 0) return NOTHING;
  if (variant === 1) return ALL;
  return {
    keeps: () => next() < 0.5,
    // Mostly the last state or none, at times one in between.
    keptWrites: (count) => {
      const draw = next();
      return draw < 0.4 ? 0 : draw < 0.8 ? count : Math.floor(next() * (count + 1));
    },
  };
}
