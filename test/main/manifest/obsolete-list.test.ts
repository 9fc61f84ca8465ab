/** The list of what may be deleted: a file is on it until its deletion is durable, and a log that was never made is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObsoleteLog, ObsoleteTable } from '../../../src/main/manifest/manifest-state.ts';
import { ObsoleteList } from '../../../src/main/manifest/obsolete-list.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';

const tables = (...values: number[]): ObsoleteTable[] =>
  values.map((number) => ({ number, sizeBytes: number, checksum: 10 * number }));
const logs = (...values: number[]): ObsoleteLog[] =>
  values.map((number) => ({ number, firstGroup: 10 * number }));
const NOTHING = { obsoleteTables: [], obsoleteLogs: [], obsoletePages: [] };

/** A manifest with what the list says is put in force. */
function publish(
  list: ObsoleteList,
  removed: ObsoleteTable[] = [],
  logNumber = 0,
): ReturnType<ObsoleteList['after']> {
  const lists = list.after(removed, logNumber);
  list.published(list.publicationBegins(), lists);
  return lists;
}

test('a table that was removed is listed until a publication that began after its deletion is over', () => {
  const list = new ObsoleteList(NOTHING, []);
  assert.deepEqual(publish(list, tables(7, 3)).obsoleteTables, tables(3, 7));
  assert.deepEqual(publish(list).obsoleteTables, tables(3, 7), 'not deleted');
  list.noteDeleted(fileNumber(3));
  assert.deepEqual(publish(list).obsoleteTables, tables(3, 7), 'this one makes the deletion durable');
  assert.deepEqual(publish(list).obsoleteTables, tables(7));
});

test('a deletion in the midst of a publication is not made durable by it', () => {
  const list = new ObsoleteList(NOTHING, []);
  const lists = list.after(tables(3), 0);
  const publication = list.publicationBegins();
  list.noteDeleted(fileNumber(3));
  list.published(publication, lists);
  assert.deepEqual(publish(list).obsoleteTables, tables(3));
  assert.deepEqual(publish(list).obsoleteTables, []);
});

test('an edit that fails changes nothing', () => {
  const list = new ObsoleteList(NOTHING, logs(1));
  list.after(tables(3), 5);
  assert.deepEqual(list.after([], 0), NOTHING);
});

test('logs are obsolete once logNumber passes them, those from before the opening as well', () => {
  const list = new ObsoleteList({ ...NOTHING, obsoleteTables: tables(9), obsoleteLogs: logs(1) }, logs(4, 5));
  list.noteLog(fileNumber(8), () => 80);
  list.noteLog(fileNumber(6), () => 60);
  assert.deepEqual(publish(list, [], 6), {
    ...NOTHING,
    obsoleteTables: tables(9),
    obsoleteLogs: logs(1, 4, 5),
  });
  for (const number of [1, 4, 5, 9]) list.noteDeleted(fileNumber(number));
  publish(list, [], 9);
  assert.deepEqual(publish(list, [], 9), { ...NOTHING, obsoleteLogs: logs(6, 8) });
});

test('the number of a log that was never made may become a table of the store', () => {
  const list = new ObsoleteList(NOTHING, []);
  list.noteLog(fileNumber(4), () => 40);
  list.forgetLog(fileNumber(4));
  assert.deepEqual(publish(list, [], 10).obsoleteLogs, []);
});
