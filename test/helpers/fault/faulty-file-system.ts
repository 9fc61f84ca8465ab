/**
 * The real disk with faults on the way: a module for ModuleSpec, so that every thread of a store gets it.
 *
 *   openEngine(path, options, { fileSystem: faultySpec({ control: control.buffer, trace: trace.buffer }) })
 *
 * Each operation: latency -> is it one that is left out? -> fault? -> the real operation -> the trace. Both buffers are
 * shared, so what the test's thread sets holds for workers from their next operation on.
 *
 * Scribbling: a log is written straight from the memtable's arena, which reads go on using, so the caller's bytes can't be
 * overwritten after a write, as Pebble does. What is handed down is a copy, scribbled over once the write has returned, and
 * the caller's bytes are compared with it then. That proves that nobody changes bytes while they are being written, and
 * that nothing below keeps them; not that the caller never looks at them again. A manifest's bytes are its writer's own
 * and are scribbled over themselves.
 *
 * Thread: any.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ioError } from '../../../src/shared/base/errors.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { type Fault, FaultControl, type FileType, fileTypeOf, type OperationKind } from './fault-control.ts';
import { Trace, type TraceHeader } from './trace.ts';

export interface FaultyOptions {
  readonly control: SharedArrayBuffer;
  readonly trace?: SharedArrayBuffer;
}

export function faultySpec(options: FaultyOptions): ModuleSpec {
  return { module: import.meta.url, options };
}

export function createFileSystem(options: FaultyOptions): FileSystem {
  return new FaultyFileSystem(options);
}

interface Operation extends TraceHeader {
  readonly type: FileType;
  readonly bytes?: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
const ERRNO: Partial<Record<Fault, number>> = { EIO: -5, ENOSPC: -28, EMFILE: -24, ESTALE: -116 };
const HANG_LOOK_MS = 5;

function injected(fault: Fault, operation: TraceHeader): Error {
  const cause = Object.assign(new Error(`${fault}: injected into ${operation.kind}`), {
    code: fault,
    errno: ERRNO[fault],
  });
  return ioError(operation.kind, operation.path, cause);
}

/** What every operation goes through. */
class Hooks {
  readonly control: FaultControl;
  readonly trace: Trace | undefined;
  /** A rename has returned and its directory was not synced since. */
  hasRenamed = false;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));

  constructor(options: FaultyOptions) {
    this.control = new FaultControl(options.control);
    this.trace = options.trace === undefined ? undefined : new Trace(options.trace);
  }

  sync<T>(operation: Operation, run: () => T, skipped?: T): T {
    const ms = this.control.latencyMs(operation.kind, operation.type);
    if (ms > 0) Atomics.wait(this.#sleeper, 0, 0, ms);
    if (skipped !== undefined) return skipped;
    this.#fail(operation);
    const start = this.trace?.tick() ?? 0;
    const result = run();
    this.#record(operation, start);
    return result;
  }

  async async<T>(operation: Operation, run: () => Promise<T>, skipped?: T): Promise<T> {
    const ms = this.control.latencyMs(operation.kind, operation.type);
    if (ms > 0) await delay(ms);
    if (skipped !== undefined) return skipped;
    if (this.#fail(operation, true) === 'hang') await this.hang();
    const start = this.trace?.tick() ?? 0;
    const bytes = this.trace === undefined ? undefined : copyOf(operation.bytes ?? NO_BYTES);
    const result = await run();
    this.#record(bytes === undefined ? operation : { ...operation, bytes }, start);
    return result;
  }

  /** Until the fault is disarmed. As a real one would, it keeps the process alive. */
  async hang(): Promise<void> {
    while (this.control.isHanging) await delay(HANG_LOOK_MS);
  }

  #fail(operation: Operation, isAsync = false): Fault {
    const { kind, type } = operation;
    // Reads and writes ask for themselves, as one may come out short; a close fails after the handle is gone.
    if (kind === 'read' || kind === 'write' || kind === 'close') return 'none';
    const fault = this.control.takeFault(kind, type, isAsync);
    if (fault !== 'none' && fault !== 'hang') throw injected(fault, operation);
    return fault;
  }

  #record({ type: _, bytes, ...header }: Operation, start: number): void {
    this.trace?.add(start, this.trace.tick(), header, bytes ?? NO_BYTES);
  }
}

class FaultyFile implements StorageFile {
  readonly #inner: StorageFile;
  readonly #hooks: Hooks;
  readonly #type: FileType;
  readonly #handle: number;
  #isOpen = true;

