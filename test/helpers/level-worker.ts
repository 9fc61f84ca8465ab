/**
 * A thread that has a StrataLevel open beside others, for test/level/level-process.test.ts: does what it is told, one message
 * at a time, and answers with the result.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { StrataLevel } from '../../src/level/index.ts';

const { directory } = workerData as { readonly directory: string };
/** Made by the first call: a database opens itself. */
let made: StrataLevel | undefined;

type Call =
  | readonly ['open' | 'close' | 'count']
  | readonly ['put' | 'putMany', string, string]
  | readonly ['get' | 'getSync', string];

async function answer(call: Call): Promise<unknown> {
  made ??= new StrataLevel(directory, { multithreading: true });
  const db = made;
  switch (call[0]) {
    case 'open':
    case 'close':
      await db[call[0]]();
      return db.status;
    case 'put':
      await db.put(call[1], call[2]);
      return undefined;
    case 'putMany': {
      const puts: Promise<void>[] = [];
      for (let i = 0; i < 500; i++) puts.push(db.put(`${call[1]}${i}`, call[2]));
      await Promise.all(puts);
      return undefined;
    }
    case 'get':
      return await db.get(call[1]);
    case 'getSync':
      return db.getSync(call[1]);
    case 'count':
      return (await db.keys().all()).length;
  }
}

parentPort!.on('message', (call: Call) => {
  answer(call).then(
    (result) => parentPort!.postMessage({ result }),
    (error: Error & { code?: string; cause?: { code?: string } }) =>
      parentPort!.postMessage({ code: error.code, cause: error.cause?.code, message: error.message }),
  );
});
