/**
 * Tables that are closed to make room for others: whoever still reads them can, and nobody reads one that is closed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_IN_FLIGHT } from '../../src/shared/disk/disk.ts';
import { coldStore, READERS } from '../helpers/cold-disk.ts';
import { keyOf, until, valueFor } from '../helpers/engines.ts';

const COUNT = 2000;
/** More keys than a table has. */
const TABLE_KEYS = 25;
const PAST = { fillCache: false };

for (const kind of READERS) {
  test(`${kind}: a table that was used again after it had to make room, and is closed then, is opened anew`, async (t) => {
    const { reader } = await coldStore(t, kind, COUNT, { maxOpenFiles: 8 }, 400);
    const scan = reader.scan({ gte: keyOf(0), ...PAST });
    assert.equal(scan.nextMany(1)[0]?.[0].toString(), keyOf(0));
    for (let i = 1; i <= 20; i++) reader.getSync(keyOf(i * TABLE_KEYS), PAST);
    // Out of the table that only the scan keeps open.
    assert.equal(String(reader.getSync(keyOf(1), PAST)), valueFor(1, 400));
    scan.close();
    assert.equal(String(reader.getSync(keyOf(2), PAST)), valueFor(2, 400));
    assert.equal(String(await reader.get(keyOf(3), PAST)), valueFor(3, 400));
  });

  test(`${kind}: more tables are opened in one step than may be open: each is read by who had it opened`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT, { maxOpenFiles: 8 }, 400);
    const count = 3 * MAX_IN_FLIGHT;
    for (const held of ['read', 'open'] as const) {
      const release = disk.hold(held);
      const values = Promise.all(
        Array.from({ length: count }, (_, i) => reader.get(keyOf(i * TABLE_KEYS), PAST)),
      );
      await until(() => disk.underWay === MAX_IN_FLIGHT);
      release();
      assert.deepEqual(
        (await values).map(String),
        Array.from({ length: count }, (_, i) => valueFor(i * TABLE_KEYS, 400)),
      );
      await until(() => disk.underWay === 0);
      assert.ok(disk.openFiles <= 8, `${disk.openFiles} are open`);
    }
  });
}
