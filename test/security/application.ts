/**
 * An application whose store works on threads. Run by worker-environment.test.ts.
 *
 *   node application.js <path> [JSON of environment variables to set before the first thread]
 */
import { writeSync } from 'node:fs';
import { StorageEngine } from '../../src/main/index.ts';

const [path = '', change = ''] = process.argv.slice(2);
if (change !== '') Object.assign(process.env, JSON.parse(change));
const engine = await StorageEngine.open(path, { writeBufferSize: 8192, threads: 2 });
for (let i = 0; i < 600; i++) await engine.put(`key-${i}`, 'value'.repeat(10));
await engine.flush();
await engine.compact();
await engine.verify();
const { flushes, compactions } = engine.stats().jobs;
writeSync(1, `jobs on threads: ${flushes + compactions}\n`);
await engine.close();
