/**
 * An application in a process of its own: opens a store, does something with it, and is through. Run by process-exit.test.ts.
 *
 *   node engine-child.js <path> <behaviour>
 */
import { writeSync } from 'node:fs';
import { StorageEngine, WriteBatch } from '../../src/main/index.ts';

const [path = '', behaviour = ''] = process.argv.slice(2);
const say = (text: string): void => {
  writeSync(1, `${text}\n`);
};
const engine = await StorageEngine.open(path, {
  writeBufferSize: 4096,
  threads: behaviour === 'inline' ? 0 : 1,
});

/** Enough for several flushes and a compaction. */
async function write(count: number): Promise<void> {
  for (let i = 0; i < count; i += 20) {
    const batch = new WriteBatch();
    for (let j = i; j < i + 20; j++) batch.put(`key-${String(j).padStart(6, '0')}`, `value ${j}`.padEnd(60));
    await engine.write(batch);
  }
}

switch (behaviour) {
  case 'idle':
    break;
  case 'forgotten':
  case 'inline':
    // Flushes and compactions are under way when there is nothing left to do.
    await write(600);
    engine.scan().nextMany(1);
    engine.snapshot();
    break;
  case 'exit':
    await write(600);
    process.exit(0);
    break;
  case 'throw':
    await write(600);
    setImmediate(() => {
      throw new Error('the application fails');
    });
    break;
  case 'await-held': {
    // Nothing but these promises keeps the process alive.
    const writes = Array.from({ length: 600 }, (_, i) =>
      engine.put(`key-${String(i).padStart(6, '0')}`, `value ${i}`.padEnd(60)),
    );
    await Promise.all(writes);
    say('held writes are in');
    break;
  }
  case 'await-work':
    await write(100);
    await Promise.all([engine.flush(), engine.compact(), engine.verify()]);
    await engine.close();
    say('work is done');
    break;
  case 'hold':
    setInterval(() => undefined, 60_000);
    break;
  default:
    throw new Error(`no such behaviour: ${behaviour}`);
}
say('ready');
