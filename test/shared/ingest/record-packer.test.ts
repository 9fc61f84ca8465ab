/** RecordPacker: what is added is in the chunks, in its order; what is refused leaves no trace. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IngestChunk } from '../../../src/shared/ingest/chunk.ts';
import { RecordPacker } from '../../../src/shared/ingest/record-packer.ts';
import { RecordTable } from '../../../src/shared/ingest/record-sort.ts';
import { failsWith } from '../../helpers/engines.ts';

function keysOf(chunk: IngestChunk | undefined): string[] {
  const { records, recordBytes, recordCount } = chunk!.packed;
  const { bytes, keyStarts, keyEnds } = new RecordTable(new Uint8Array(records, 0, recordBytes), recordCount);
  return Array.from({ length: recordCount }, (_, i) =>
    Buffer.from(bytes.slice(keyStarts[i]!, keyEnds[i]!)).toString(),
  );
}

test('RecordPacker fills a chunk, and the next one once that is taken', () => {
  const packer = new RecordPacker(64);
  assert.deepEqual([packer.add('a', 'x'.repeat(20)), packer.addRecord(['b', 'y'])], [true, true]);
  assert.equal(packer.add('c', 'z'.repeat(30)), false);
  const first = packer.takeChunk();
  assert.deepEqual(keysOf(first), ['a', 'b']);
  assert.equal(first!.packed.isSorted, true);
  packer.giveBack(first!);
  assert.equal(packer.add('c', 'z'.repeat(30)), true);
  assert.equal(packer.add('b', ''), true);
  const second = packer.takeChunk();
  assert.equal(second, first, 'the chunk that came back');
  assert.deepEqual(keysOf(second), ['c', 'b']);
  assert.equal(second!.packed.isSorted, false);
  assert.equal(packer.takeChunk(), undefined);
  assert.deepEqual([packer.recordCount, packer.byteCount], [4, 55]);
});

test('RecordPacker makes a chunk of its own for a record that fits none, and does not keep it', () => {
  const packer = new RecordPacker(64);
  assert.equal(packer.add('large', 'x'.repeat(1000)), true);
  const large = packer.takeChunk()!;
  packer.giveBack(large);
  assert.equal(packer.add('small', ''), true);
  assert.equal(packer.takeChunk()!.capacityBytes, 64);
});

test('RecordPacker refuses what is no record, and says which one it is', async () => {
  const packer = new RecordPacker(1024);
  packer.add('a', '1');
  for (const record of [7, undefined, 'ab', ['a'], ['a', 'b', 'c'], ['a', 7], ['x'.repeat(65_537), '']]) {
    const error = await failsWith('STRATA_INVALID_ARGUMENT', () => packer.addRecord(record));
    assert.match(error.message, /record 2 of an ingest/);
  }
  packer.add('b', '2');
  assert.deepEqual(keysOf(packer.takeChunk()), ['a', 'b']);
});
