/** IngestLatch: the owner sees a client that writes, or the client sees that it may not; and files are counted before they are
 * made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IngestLatch } from '../../../src/shared/ingest/latch.ts';

test('IngestLatch lets a client in until the load has ended, and counts each time', () => {
  const owner = new IngestLatch();
  const client = new IngestLatch(owner.buffer);
  for (let count = 1; count <= 3; count++) {
    assert.equal(client.enter(), true);
    assert.deepEqual([owner.isWriting, owner.hasEnded, owner.usedCount], [true, false, count]);
    client.leave();
    assert.equal(owner.isWriting, false);
  }
  owner.end();
  owner.end();
  assert.equal(client.enter(), false);
  assert.deepEqual([client.hasEnded, owner.isWriting, owner.usedCount], [true, false, 3]);
});

test('IngestLatch that is ended while the client writes: it is seen until it has left, and does not come back', () => {
  const owner = new IngestLatch();
  const client = new IngestLatch(owner.buffer);
  client.enter();
  owner.end();
  assert.deepEqual([client.hasEnded, owner.isWriting], [true, true]);
  client.leave();
  assert.deepEqual([client.hasEnded, owner.isWriting, client.enter()], [true, false, false]);
});
