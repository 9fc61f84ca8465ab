/**
 * A job queue with an atomic claim: many workers share the jobs, each job is done once, and the job of a worker that dies is
 * claimed again.
 *
 *   job:ID      what is to be done; there until it has been
 *   lease:ID    who does it; expires by itself, so a worker that dies keeps its job for no longer than that
 *   done:ID     who has done it
 *
 * What makes it safe is `transaction`: it commits only if nothing that it read was written meanwhile. So of two workers that find
 * a job free, one gets it; and a worker whose lease has run out can't report a job that another one has by now.
 *
 * node examples/queue.mjs [DIRECTORY]     by default a new directory among the temporary files, which is deleted at the end
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StorageEngine, WriteBatch } from 'stratakv';

const JOBS = 1001;
const WORKERS = 16;
/** Far above what a job takes. A worker that needs longer renews its lease, by a transaction as that of finish(). */
const LEASE_MS = 500;

class Queue {
  constructor(engine) {
    this.engine = engine;
  }

  async add(jobs) {
    const batch = new WriteBatch();
    for (const [id, work] of jobs) batch.put(`job:${id}`, work);
    await this.engine.write(batch);
  }

  /** The first job that is free, now leased to `worker`; undefined: none is. */
  async claim(worker) {
    // The scan shows one moment and is only a hint: the transaction decides, by the two keys that matter.
    for await (const [key, work] of this.engine.scan({ prefix: 'job:' })) {
      const id = key.toString().slice('job:'.length);
      if (await this.engine.has(`lease:${id}`)) continue;
      const isMine = await this.engine.transaction((tx) => {
        if (!tx.hasSync(`job:${id}`) || tx.hasSync(`lease:${id}`)) return false;
        tx.put(`lease:${id}`, worker, { ttl: LEASE_MS });
        return true;
      });
      if (isMine) return { id, work: work.toString() };
    }
    return undefined;
  }

  /** Reports a job as done. False: the lease had run out, the work does not count. */
  async finish(worker, { id }) {
    return await this.engine.transaction((tx) => {
      if (tx.getSync(`lease:${id}`)?.toString() !== worker) return false;
      tx.delete(`job:${id}`);
      tx.delete(`lease:${id}`);
      tx.put(`done:${id}`, worker);
      return true;
    });
  }

  async isEmpty() {
    return this.engine.scan({ prefix: 'job:', limit: 1, values: false }).nextMany(1).length === 0;
  }
}

/** Works until no job is left; waits where others have leased all that are. Returns the ids of the jobs it has done. */
async function work(queue, worker) {
  const done = [];
  while (!(await queue.isEmpty())) {
    const job = await queue.claim(worker);
    if (job === undefined) await sleep(50);
    else if (await queue.finish(worker, job)) done.push(job.id);
  }
  return done;
}

async function run(directory) {
  const engine = await StorageEngine.open(directory);
  try {
    const queue = new Queue(engine);
    const jobs = Array.from({ length: JOBS }, (_, i) => [String(i).padStart(6, '0'), `send letter ${i}`]);
    await queue.add(jobs);
    console.log(`added ${JOBS} jobs`);

    // One worker claims a job and is never heard of again, until much later.
    const lost = await queue.claim('worker-lost');
    console.log(`worker-lost claimed job ${lost.id} and died`);

    const workers = Array.from({ length: WORKERS }, (_, i) => `worker-${i}`);
    const done = await Promise.all(workers.map((worker) => work(queue, worker)));
    const all = done.flat();
    console.log(`${WORKERS} workers did ${all.length} jobs, ${new Set(all).size} different ones`);

    const saviour = (await engine.get(`done:${lost.id}`)).toString();
    console.log(`job ${lost.id} was claimed again: ${saviour !== 'worker-lost'}`);
    console.log(`worker-lost comes back and reports it as done: ${await queue.finish('worker-lost', lost)}`);

    if (all.length !== JOBS || new Set(all).size !== JOBS) throw new Error('a job was lost or done twice');
  } finally {
    await engine.close();
  }
}

const given = process.argv[2];
const directory = given ?? (await mkdtemp(join(tmpdir(), 'stratakv-queue-')));
try {
  await run(directory);
} finally {
  if (given === undefined) await rm(directory, { recursive: true });
}