  constructor(inner: StorageFile, hooks: Hooks, handle: number) {
    this.#inner = inner;
    this.#hooks = hooks;
    this.#type = fileTypeOf(inner.path);
    this.#handle = handle;
    hooks.control.noteOpened(this.#type);
  }

  get path(): string {
    return this.#inner.path;
  }

  #operation(kind: OperationKind, more: Partial<Operation> = {}): Operation {
    return { kind, path: this.path, type: this.#type, handle: this.#handle, ...more };
  }

  readAt(into: Uint8Array, position: number): number {
    return this.#hooks.sync(this.#operation('read'), () => {
      const room = this.#room(into, this.#hooks.control.takeFault('read', this.#type));
      return this.#corrupt(into, this.#inner.readAt(room, position));
    });
  }

  async readAtAsync(into: Uint8Array, position: number): Promise<number> {
    return await this.#hooks.async(this.#operation('read'), async () => {
      const fault = this.#hooks.control.takeFault('read', this.#type, true);
      if (fault === 'hang') await this.#hooks.hang();
      const room = this.#room(into, fault);
      return this.#corrupt(into, (await this.#inner.readAtAsync?.(room, position)) ?? 0);
    });
  }

  /** What of `into` gets read, unless that fails. */
  #room(into: Uint8Array, fault: Fault): Uint8Array {
    if (fault === 'short-read') return into.subarray(0, Math.max(1, into.length >> 1));
    if (fault === 'truncated') return into.subarray(0, 0);
    if (fault !== 'none' && fault !== 'hang') throw injected(fault, this.#operation('read'));
    return into;
  }

  #corrupt(into: Uint8Array, count: number): number {
    if (count > 0 && this.#hooks.control.takesCorruption(this.#type)) into[count >> 1]! ^= 0x10;
    return count;
  }

  writeAt(bytes: Uint8Array, position: number): number {
    const part = this.#part(bytes, position);
    return this.#hooks.sync(this.#operation('write', { position, bytes: part }), () => {
      const copy = this.#hooks.control.scribbles ? copyOf(part) : part;
      const count = this.#inner.writeAt(copy, position);
      this.#scribble(part, copy);
      return count;
    });
  }

  async writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    const fault = this.#hooks.control.takeFault('write', this.#type, true);
    if (fault === 'hang') await this.#hooks.hang();
    const part = this.#partOf(bytes, position, fault);
    return await this.#hooks.async(this.#operation('write', { position, bytes: part }), async () => {
      const copy = this.#hooks.control.scribbles ? copyOf(part) : part;
      const count = await this.#inner.writeAtAsync(copy, position);
      this.#scribble(part, copy);
      return count;
    });
  }

  #part(bytes: Uint8Array, position: number): Uint8Array {
    return this.#partOf(bytes, position, this.#hooks.control.takeFault('write', this.#type));
  }

  /** What of `bytes` gets written, unless it fails. */
  #partOf(bytes: Uint8Array, position: number, fault: Fault): Uint8Array {
    if (fault === 'short-write') return bytes.subarray(0, Math.max(1, bytes.length >> 1));
    if (fault !== 'none' && fault !== 'hang') throw injected(fault, this.#operation('write', { position }));
    return bytes;
  }

  #scribble(given: Uint8Array, copy: Uint8Array): void {
    if (given === copy) return;
    if (Buffer.compare(given, copy) !== 0) this.#hooks.control.noteChangedBuffer();
    copy.fill(0xa5);
    if (this.#type === 'manifest') given.fill(0xa5);
  }

  #isSyncLeftOut(): true | undefined {
    const { omission } = this.#hooks.control;
    const isLeftOut =
      (omission === 'sync of a table' && this.#type === 'table') ||
      (omission === 'sync of the manifest' && this.#type === 'manifest') ||
      (omission === 'sync of a log' && this.#type === 'log');
    return isLeftOut ? true : undefined;
  }

  datasync(): void {
    this.#hooks.sync(this.#operation('datasync'), () => done(this.#inner.datasync()), this.#isSyncLeftOut());
  }

  async datasyncAsync(): Promise<void> {
    const run = async (): Promise<true> => done(await this.#inner.datasyncAsync());
    await this.#hooks.async(this.#operation('datasync'), run, this.#isSyncLeftOut());
  }

  size(): number {
    return this.#hooks.sync(this.#operation('size'), () => this.#inner.size());
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#hooks.control.noteClosed(this.#type);
    this.#hooks.sync(this.#operation('close'), () => this.#inner.close());
    const fault = this.#hooks.control.takeFault('close', this.#type);
    if (fault !== 'none') throw injected(fault, this.#operation('close'));
  }
}

class FaultyFileSystem implements FileSystem {
  readonly spec: ModuleSpec;
  readonly #hooks: Hooks;

  constructor(options: FaultyOptions) {
    this.spec = faultySpec(options);
    this.#hooks = new Hooks(options);
  }

  #file(kind: 'open' | 'create', path: string, open: () => StorageFile): StorageFile {
    const handle = this.#hooks.trace?.newHandle() ?? 0;
    const operation = { kind, path, type: fileTypeOf(path), handle };
    return this.#hooks.sync(operation, () => new FaultyFile(open(), this.#hooks, handle));
  }

  openRead(path: string): StorageFile {
    return this.#file('open', path, () => nodeFileSystem.openRead(path));
  }

  async openReadAsync(path: string): Promise<StorageFile> {
    const handle = this.#hooks.trace?.newHandle() ?? 0;
    const operation = { kind: 'open', path, type: fileTypeOf(path), handle } as const;
    const open = async (): Promise<StorageFile> =>
      new FaultyFile((await nodeFileSystem.openReadAsync?.(path))!, this.#hooks, handle);
    return await this.#hooks.async(operation, open);
  }

  createExclusive(path: string): StorageFile {
    return this.#file('create', path, () => nodeFileSystem.createExclusive(path));
  }

  rename(from: string, to: string): void {
    this.#hooks.sync({ kind: 'rename', path: from, to, type: fileTypeOf(to) }, () =>
      nodeFileSystem.rename(from, to),
    );
    this.#hooks.hasRenamed = true;
  }

  async renameAsync(from: string, to: string): Promise<void> {
    await this.#hooks.async({ kind: 'rename', path: from, to, type: fileTypeOf(to) }, () =>
      nodeFileSystem.renameAsync(from, to),
    );
    this.#hooks.hasRenamed = true;
  }

  async linkAsync(from: string, to: string): Promise<void> {
    await this.#hooks.async(
      { kind: 'link', path: from, to, type: fileTypeOf(to) },
      async () => await nodeFileSystem.linkAsync?.(from, to),
    );
  }

  unlink(path: string): void {
    this.#hooks.sync(on('unlink', path), () => nodeFileSystem.unlink(path));
  }

  async unlinkAsync(path: string): Promise<void> {
    await this.#hooks.async(on('unlink', path), () => nodeFileSystem.unlinkAsync(path));
  }

  makeDirectory(path: string): boolean {
    const created = nodeFileSystem.stat(path) === undefined ? [path] : [];
    return this.#hooks.sync({ ...on('makeDirectory', path), created }, () =>
      nodeFileSystem.makeDirectory(path),
    );
  }

  removeDirectory(path: string): void {
    this.#hooks.sync(on('removeDirectory', path), () => nodeFileSystem.removeDirectory(path));
  }

  list(directory: string): string[] {
    return this.#hooks.sync(on('list', directory), () => nodeFileSystem.list(directory));
  }

  stat(path: string): ReturnType<FileSystem['stat']> {
    return this.#hooks.sync(on('stat', path), () => nodeFileSystem.stat(path));
  }

  realPath(path: string): string {
    return this.#hooks.sync(on('realPath', path), () => nodeFileSystem.realPath(path));
  }

  /** The synchronous form syncs new tables in a job, and the parent of a new store when it is opened. */
  syncDirectory(path: string): void {
    const { omission } = this.#hooks.control;
    const isParent = nodeFileSystem.stat(path)?.kind === 'directory' && !holdsStore(path);
    const isLeftOut =
      omission ===
      (isParent ? 'sync of the parent of a new store' : 'sync of the directory before the manifest');
    this.#hooks.sync(
      on('syncDirectory', path),
      () => done(nodeFileSystem.syncDirectory(path)),
      isLeftOut || undefined,
    );
  }

  /** The asynchronous form follows either the manifest's rename or the sync of a log that is new. */
  async syncDirectoryAsync(path: string): Promise<void> {
    const { omission } = this.#hooks.control;
    const isAfterRename = this.#hooks.hasRenamed;
    this.#hooks.hasRenamed = false;
    const isLeftOut =
      omission ===
      (isAfterRename ? 'sync of the directory after the rename' : "sync of a new log's directory entry");
    const run = async (): Promise<true> => done(await nodeFileSystem.syncDirectoryAsync(path));
    await this.#hooks.async(on('syncDirectory', path), run, isLeftOut || undefined);
  }
}

function on(kind: OperationKind, path: string): Operation {
  return { kind, path, type: fileTypeOf(path) };
}

function holdsStore(path: string): boolean {
  return nodeFileSystem.list(path).some((name) => fileTypeOf(name) !== 'directory');
}

/** Buffer's own slice() copies nothing. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes);
}

function done(_: unknown): true {
  return true;
}
