/**
 * A process under Node's permission model that uses a store, and tells what was synced and when.
 *
 *   node --permission ... permission-child.js DIRECTORY OPTIONS     prints a PermissionReport as JSON
 *
 * The syncs are seen where they leave for the system: at the FileHandle. Renames are seen too, as the order of both is what
 * durability rests on.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

export interface PermissionReport {
  readonly notes: readonly string[];
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

const [directory = '', options = '{}'] = process.argv.slice(2);
const notes: string[] = [];
const nameOf = (path: unknown): string => (path === directory ? 'the directory' : basename(String(path)));

const { open } = fs.promises;
fs.promises.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  for (const kind of ['sync', 'datasync'] as const) {
    const sync = handle[kind].bind(handle);
    handle[kind] = async () => {
      await sync();
      notes.push(`synced ${nameOf(path)}`);
    };
  }
  return handle;
};
const { rename } = fs;
fs.rename = ((from: string, to: string, done: fs.NoParamCallback) => {
  notes.push(`renamed ${nameOf(from)}`);
  rename(from, to, done);
}) as typeof fs.rename;
syncBuiltinESMExports();

const { StorageEngine } = await import('../../src/main/index.ts');
const { isError } = await import('../../src/shared/base/errors.ts');

async function use(): Promise<void> {
  const engine = await StorageEngine.open(directory, JSON.parse(options) as object);
  notes.push('opened');
  await engine.put('a', '1');
  notes.push('put');
  await engine.put('b', '2', { sync: true });
  notes.push('put synced');
  await engine.flush();
  notes.push('flushed');
  await engine.ingest([['c', '3']]);
  await engine.compact();
  await engine.verify();
  await engine.close();
  const again = await StorageEngine.open(directory, JSON.parse(options) as object);
  notes.push(`read ${Array.from(again.scan(), ([key, value]) => `${key}=${value}`).join()}`);
  await again.close();
  await StorageEngine.repair(directory);
  await StorageEngine.destroy(directory);
  notes.push('destroyed');
}

let failure: PermissionReport['failure'];
try {
  await use();
} catch (error) {
  const code = String((error as { code?: unknown }).code);
  failure = { code, message: isError(error) ? error.message : String(error) };
}
const report: PermissionReport = { notes, failure };
process.stdout.write(JSON.stringify(report));
