/**
 * A would-be owner of a store, in a process, cluster worker or thread of its own. It does what it is told and says how that
 * went; whoever holds the store has counted itself in it, durably against its own death.
 *
 *   argv or workerData   path of the store, URL of the package's entry (without: the one under test)
 *   'open'               answers { outcome: 'held', count, elapsedMs } or { outcome: <error code>, message }
 *   'read'               opens it read-only, beside whatever it holds; answers { outcome: 'done', count: its records }
 *   'close'              answers { outcome: 'closed' }
 *   'put FIRST COUNT'    that many keys kFIRST.., each durable; answers { outcome: 'done', count } or the first error's code
 *   'flush', 'compact'   answers { outcome: 'done' } or the error's code
 *   'spawn'              starts a process that outlives this one and inherits what a child inherits; answers its pid
 *
 * Invariants: says 'ready' when everything is loaded, so that an 'open' races with nothing but other opens.
 */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type * as Package from '../../src/main/index.ts';

export interface Answer {
  readonly outcome: string;
  readonly message?: string;
  /** How many owners have held the store so far, this one included. */
  readonly count?: number;
  readonly elapsedMs?: number;
  readonly pid?: number | undefined;
}

interface Task {
  readonly path: string;
  readonly entry?: string | undefined;
}

const THIS_PACKAGE = new URL(`../../src/main/index${extname(import.meta.url)}`, import.meta.url).href;
const task: Task =
  parentPort === null ? { path: process.argv[2]!, entry: process.argv[3] } : (workerData as Task);
const entry: string = task.entry ?? THIS_PACKAGE;
const { StorageEngine, StorageError }: typeof Package = await import(entry);
// Else the first open() would load it.
await import(new URL(`./engine-core${extname(entry)}`, entry).href);
let engine: Package.StorageEngine | undefined;

function say(answer: Answer): void {
  if (parentPort === null) process.send!(answer);
  else parentPort.postMessage(answer);
}

async function open(): Promise<Answer> {
  const startedAt = performance.now();
  try {
    engine = await StorageEngine.open(task.path, { threads: 1, writeBufferSize: 16_384 });
    const elapsedMs = performance.now() - startedAt;
    const count = Number(engine.getSync('count') ?? 0) + 1;
    await engine.put('count', String(count));
    return { outcome: 'held', count, elapsedMs };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return { outcome: error.code, message: error.message };
  }
}

async function answerOf(work: () => Promise<unknown>): Promise<Answer> {
  try {
    const count = await work();
    return { outcome: 'done', count: typeof count === 'number' ? count : 0 };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    const causes: string[] = [];
    for (let at: unknown = error; at instanceof Error; at = at.cause) causes.push(at.message);
    return { outcome: error.code, message: causes.join('; ') };
  }
}

async function putMany(first: number, count: number): Promise<number> {
  for (let i = first; i < first + count; i++) await engine!.put(`k${i}`, String(i), { sync: true });
  return count;
}

async function countRecords(): Promise<number> {
  const reader = await StorageEngine.open(task.path, { readOnly: true, threads: 0 });
  const count = [...reader.scan()].length;
  await reader.close();
  return count;
}

async function obey(order: unknown): Promise<Answer> {
  if (order === 'open') return await open();
  if (order === 'read') return await answerOf(countRecords);
  if (order === 'close') {
    await engine?.close();
    return { outcome: 'closed' };
  }
  const [verb, first, count] = String(order).split(' ');
  if (verb === 'put') return await answerOf(() => putMany(Number(first), Number(count)));
  if (verb === 'flush') return await answerOf(() => engine!.flush());
  if (verb === 'compact') return await answerOf(() => engine!.compact());
  if (order === 'spawn') {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
    return { outcome: 'spawned', pid: child.pid };
  }
  throw new Error(`no such order: ${String(order)}`);
}

const orders = parentPort ?? process;
orders.on('message', (order: unknown) => {
  void obey(order).then(say);
});
// An owner without a parent has nobody to answer to.
process.on('disconnect', () => process.exit());
say({ outcome: 'ready' });
