/**
 * What a fill writes before anything is compacted: no more bytes than LevelDB's log would have, whatever the batches. The clock
 * stands: it costs 29 bytes for each millisecond in which anything is written.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WriteBatch } from '../../src/main/index.ts';
import { newPath, openWith } from '../helpers/engines.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

const KEY_BYTES = 16;
const VALUE_BYTES = 100;

/**
 * LevelDB (doc/log_format.md, db/write_batch.cc): a batch is 8 bytes of sequence and 4 of count, then per put a type, two
 * varints of one byte here, key and value. In the log it is cut at blocks of 32 KiB, each piece behind a header of 7 bytes.
 */
function levelDbLogBytes(batches: number, batchSize: number): number {
  const block = 32768;
  let size = 0;
  for (let i = 0; i < batches; i++) {
    let left = 12 + batchSize * (3 + KEY_BYTES + VALUE_BYTES);
    while (left > 0) {
      let room = block - (size % block);
      if (room < 7) {
        size += room;
        room = block;
      }
      const piece = Math.min(left, room - 7);
      size += 7 + piece;
      left -= piece;
    }
  }
  return size;
}

async function logBytes(t: TestContext, batches: number, batchSize: number): Promise<number> {
  const path = newPath(t);
  const engine = await openWith(
    t,
    path,
    { writeBufferSize: 64 << 20, threads: 0 },
    { clock: new SettableClock() },
  );
  for (let i = 0; i < batches; i++) {
    const batch = new WriteBatch();
    for (let n = 0; n < batchSize; n++) batch.put(randomBytes(KEY_BYTES), randomBytes(VALUE_BYTES));
    await engine.write(batch);
  }
  const logs = readdirSync(path).filter((name) => name.endsWith('.log'));
  assert.equal(logs.length, 1);
  return statSync(join(path, logs[0]!)).size;
}

for (const [batches, batchSize] of [
  [40, 1000],
  [200, 100],
  [2500, 1],
] as const)
  test(`batches of ${batchSize}: the log is no longer than LevelDB's`, async (t) => {
    const ours = await logBytes(t, batches, batchSize);
    const theirs = levelDbLogBytes(batches, batchSize);
    const entryBytes = batches * batchSize * (KEY_BYTES + VALUE_BYTES);
    t.diagnostic(
      `${(ours / entryBytes).toFixed(4)} bytes per byte, LevelDB ${(theirs / entryBytes).toFixed(4)}`,
    );
    assert.ok(ours <= theirs, `${ours} bytes, LevelDB ${theirs}`);
    // Whole entries are there.
    assert.ok(ours > entryBytes);
  });
