/**
 * Decodes entries of a block into a batch: see entry-batch.ts.
 *
 * Thread: any; the scratch header is used within one synchronous call.
 */

import type { Entry } from '../base/entry.ts';
import type { EntryBatch } from '../base/entry-batch.ts';
import { CorruptionError } from '../base/errors.ts';
import { type Block, EntryHeader } from './block.ts';

/** Longer keys are handed out alone: they would fill the room of a batch. */
const LONG_KEY_BYTES = 2048;
const header = new EntryHeader();

/** At most `maxRows` entries from `current` on, which lies in `block`. */
export function fillBatch(block: Block, current: Entry, batch: EntryBatch, maxRows: number): void {
  if (maxRows === 1 || current.keyEnd - current.keyStart >= LONG_KEY_BYTES) {
    batch.setOne(current);
    return;
  }
  batch.beginBlock(current);
  try {
    decodeBehind(block, current, batch, maxRows);
  } catch (error) {
    // What is intact comes out first; the move that comes to the damage meets it again.
    if (!(error instanceof CorruptionError)) throw error;
  }
}

function decodeBehind(block: Block, current: Entry, batch: EntryBatch, maxRows: number): void {
  const { bytes, entriesEnd } = block;
  let keyStart = 0;
  let keyEnd = current.keyEnd - current.keyStart;
  for (let offset = current.valueEnd; offset < entriesEnd && batch.count < maxRows; ) {
    header.read(block, offset, keyEnd - keyStart);
    const { overlap, diffStart, valueStart, valueEnd } = header;
    const nextEnd = batch.buildKey(keyStart, keyEnd, overlap, bytes, diffStart, valueStart);
    if (nextEnd < 0) return;
    keyStart = keyEnd;
    keyEnd = nextEnd;
    batch.refs[batch.count] = offset;
    batch.add(keyStart, keyEnd, valueStart, valueEnd, header.sequence, header.kind);
    offset = valueEnd;
  }
}
