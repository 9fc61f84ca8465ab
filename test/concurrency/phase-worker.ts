/**
 * The engine's own worker, with faults: fails as the FaultPlan says when a job comes to the phase it names.
 *
 *   start           before the job            before fsync    the table's bytes are written
 *   first block     at the first write of     after fsync     ... and on the disk
 *                   a table (verify: read)    answer          the work is done, and the answer is never sent
 *                                             after answer    ... is sent
 *
 * Thread: a worker's; main only builds the file system, which for it is the plain one.
 */
import { isMainThread, MessagePort, threadId } from 'node:worker_threads';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import type { Job } from '../../src/shared/threads/jobs.ts';
import handleJob from '../../src/workers/worker.ts';
import { type Fault, FaultPlan, type Phase } from './fault-plan.ts';

interface PlanOptions {
  readonly plan: SharedArrayBuffer;
}

/** The job of this thread. */
let current: { readonly job: Job; readonly plan: FaultPlan; readonly seen: Set<Phase> } | undefined;

export { failingJob as handleJobAsGuest, failingJob as handleJobBehind };

export default async function failingJob(job: Job): Promise<unknown> {
  const plan = new FaultPlan(((job.fileSystem as ModuleSpec).options as PlanOptions).plan);
  const atStart = plan.take(job.kind, 'start');
  if (atStart === 'nonsense') return { ok: true, value: { outputs: 'many' } };
  fail(atStart, plan);
  current = { job, plan, seen: new Set() };
  const reply = await handleJob(job);
  current = undefined;
  const atAnswer = plan.take(job.kind, 'answer');
  if (atAnswer === 'nonsense') return { ...reply, value: 'done' };
  fail(atAnswer, plan);
  const afterwards = plan.take(job.kind, 'after answer');
  if (afterwards !== 'none') failAfterAnswer(afterwards, plan);
  return reply;
}

function fail(fault: Fault, plan: FaultPlan): void {
  switch (fault) {
    case 'throw':
      throw new TypeError('thrown by the test');
    case 'exit':
      process.exit(1);
      break;
    case 'terminate':
      plan.offer(threadId);
      plan.hang();
      break;
    case 'memory': {
      const hoard: unknown[] = [];
      for (;;) hoard.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
    }
    case 'hang':
      plan.hang();
      break;
    case 'none':
    case 'nonsense':
  }
}

/** piscina parks its thread in Atomics.wait as soon as it has answered, so that no timer of ours would fire. */
function failAfterAnswer(fault: Fault, plan: FaultPlan): void {
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (this: MessagePort, ...args: unknown[]): void {
    MessagePort.prototype.postMessage = post;
    Reflect.apply(post, this, args);
    fail(fault, plan);
  };
}

/** Once per job. */
function reach(phase: Phase): void {
  if (current === undefined || current.seen.has(phase)) return;
  current.seen.add(phase);
  fail(current.plan.take(current.job.kind, phase), current.plan);
}

export function createFileSystem(options: PlanOptions): FileSystem {
  const spec = { module: import.meta.url, options };
  if (isMainThread) return { ...nodeFileSystem, spec };
  return {
    ...nodeFileSystem,
    createExclusiveAsync: undefined,
    spec,
    openRead: (path) =>
      watched(nodeFileSystem.openRead(path), {
        readAt: () => current?.job.kind === 'verify' && reach('first block'),
      }),
    createExclusive: (path) => {
      current?.plan.note(current.job, Number(/(\d+)\.\w+(?:\.new)?$/.exec(path)?.[1]));
      return watched(nodeFileSystem.createExclusive(path), {
        writeAt: () => reach('first block'),
        datasync: () => reach('before fsync'),
        afterDatasync: () => reach('after fsync'),
      });
    },
  };
}

interface Hooks {
  readonly readAt?: () => unknown;
  readonly writeAt?: () => unknown;
  readonly datasync?: () => unknown;
  readonly afterDatasync?: () => unknown;
}

function watched(file: StorageFile, hooks: Hooks): StorageFile {
  return {
    path: file.path,
    readAt: (into, position) => {
      hooks.readAt?.();
      return file.readAt(into, position);
    },
    writeAt: (bytes, position) => {
      hooks.writeAt?.();
      return file.writeAt(bytes, position);
    },
    writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
    datasync: () => {
      hooks.datasync?.();
      file.datasync();
      hooks.afterDatasync?.();
    },
    datasyncAsync: () => file.datasyncAsync(),
    size: () => file.size(),
    close: () => file.close(),
  };
}
