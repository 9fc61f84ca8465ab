/**
 * Writes to a store, or opens it again, in a process whose heap is small. Run by small-heap.test.ts.
 *
 *   node --max-old-space-size=N heap-child.js write|open <path> <count> kill|close
 */
import { writeSync } from 'node:fs';
import { StorageEngine } from '../../src/main/index.ts';

const [act = '', path = '', count = '', end = ''] = process.argv.slice(2);
const keyOf = (i: number): string => `k${String((i * 7919) % 1_000_003).padStart(7, '0')}`;
const engine = await StorageEngine.open(path, { threads: 0 });
const { memtables, levels } = engine.stats();
if (act === 'write') for (let i = 0; i < Number(count); i++) await engine.put(keyOf(i), 'v');
else if (engine.getSync(keyOf(Number(count) - 1)) === undefined) throw new Error('the last write is lost');
const tables = levels.reduce((sum, level) => sum + level.files, 0);
writeSync(1, `${JSON.stringify({ recovered: memtables.entries, tables })}\n`);
if (end === 'kill') process.kill(process.pid, 'SIGKILL');
await engine.close();
