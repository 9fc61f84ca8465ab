/**
 * A cold child process: measures one row on one store, see cold-task.ts for what is said to and fro.
 *
 *   rehearse on a small store  ->  'ready', and wait for 'go'  ->  measure
 *
 * The rehearsal is before the limits, so that the disk is asked for data alone: what is measured is a process that has been
 * running.
 */
import { READY } from '../children.ts';
import { measure, rehearse } from './cold-measure.ts';
import { chooseRows } from './cold-rows.ts';
import type { ColdReply, ColdTask } from './cold-task.ts';

async function carryOut(task: ColdTask): Promise<ColdReply> {
  const row = chooseRows([task.row])[0]!;
  await rehearse(task, row);
  const go = new Promise<void>((resolve) => process.once('message', () => resolve()));
  process.send!(READY);
  await go;
  return { kind: 'measured', measurement: await measure(task, row) };
}

/** A parent that is gone will not clean up after us, and nobody waits for the result. */
process.on('disconnect', () => process.exit(1));
process.once('message', (task: ColdTask) => {
  void carryOut(task)
    .catch((error: unknown): ColdReply => {
      return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
    })
    .then((reply) => process.send!(reply, () => process.exit(0)));
});
