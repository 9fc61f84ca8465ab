/**
 * Makes hostile stores, and sends a visitor (visitor.ts) through them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openEngine } from '../../src/main/engine.ts';
import { crc32 } from '../../src/shared/base/checksum.ts';
import { fill, newPath, openAt, TINY } from '../helpers/engines.ts';
import { SMALL_PAGES } from '../helpers/small-pages.ts';
import type { Visit } from './visitor.ts';

const VISITOR = fileURLToPath(new URL(`./visitor${extname(import.meta.url)}`, import.meta.url));
/** Only turns a hang into a failure. */
const HANG_MS = 120_000;

/** A closed store with a table of `count` entries and a log; names of its files by what they are. */
export interface SoundStore {
  readonly path: string;
  readonly table: string;
  readonly log: string;
}

export async function soundStore(t: TestContext, count = 200): Promise<SoundStore> {
  const path = newPath(t);
  const engine = await openAt(t, path, { writeBufferSize: 1 << 20, maxFileSize: 1 << 20 });
  await fill(engine, count);
  await engine.flush();
  await engine.put('logged', '1');
  await engine.close();
  const names = readdirSync(path);
  return {
    path,
    table: names.find((name) => name.endsWith('.sst'))!,
    log: names.find((name) => name.endsWith('.log'))!,
  };
}

/** The same with several tables, which a page of the manifest lists. */
export async function pagedStore(t: TestContext): Promise<SoundStore & { readonly page: string }> {
  const path = newPath(t);
  const options = { ...TINY, writeBufferSize: 1 << 20, maxFileSize: 4096, compression: 'none' } as const;
  const engine = await openEngine(path, options, { pageLimits: SMALL_PAGES });
  try {
    await fill(engine, 200);
    await engine.compact();
    await engine.put('logged', '1');
  } finally {
    await engine.close();
  }
  const names = readdirSync(path);
  const nameOf = (ending: string): string => {
    const name = names.find((one) => one.endsWith(ending));
    assert.ok(name !== undefined, `no ${ending} among ${names.join(', ')}`);
    return name;
  };
  return { path, table: nameOf('.sst'), log: nameOf('.log'), page: nameOf('.tables') };
}

export function copyTo(store: SoundStore, to: string): void {
  cpSync(store.path, to, { recursive: true });
}

/** A visitor's way through `directories`. Fails when it hangs, crashes or meets an error that is no StorageError. */
export function visitAll(directories: readonly string[], mode: 'look' | 'read' | 'all'): Visit[] {
  const child = spawnSync(process.execPath, [VISITOR, mode, ...directories], {
    encoding: 'utf8',
    timeout: HANG_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
  });
  const visits = child.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Visit);
  const at = directories[visits.length];
  assert.equal(child.signal, null, `hangs or was killed at ${at}`);
  assert.equal(child.status, 0, `fails at ${at}: ${child.stderr.slice(-2000)}`);
  assert.equal(visits.length, directories.length);
  return visits;
}

/** `body` as a manifest whose checksum is right. */
export function sealedManifest(body: string): Buffer {
  const bytes = Buffer.from(body);
  const checksum = crc32(bytes).toString(16).padStart(8, '0');
  return Buffer.concat([Buffer.from(`{"checksum":"crc32:${checksum}",\n`), bytes]);
}

/** The part of a manifest that its checksum covers. */
export function manifestBody(path: string): string {
  return readFileSync(join(path, 'manifest.json')).subarray(30).toString('utf8');
}

/** What lies at `path`, as text: kind, permissions, content; of a directory, all that is in it. */
export function portrait(path: string): string {
  const stat = lstatSync(path);
  const mode = (stat.mode & 0o7777).toString(8);
  if (stat.isSymbolicLink()) return `link to ${readlinkSync(path)}`;
  if (stat.isFile()) return `file ${mode} ${readFileSync(path).toString('base64')}`;
  if (!stat.isDirectory()) return `other ${mode}`;
  const names = readdirSync(path).sort();
  return `directory ${mode} {${names.map((name) => `${name}: ${portrait(join(path, name))}`).join(', ')}}`;
}
