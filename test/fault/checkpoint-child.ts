/**
 * The child of the kill test of checkpoint(): opens a store, and is killed at the n-th operation on the disk that its checkpoint
 * makes.
 */
import { openEngine } from '../../src/main/engine.ts';
import { TINY } from '../helpers/engines.ts';
import { armedKill } from '../helpers/recording-file-system.ts';

interface ChildOptions {
  readonly path: string;
  readonly target: string;
  readonly killAfter: number;
}

const { path, target, killAfter } = JSON.parse(process.argv[2]!) as ChildOptions;
const kill = armedKill();
const engine = await openEngine(path, { ...TINY, threads: 0 }, { fileSystem: kill.spec });
await engine.flush();
kill.arm(killAfter);
await engine.checkpoint(target);
await engine.close();
