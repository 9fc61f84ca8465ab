/**
 * The declarations that the package ships: complete, as a strict project without skipLibCheck reads them, and without members
 * that are marked as the package's own.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './helpers/temp-directory.ts';

const USE = `
import { type Snapshot, StorageEngine, WriteBatch } from 'INDEX';
import type {
  CompactRange, EngineOptions, IngestOptions, KeyRange, ReadOptions, RepairOptions, ScanOptions, VerifyOptions, WriteOptions,
} from 'INDEX';
import { StorageClient } from 'CLIENT';
import type { AttachOptions, ClientReadOptions, ClientScanOptions } from 'CLIENT';
import {
  backup, type BackupTarget, directoryTarget, listBackups, purgeBackups, restore, verifyBackup,
} from 'BACKUP';
import type { BackupOptions, RestoreOptions, TransferOptions, VerifyBackupOptions } from 'BACKUP';
import { s3Target } from 'S3';
import { open } from './common.cjs';
export const engine: StorageEngine = await open();
export const another = await StorageEngine.open('./db');
await engine.write(new WriteBatch().put('a', 'b'));
export const snapshot: Snapshot = engine.snapshot();
export const value: Buffer | undefined = engine.getSync('a', { snapshot });
export const client = await StorageClient.attach(engine.share());
// What an application has at hand is often undefined: every option and bound takes it.
type OrUndefined<T> = { [K in keyof T]?: T[K] | undefined };
declare function given<T>(): OrUndefined<T>;
await StorageEngine.open('./db', given<EngineOptions>());
await StorageEngine.repair('./db', given<RepairOptions>());
await StorageClient.attach(engine.share(), given<AttachOptions>());
for (const store of [engine, client]) {
  await store.put('a', 'b', given<WriteOptions>());
  await store.ingest([], given<IngestOptions>());
  await store.compact(given<CompactRange>());
  await store.compact(given<KeyRange>());
}
await engine.get('a', given<ReadOptions>());
await client.getMany(['a'], given<ClientReadOptions>());
export const scans = [engine.scan(given<ScanOptions>()), client.scan(given<ClientScanOptions>())];
export const size: number = await engine.approximateSize(given<KeyRange>());
await engine.verify(given<VerifyOptions>());
declare const s3: import('ROOT/node_modules/@aws-sdk/client-s3/dist-types/index.js').S3Client;
for (const target of [directoryTarget('./backups'), s3Target({ client: s3, bucket: 'b', prefix: undefined })]) {
  const known: BackupTarget = target;
  const { id } = await backup(engine, known, given<BackupOptions>());
  await listBackups(known, given<TransferOptions>());
  await verifyBackup(known, given<VerifyBackupOptions>());
  await purgeBackups(known, { keep: 3, ...given<TransferOptions>() });
  await restore(known, './copy', { id, ...given<RestoreOptions>() });
}
`;

/** A file of CommonJS, whose engine is one of the ES module's as well: `use.mts` takes it. */
const COMMON = `
import { StorageEngine, StorageError } from 'INDEX';
import { StorageClient } from 'CLIENT';
import { backup, directoryTarget } from 'BACKUP';
import { s3Target } from 'S3';
export const open = (): Promise<StorageEngine> => StorageEngine.open('./db');
export const codeOf = (error: unknown): string | undefined => (StorageError.is(error) ? error.code : undefined);
export { backup, directoryTarget, s3Target, StorageClient };
`;

test('no declaration of the package is marked @internal', () => {
  const folder = join(findRoot(), 'dist', 'lib');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.d\.c?ts$/.test(name),
  );
  assert.ok(names.includes('types.d.cts') && names.includes('index.d.ts'), 'the declarations were not found');
  for (const name of names) assert.doesNotMatch(readFileSync(join(folder, name), 'utf8'), /@internal/, name);
});

test('a strict project compiles against the declarations, skipLibCheck off', (t) => {
  const root = findRoot();
  const folder = temporaryDirectory(t);
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (spawnSync(process.execPath, [compiler, '--version']).status !== 0) {
    t.skip('the compiler is not installed');
    return;
  }
  const places = {
    INDEX: 'index',
    CLIENT: 'worker',
    BACKUP: 'backup',
    S3: 'backup-s3',
  };
  const inPackage = (text: string, extension: string): string =>
    Object.entries(places).reduce(
      (use, [name, path]) => use.replaceAll(`'${name}'`, `'${root}/dist/lib/${path}.${extension}'`),
      text.replaceAll('ROOT', root),
    );
  writeFileSync(join(folder, 'use.mts'), inPackage(USE, 'js'));
  writeFileSync(join(folder, 'common.cts'), inPackage(COMMON, 'cjs'));
  const options = {
    noEmit: true,
    strict: true,
    skipLibCheck: false,
    exactOptionalPropertyTypes: true,
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    typeRoots: [join(root, 'node_modules', '@types')],
    types: ['node'],
  };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, files: ['use.mts'] }),
  );
  const run = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
  assert.equal(run.stdout, '');
  assert.equal(run.status, 0);
});

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
