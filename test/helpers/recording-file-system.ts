/**
 * The real disk, watched: every operation of the main thread is noted, and can be made to fail, to be short, to wait, or
 * to be the last one of the process.
 *
 *   const recorder = new Recorder();
 *   openEngine(path, { threads: 0 }, { fileSystem: recorder.spec });
 *   recorder.notes      'begin datasync 000001.log', 'datasync 000001.log', ..., and the test's own marks, in order
 *
 * `test/helpers/fault` reaches every thread through shared memory; this one is for tests of the main thread's order, which
 * want to look and to interfere between two operations. Other threads get the plain disk, except for the kill, which counts
 * the operations of all.
 *
 * Thread: main; the kill any.
 */
import { basename } from 'node:path';
import { ioError } from '../../src/shared/base/errors.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';

export type RecordedKind = 'create' | 'write' | 'datasync' | 'link' | 'rename' | 'unlink' | 'syncDirectory';

export interface Operation {
  readonly kind: RecordedKind;
  /** Name of the file; of a directory, '.'. */
  readonly file: string;
}

interface RecordingOptions {
  readonly recorder: number;
  /** One Int32: counts down with every operation of any thread; at 0 the process is killed. */
  readonly killAfter?: SharedArrayBuffer;
}

const recorders = new Map<number, Recorder>();

export class Recorder {
  readonly spec: ModuleSpec;
  readonly notes: string[] = [];
  /** Called before each operation; what it returns is thrown as the operating system's error. */
  failWith: (operation: Operation) => string | undefined = () => undefined;
  /** A write takes at most so many bytes. */
  longestWrite: number = Number.POSITIVE_INFINITY;
  readonly #held = new Map<RecordedKind, Promise<void>>();
  readonly #releases: (() => void)[] = [];

  constructor() {
    const recorder = recorders.size;
    recorders.set(recorder, this);
    this.spec = { module: import.meta.url, options: { recorder } satisfies RecordingOptions };
  }

  mark(note: string): void {
    this.notes.push(note);
  }

  /** The notes that match, in order. */
  find(pattern: RegExp): string[] {
    return this.notes.filter((note) => pattern.test(note));
  }

  /** Asynchronous operations of this kind wait, before they begin, until the returned function is called. */
  hold(kind: RecordedKind): () => void {
    let release = (): void => {};
    this.#held.set(kind, new Promise((resolve) => (release = resolve)));
    const end = (): void => {
      this.#held.delete(kind);
      release();
    };
    this.#releases.push(end);
    return end;
  }

  /** No more interference: what is held goes on, and nothing fails. */
  calm(): void {
    this.failWith = () => undefined;
    this.longestWrite = Number.POSITIVE_INFINITY;
    for (const release of this.#releases) release();
  }

  begin(operation: Operation): void {
    const code = this.failWith(operation);
    this.notes.push(`begin ${operation.kind} ${operation.file}`);
    if (code === undefined) return;
    const cause = Object.assign(new Error(`${code}: injected`), { code });
    throw ioError(operation.kind, operation.file, cause);
  }

  end({ kind, file }: Operation): void {
    this.notes.push(`${kind} ${file}`);
  }

  async waitFor(kind: RecordedKind): Promise<void> {
    await this.#held.get(kind);
  }
}

/** The same, from when it is armed. */
export function armedKill(): { readonly spec: ModuleSpec; arm(killAfter: number): void } {
  const shared = new SharedArrayBuffer(4);
  const options: RecordingOptions = { recorder: -1, killAfter: shared };
  return {
    spec: { module: import.meta.url, options },
    arm: (killAfter) => {
      new Int32Array(shared)[0] = killAfter;
    },
  };
}

/** A disk on which the process is killed after so many operations of all its threads; a write is cut short by it. */
export function killingSpec(killAfter: number): ModuleSpec {
  const shared = new SharedArrayBuffer(4);
  new Int32Array(shared)[0] = killAfter;
  return { module: import.meta.url, options: { recorder: -1, killAfter: shared } satisfies RecordingOptions };
}

export function createFileSystem(options: RecordingOptions): FileSystem {
  return recordingFileSystem(options);
}

/** The hooks around one operation, for either use. */
class Hooks {
  readonly recorder: Recorder | undefined;
  readonly #countdown: Int32Array | undefined;

