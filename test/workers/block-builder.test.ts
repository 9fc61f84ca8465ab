/** The content of a block, byte for byte as docs/format.md shows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockBuilder } from '../../src/workers/block-builder.ts';
import { entryOf, put, tombstone } from '../helpers/tables.ts';

test('BlockBuilder writes the example of docs/format.md, also when its buffer is used again', () => {
  const builder = new BlockBuilder(16, 4096);
  for (let round = 0; round < 2; round++) {
    assert.ok(builder.isEmpty);
    builder.add(entryOf(put('alpha', 12, '1')), 0, 2);
    builder.add(entryOf(tombstone('alpha', 11)), 5, 1);
    builder.add(entryOf(put('alps', 10, '2')), 3, 0);
    const size = builder.contentBytes;
    const content = Buffer.from(builder.finish());
    assert.equal(content.length, size);
    assert.equal(
      content.toString('hex'),
      '0005010102616c70686131' + '0500000001' + '03010101007332' + '00000000' + '01000000',
    );
  }
});

test('BlockBuilder starts over every restartInterval entries, and grows for long values', () => {
  const builder = new BlockBuilder(2, 64);
  for (let i = 0; i < 5; i++) builder.add(entryOf(put(`key ${i}`, 1, 'v'.repeat(1000))), i === 0 ? 0 : 4, 0);
  const content = builder.finish();
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  assert.equal(view.getUint32(content.length - 4, true), 3);
  for (const [i, position] of [16, 12, 8].entries()) {
    const restart = view.getUint32(content.length - position, true);
    assert.deepEqual([...content.subarray(restart, restart + 2)], [0, 5], `restart ${i} has its whole key`);
  }
});
