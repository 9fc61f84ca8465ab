/**
 * A program with a StrataLevel in a process of its own, for test/level/level-process.test.ts.
 *
 *   node level-child.js <directory> lock                opens it and says with what that failed
 *   node level-child.js <directory> <step>...           goes through the steps, says the last one, and is through
 */
import { StrataLevel } from '../../src/level/index.ts';

const [directory = '', ...steps] = process.argv.slice(2);
const say = (message: unknown): void => {
  process.send!(message, () => process.disconnect());
};

async function lock(): Promise<void> {
  try {
    await new StrataLevel(directory).open();
    say({ code: 'none' });
  } catch (error) {
    const { code, message, cause } = error as Error & { code: string; cause: { code: string } };
    say({ code, message, cause: cause.code });
  }
}

async function run(): Promise<void> {
  const [last] = steps.slice(-1);
  const db = new StrataLevel(directory);
  if (steps.includes('open-error'))
    db.open({ createIfMissing: false, errorIfExists: true }).catch(() => undefined);
  if (steps.includes('open')) await db.open();
  if (steps.includes('put')) await db.put('a', '1');
  if (steps.includes('create-iterator')) {
    const iterator = db.iterator();
    if (steps.includes('nexting')) void iterator.next();
  }
  if (steps.includes('close')) void db.close();
  say(last);
}

await (steps[0] === 'lock' ? lock() : run());
