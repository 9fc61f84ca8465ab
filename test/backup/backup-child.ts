/**
 * The child of the kill test: opens the store, and writes, archives and backs up until it is killed.
 *
 *   on fd 3, synchronously, so that it survives the kill:
 *     S        about to back up, or to purge
 *     B id n   backup `id` is done, which has all of the first n writes
 *     A p      everything up to position p is in the archive
 *     E text   something failed
 */
import { writeSync } from 'node:fs';
import { archive, backup, directoryTarget, purgeBackups } from '../../src/main/backup.ts';
import { StorageEngine } from '../../src/main/index.ts';

const [path = '', folder = '', seed = '0'] = process.argv.slice(2);

function tell(line: string): void {
  writeSync(3, `${line}\n`);
}

function fail(error: unknown): never {
  tell(`E ${String(error instanceof Error ? (error.stack ?? error) : error).replaceAll('\n', ' | ')}`);
  process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

const engine = await StorageEngine.open(path, {
  writeBufferSize: 65536,
  threads: 0,
  retainChanges: { bytes: 16 * 1024 * 1024 },
});
const target = directoryTarget(folder);
const log = archive(engine, target, { intervalMs: 5 });
log.on('error', fail);
log.on('shipped', ({ position }) => tell(`A ${position}`));
let count = Number((await engine.get('count')) ?? 0);
for (let round = Number(seed); ; round++) {
  for (let i = 0; i < 50; i++) {
    count++;
    await engine.put(`key ${String(count).padStart(8, '0')}`, 'v'.repeat(count % 300));
    await engine.put('count', String(count));
  }
  tell('S');
  const { id } = await backup(engine, target);
  tell(`B ${id} ${count}`);
  if (round % 3 > 0) continue;
  tell('S');
  await purgeBackups(target, { keep: 3 });
}
