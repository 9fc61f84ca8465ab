/**
 * What `sync` costs: puts of 100 bytes, with and without, one and 64 in flight; microseconds per put.
 *
 *   node sync-cost.js [seconds per measurement]
 *
 * STRATA_SOAK_DIRECTORY chooses the disk: on a disk in memory a sync costs nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageEngine } from '../../src/main/index.ts';

const KEY_COUNT = 100_000;
const WARM_UP_PUTS = 2000;

async function microsecondsPerPut(
  engine: StorageEngine,
  sync: boolean,
  inFlight: number,
  seconds: number,
): Promise<number> {
  const value = Buffer.alloc(100, 'v');
  let puts = 0;
  const writeFor = async (isOver: () => boolean): Promise<void> => {
    const writer = async (): Promise<void> => {
      while (!isOver()) await engine.put(`key-${(puts++ * 7919) % KEY_COUNT}`, value, { sync });
    };
    await Promise.all(Array.from({ length: inFlight }, writer));
  };
  await writeFor(() => puts >= (sync ? inFlight * 20 : WARM_UP_PUTS));
  puts = 0;
  const startedAt = performance.now();
  const end = startedAt + seconds * 1000;
  await writeFor(() => performance.now() >= end);
  return ((performance.now() - startedAt) * 1000) / puts;
}

const seconds = Number(process.argv[2] ?? 3);
const root = mkdtempSync(join(process.env['STRATA_SOAK_DIRECTORY'] ?? tmpdir(), 'stratakv-sync-'));
try {
  const engine = await StorageEngine.open(join(root, 'db'));
  const figures: string[] = [];
  for (const inFlight of [1, 64]) {
    for (const sync of [false, true]) {
      const cost = await microsecondsPerPut(engine, sync, inFlight, seconds);
      figures.push(`${sync ? 'sync-' : ''}put-us-${inFlight}-in-flight=${cost.toFixed(1)}`);
    }
  }
  await engine.close();
  process.stdout.write(`FIGURE ${figures.join(' ')}\n`);
} finally {
  rmSync(root, { recursive: true, force: true });
}
