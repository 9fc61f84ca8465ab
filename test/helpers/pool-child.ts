/**
 * A process that uses a worker pool and then has nothing more to do: does it exit? Run by worker-pool.test.ts.
 *
 *   node pool-child.js <threads> <keepAlive> <behaviour | no-job>
 */
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { WorkerPool } from '../../src/main/jobs/worker-pool.ts';
import { fakeJob } from './fake-job.ts';

const [threads = '', keepAlive = '', behaviour = ''] = process.argv.slice(2);
const workerUrl = new URL(`./faulty-worker${extname(import.meta.url)}`, import.meta.url);
const pool = new WorkerPool({ threads: Number(threads), workerUrl });
if (behaviour === 'no-job') {
  await pool.close();
  const loaded = Object.keys(createRequire(import.meta.url).cache);
  process.stdout.write(`piscina loaded: ${loaded.some((path) => path.includes('piscina'))}\n`);
} else {
  // Not awaited: a process that ends below a top-level await says so with exit code 13.
  pool
    .run(fakeJob(behaviour), { urgent: false, keepAlive: keepAlive === 'true' })
    .then(() => process.stdout.write('done\n'));
}
