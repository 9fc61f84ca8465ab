/**
 * A worker entry that does what a job's `directory` says: answers well, or fails in one of the ways a worker can.
 *
 * The job's control buffer serves as meeting place: word 0 counts the jobs that have begun, word 1 opens the gate that
 * 'wait' waits for.
 */
import { threadId } from 'node:worker_threads';
import type { Job, JobReply } from '../../src/shared/threads/jobs.ts';

const REPLY: JobReply = {
  ok: true,
  value: { blockCount: 1, entryCount: 2, rangeDeletes: 0, bytesRead: 3 },
};

export { behave as handleJobAsGuest, behave as handleJobBehind };

export default async function behave(job: Job): Promise<unknown> {
  const words = new Int32Array(job.control);
  Atomics.add(words, 0, 1);
  Atomics.notify(words, 0);
  const [behaviour = '', ...rest] = job.directory.split(':');
  const argument = rest.join(':');
  switch (behaviour) {
    case 'ok':
      return REPLY;
    case 'thread':
      return { ok: true, value: { blockCount: threadId, entryCount: 2, rangeDeleteCount: 0, bytesRead: 3 } };
    case 'may-require': {
      const may: unknown = Reflect.get(process.features, 'require_module');
      return {
        ok: true,
        value: { blockCount: Number(may === true), entryCount: 2, rangeDeletes: 0, bytesRead: 3 },
      };
    }
    case 'wait':
      Atomics.wait(words, 1, 0);
      return REPLY;
    case 'sleep':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(argument));
      return REPLY;
    case 'throw':
      throw new TypeError('thrown in the worker');
    case 'throw-nothing':
      throw undefined;
    case 'throw-later':
      setImmediate(() => {
        throw new Error('thrown outside the job');
      });
      return await new Promise(() => undefined);
    case 'exit':
      process.exit(Number(argument));
      break;
    case 'out-of-memory': {
      const hoard: unknown[] = [];
      for (;;) hoard.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
    }
    case 'answer':
      return JSON.parse(argument) as unknown;
    case 'answer-nothing':
      return undefined;
    case 'answer-function':
      return { ok: true, value: () => undefined };
    default:
      throw new Error(`no such behaviour: ${behaviour}`);
  }
}
