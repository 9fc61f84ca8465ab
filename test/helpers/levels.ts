/** Databases of StrataLevel for tests. */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { StrataLevel } from '../../src/level/index.ts';
import { temporaryDirectory } from './temp-directory.ts';

/** An open one in a directory of its own, closed after the test. */
export async function openIn(t: TestContext, options?: object): Promise<StrataLevel> {
  let db: StrataLevel | undefined;
  // Hooks run in the order in which they are made: the directory goes after this.
  t.after(() => db?.close());
  db = new StrataLevel(join(temporaryDirectory(t), 'db'), options);
  await db.open();
  return db;
}

/** Keys of one width, from 0 on, without values. */
export async function fillLevel(db: StrataLevel, count: number): Promise<void> {
  const width = String(count).length;
  await db.batch(
    Array.from({ length: count }, (_, i) => ({
      type: 'put',
      key: String(i).padStart(width, '0'),
      value: '',
    })),
  );
}
