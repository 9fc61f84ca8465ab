/**
 * One store, all rows, in a process of its own: node level-child.js <store> <directory> <records> <rows>. Sends what each row
 * took: operations and milliseconds, the best of three runs; a fill is made once.
 */
import { StrataLevel } from '../../src/level/index.ts';
import { loadPackage } from '../packages.ts';
import { type LevelData, type LevelLike, makeData, ROWS, type RowSpec } from './level-rows.ts';

const RUNS = 3;
const BUFFER_BYTES: number = 64 * 1024 ** 2;

/** What a row took. */
export interface Measured {
  readonly row: string;
  readonly opsPerSecond: number;
  /** Of all threads of the process, per operation. */
  readonly cpuMicros: number;
}

type LevelClass = new (location: string, options: object) => LevelLike;

async function measure(db: LevelLike, data: LevelData, { name, share, run }: RowSpec): Promise<Measured> {
  const count = Math.floor(data.keys.length * share);
  const isFill = name.startsWith('fill');
  if (!isFill) await run(db, data, Math.min(count, 2000));
  let best: Measured = { row: name, opsPerSecond: 0, cpuMicros: 0 };
  for (let i = 0; i < (isFill ? 1 : RUNS); i++) {
    const cpu = process.cpuUsage();
    const begin = performance.now();
    await run(db, data, count);
    const seconds = (performance.now() - begin) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    if (count / seconds > best.opsPerSecond)
      best = { row: name, opsPerSecond: count / seconds, cpuMicros: (user + system) / count };
  }
  return best;
}

const [store = '', directory = '', records = '', rows = ''] = process.argv.slice(2);
const Level =
  store === 'classic-level'
    ? loadPackage<{ readonly ClassicLevel: LevelClass }>('classic-level').ClassicLevel
    : (StrataLevel as unknown as LevelClass);
const options = { writeBufferSize: BUFFER_BYTES, cacheSize: BUFFER_BYTES };
const db = new Level(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer', ...options });
await db.open();
const data = makeData(Number(records));
const results: Measured[] = [];
let isWriting = true;
for (const row of ROWS) {
  const isWrite = row.name.startsWith('fill') || row.name.startsWith('put');
  // What reads finds its data in tables, as it would after a while.
  if (isWriting && !isWrite) await db.compactRange(data.keys[0]!, data.keys.at(-1)!);
  isWriting = isWrite;
  if (row.name.startsWith('fill') || rows === '' || rows.split(',').includes(row.name))
    results.push(await measure(db, data, row));
}
await db.close();
process.send!(results);
