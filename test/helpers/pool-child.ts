/**
 * A process that uses a worker pool and then has nothing more to do: does it exit? Run by worker-pool.test.ts.
 *
 *   node pool-child.js <threads> <keepAlive> <behaviour>
 */
import { extname } from 'node:path';
import { WorkerPool } from '../../src/main/worker-pool.ts';
import { fakeJob } from './fake-job.ts';

const [threads = '', keepAlive = '', behaviour = ''] = process.argv.slice(2);
const workerUrl = new URL(`./faulty-worker${extname(import.meta.url)}`, import.meta.url);
const pool = new WorkerPool({ threads: Number(threads), workerUrl });
pool
  .run(fakeJob(behaviour), { urgent: false, keepAlive: keepAlive === 'true' })
  .then(() => process.stdout.write('done\n'));
