/**
 * Notices a job that gives no sign of life: its worker hangs, and would keep a flush, and with it all writers, for ever.
 *
 *   ten times per limit   look at the job's heartbeat (control-block.ts); ten looks in a row that see no change: stalled
 *
 * A slow job is not a stalled one. Jobs beat every few blocks, so what must fit into the limit is one file operation: the
 * longest is to write and sync one value of 256 MiB, and takes a disk at 0.2 MB/s 22 minutes.
 *
 * Invariants: looks are counted, not time: while the process was stopped (SIGSTOP, a debugger, a laptop asleep) its jobs
 *             were, too, and nobody looked. The timer never keeps the process alive.
 * Thread:     main.
 * Not chosen: a limit for the whole job: a compaction may honestly take hours.
 *             Running the job again without ending its thread: it might come back and write into a store that has been
 *             closed, and belongs to somebody else.
 */
import { clearInterval, setInterval } from '../../shared/base/timers.ts';

/** Without a beat. Far above anything seen, as a hang that ends itself is cheaper than a living job that is killed. */
export const STALL_LIMIT_MS: number = 30 * 60_000;
const LOOKS = 10;

/** One look at a heartbeat: ten that see no change call `onStall`, and each ten after that. */
export function lookForLife(heartbeat: () => number, onStall: () => void): () => void {
  let last = heartbeat();
  let unchanged = 0;
  return () => {
    const now = heartbeat();
    unchanged = now === last ? unchanged + 1 : 0;
    last = now;
    if (unchanged < LOOKS) return;
    unchanged = 0;
    onStall();
  };
}

/**
 * Calls `onStall` when `heartbeat` has been the same for `limitMs`, and again each time after that. The returned function
 * ends the watch.
 */
export function watchJob(heartbeat: () => number, limitMs: number, onStall: () => void): () => void {
  const timer = setInterval(lookForLife(heartbeat, onStall), limitMs / LOOKS).unref();
  return () => clearInterval(timer);
}
