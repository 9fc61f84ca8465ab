/**
 * Stores for tests of the engine through its public API: small buffers, so that a few hundred writes flush and compact.
 *
 * Owns: the directory of each store, removed when the test ends; engines are closed before.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import {
  type EngineOptions,
  type Scan,
  StorageEngine,
  StorageError,
  type StorageErrorCode,
} from '../../src/main/index.ts';
import type { OpenInternals } from '../../src/main/open/open-store.ts';
import type { ModuleSpec } from '../../src/shared/files/file-system.ts';
import { temporaryDirectory } from './temp-directory.ts';

/** A memtable of 8 KiB holds about a hundred small entries. */
export const TINY: EngineOptions = { writeBufferSize: 8192, blockSize: 256, maxFileSize: 8192, threads: 1 };

/** What each test opened: closed before its directories are removed. */
const opened = new WeakMap<TestContext, StorageEngine[]>();

/** The path of a store that is not there yet. */
export function newPath(t: TestContext): string {
  const engines = opened.get(t) ?? [];
  opened.set(t, engines);
  // Hooks run in the order in which they were given: this one comes before the one that removes the directory.
  t.after(() => Promise.allSettled(engines.map((engine) => engine.close())));
  return join(temporaryDirectory(t), 'db');
}

/** A store of its own, closed when the test ends. */
export async function openTiny(t: TestContext, options: EngineOptions = {}): Promise<StorageEngine> {
  return await openAt(t, newPath(t), options);
}

export async function openAt(
  t: TestContext,
  path: string,
  options: EngineOptions = {},
): Promise<StorageEngine> {
  const engine = await StorageEngine.open(path, { ...TINY, ...options });
  opened.get(t)?.push(engine);
  return engine;
}

/** As openAt, on another disk. */
export async function openOn(
  t: TestContext,
  fileSystem: ModuleSpec,
  options: EngineOptions = {},
  path: string = newPath(t),
): Promise<StorageEngine> {
  const engine = await openEngine(path, { ...TINY, ...options }, { fileSystem });
  opened.get(t)?.push(engine);
  return engine;
}

/** As openAt, with parts replaced, and with the options as they are. */
export async function openWith(
  t: TestContext,
  path: string,
  options: EngineOptions,
  internals: OpenInternals,
): Promise<StorageEngine> {
  const engine = await openEngine(path, options, internals);
  opened.get(t)?.push(engine);
  return engine;
}

export async function reopen(
  t: TestContext,
  engine: StorageEngine,
  options: EngineOptions = {},
): Promise<StorageEngine> {
  await engine.close();
  return await openAt(t, engine.path, options);
}

/** Rejects or throws with this code; returns the error. Nothing but a StorageError will do. */
export async function failsWith(
  code: StorageErrorCode,
  run: (() => unknown) | Promise<unknown>,
): Promise<StorageError> {
  let value: unknown;
  try {
    value = await (typeof run === 'function' ? run() : run);
  } catch (error) {
    assert.ok(error instanceof StorageError, `not a StorageError: ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return error;
  }
  assert.fail(`expected ${code}, got ${typeof value}`);
}

/** Key number `i`, in an order that is also the order of the numbers. */
export function keyOf(i: number): string {
  return `key-${String(i).padStart(6, '0')}`;
}

/** `count` entries, about `valueBytes` each. The last put is awaited, so all are acknowledged. */
export async function fill(engine: StorageEngine, count: number, valueBytes = 40, round = 0): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    writes.push(engine.put(keyOf(i), valueFor(i, valueBytes, round)));
    if (i % 32 === 31) await Promise.all(writes.splice(0));
  }
  await Promise.all(writes);
}

export function valueFor(i: number, valueBytes = 40, round = 0): string {
  return `${i}/${round}:`.padEnd(valueBytes, String.fromCharCode(97 + ((i + round) % 26)));
}

export function textsOf(scan: Scan): [string, string][] {
  return Array.from(scan, ([key, value]) => [key.toString(), value.toString()]);
}

export function keysOf(scan: Scan): string[] {
  return Array.from(scan, ([key]) => key.toString());
}

export function tableFiles(path: string): string[] {
  return readdirSync(path)
    .filter((name) => name.endsWith('.sst'))
    .sort();
}

/** Every file of a directory with its content, to see whether anything changed. */
export function contentsOf(directory: string): Record<string, string> {
  const contents: Record<string, string> = {};
  for (const name of readdirSync(directory).sort()) {
    const path = join(directory, name);
    const stats = lstatSync(path);
    contents[name] = stats.isFile()
      ? createHash('sha256').update(readFileSync(path)).digest('hex')
      : `not a file: ${stats.mode}`;
  }
  return contents;
}

/** Lets everything that is due in this and the next turn of the event loop happen. */
export async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Waits until `isDone`, checking once a turn; the test runner's limit ends a wait that is in vain. */
export async function until(isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise<void>((resolve) => setTimeout(resolve, 2));
}
