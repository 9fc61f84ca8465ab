/**
 * Uses a store on a real, small disk of its own (a tmpfs) and says as JSON how that went. Run by bad-input-disk.test.ts, in
 * a mount namespace in which it may mount.
 *
 *   node small-disk-child.js <mounted directory> full | read-only
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { StorageEngine, StorageError } from '../../src/main/index.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';

const [mounted = '', behaviour = ''] = process.argv.slice(2);
const path = join(mounted, 'db');
const options = { writeBufferSize: 32768, threads: 1 };

/** 'ok', or the code of the error with the system's code behind it. */
async function outcomeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return 'ok';
  } catch (error) {
    if (!(error instanceof StorageError)) return `not a StorageError: ${String(error)}`;
    return [error.code, systemErrorCode(error)].filter((code) => code !== undefined).join(' ');
  }
}

function sound(engine: StorageEngine, values: readonly Buffer[]): boolean {
  return values.every((value, i) => engine.getSync(`k${i}`)?.equals(value));
}

async function useFullDisk(): Promise<unknown> {
  const ballast = join(mounted, 'ballast');
  writeFileSync(ballast, Buffer.alloc(512 * 1024));
  let engine = await StorageEngine.open(path, options);
  const acknowledged: Buffer[] = [];
  const told: string[] = [];
  engine.on('backgroundError', (event) => told.push(event.operation));
  let outcome = 'ok';
  while (outcome === 'ok') {
    const value = randomBytes(1000);
    outcome = await outcomeOf(() => engine.put(`k${acknowledged.length}`, value));
    if (outcome === 'ok') acknowledged.push(value);
  }
  const readsWhileFull = sound(engine, acknowledged);
  const closing = await outcomeOf(() => engine.close());
  rmSync(ballast);
  engine = await StorageEngine.open(path, options);
  const result = {
    acknowledged: acknowledged.length,
    wasTold: told.length > 0,
    outcome,
    readsWhileFull,
    closing,
    readsAfterwards: sound(engine, acknowledged),
    verify: await outcomeOf(() => engine.verify()),
    writes: await outcomeOf(() => engine.put('again', '1', { sync: true })),
    compact: await outcomeOf(() => engine.compact()),
  };
  await engine.close();
  return result;
}

async function useReadOnlyDisk(): Promise<unknown> {
  let engine = await StorageEngine.open(path, options);
  const values = Array.from({ length: 50 }, () => randomBytes(1000));
  for (const [i, value] of values.entries()) await engine.put(`k${i}`, value);
  await engine.close();
  execFileSync('mount', ['-o', 'remount,ro', mounted]);
  engine = await StorageEngine.open(path, { ...options, readOnly: true });
  const result = {
    reads: sound(engine, values),
    verify: await outcomeOf(() => engine.verify()),
    refused: await outcomeOf(() => engine.put('a', '1')),
    closing: await outcomeOf(() => engine.close()),
    newStore: await outcomeOf(() => StorageEngine.open(join(mounted, 'other'), options)),
    destroy: await outcomeOf(() => StorageEngine.destroy(path)),
    // The store can be read this way, too; only a write finds out about the disk.
    writable: '',
    write: '',
    stillReads: false,
  };
  result.writable = await outcomeOf(async () => {
    engine = await StorageEngine.open(path, options);
  });
  result.write = await outcomeOf(() => engine.put('a', '1'));
  result.stillReads = sound(engine, values);
  await outcomeOf(() => engine.close());
  return result;
}

const result = behaviour === 'full' ? await useFullDisk() : await useReadOnlyDisk();
writeSync(1, JSON.stringify(result));