  constructor(options: RecordingOptions) {
    this.recorder = recorders.get(options.recorder);
    this.#countdown = options.killAfter && new Int32Array(options.killAfter);
  }

  /** `lastWords`: what is still done of an operation that the process does not survive. */
  sync<T>(operation: Operation, run: () => T, lastWords?: () => void): T {
    this.#countDown(lastWords);
    this.recorder?.begin(operation);
    const result = run();
    this.recorder?.end(operation);
    return result;
  }

  async async<T>(operation: Operation, run: () => Promise<T>, lastWords?: () => void): Promise<T> {
    this.#countDown(lastWords);
    await this.recorder?.waitFor(operation.kind);
    this.recorder?.begin(operation);
    const result = await run();
    this.recorder?.end(operation);
    return result;
  }

  #countDown(lastWords: (() => void) | undefined): void {
    if (this.#countdown === undefined || Atomics.sub(this.#countdown, 0, 1) !== 1) return;
    lastWords?.();
    process.kill(process.pid, 'SIGKILL');
    // The signal may take a moment to arrive; nothing may happen meanwhile.
    for (;;);
  }
}

function recordingFileSystem(options: RecordingOptions): FileSystem {
  const hooks = new Hooks(options);
  const disk = nodeFileSystem;
  const named = (kind: RecordedKind, path: string): Operation => ({ kind, file: basename(path) });
  const directory: Operation = { kind: 'syncDirectory', file: '.' };
  return {
    ...disk,
    createExclusiveAsync: undefined,
    openReadAsync: undefined,
    spec: { module: import.meta.url, options },
    openRead: (path) => new RecordedFile(disk.openRead(path), hooks),
    createExclusive: (path) =>
      hooks.sync(named('create', path), () => new RecordedFile(disk.createExclusive(path), hooks)),
    rename: (from, to) => hooks.sync(named('rename', to), () => disk.rename(from, to)),
    renameAsync: (from, to) => hooks.async(named('rename', to), () => disk.renameAsync(from, to)),
    linkAsync: (from, to) => hooks.async(named('link', to), async () => await disk.linkAsync?.(from, to)),
    unlink: (path) => hooks.sync(named('unlink', path), () => disk.unlink(path)),
    unlinkAsync: (path) => hooks.async(named('unlink', path), () => disk.unlinkAsync(path)),
    syncDirectory: (path) => hooks.sync(directory, () => disk.syncDirectory(path)),
    syncDirectoryAsync: (path) => hooks.async(directory, () => disk.syncDirectoryAsync(path)),
  };
}

class RecordedFile implements StorageFile {
  readonly path: string;
  readonly #file: StorageFile;
  readonly #hooks: Hooks;

  constructor(file: StorageFile, hooks: Hooks) {
    this.path = file.path;
    this.#file = file;
    this.#hooks = hooks;
  }

  #operation(kind: RecordedKind): Operation {
    return { kind, file: basename(this.path) };
  }

  #cut(bytes: Uint8Array): Uint8Array {
    const longest = this.#hooks.recorder?.longestWrite ?? Number.POSITIVE_INFINITY;
    return bytes.length <= longest ? bytes : bytes.subarray(0, longest);
  }

  readAt(into: Uint8Array, position: number): number {
    return this.#file.readAt(into, position);
  }

  writeAt(bytes: Uint8Array, position: number): number {
    const half = (): void => void this.#file.writeAt(bytes.subarray(0, bytes.length >> 1), position);
    return this.#hooks.sync(
      this.#operation('write'),
      () => this.#file.writeAt(this.#cut(bytes), position),
      half,
    );
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    const half = (): void => void this.#file.writeAt(bytes.subarray(0, bytes.length >> 1), position);
    return this.#hooks.async(
      this.#operation('write'),
      () => this.#file.writeAtAsync(this.#cut(bytes), position),
      half,
    );
  }

  datasync(): void {
    this.#hooks.sync(this.#operation('datasync'), () => this.#file.datasync());
  }

  datasyncAsync(): Promise<void> {
    return this.#hooks.async(this.#operation('datasync'), () => this.#file.datasyncAsync());
  }

  size(): number {
    return this.#file.size();
  }

  close(): void {
    this.#file.close();
  }
}
