/**
 * Whole table files against mutations with the checksums of footer, meta block or a block made right again: the reader, its
 * lookups through bloom filter and index, and repair's search for blocks. (Blocks, payloads and meta blocks by themselves
 * are fuzzed in test/shared/table/table-fuzz.test.ts.)
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../src/shared/base/entry.ts';
import { fileNumber } from '../../src/shared/base/ids.ts';
import type { FileSystem } from '../../src/shared/files/file-system.ts';
import { hashKey } from '../../src/shared/table/bloom-filter.ts';
import { FOOTER_BYTES } from '../../src/shared/table/format.ts';
import { TableIterator } from '../../src/shared/table/table-iterator.ts';
import { TableReader } from '../../src/shared/table/table-reader.ts';
import { ControlBlock } from '../../src/shared/threads/control-block.ts';
import { JobOutputs } from '../../src/workers/job-outputs.ts';
import { salvage } from '../../src/workers/salvage.ts';
import { fuzz, mutate, onlyCorruption } from '../helpers/fuzz.ts';
import { MemoryFile } from '../helpers/memory-file.ts';
import type { Random } from '../helpers/rng.ts';
import { metaOf, resealFooter, withMeta } from '../helpers/table-surgery.ts';
import {
  buildTable,
  collect,
  openTable,
  put,
  type Row,
  sourceOf,
  TABLE_NUMBER,
  TABLE_OPTIONS,
  utf8,
} from '../helpers/tables.ts';

function randomTable(random: Random): { readonly bytes: Uint8Array; readonly rows: Row[] } {
  const rows = Array.from({ length: random.between(1, 80) }, (_, i) =>
    put(`k${String(1000 + i * 7)}`, 100 + i, random.bytes(random.below(40))),
  );
  const compression = random.pick(['none', 'snappy'] as const);
  return { bytes: buildTable(rows, { blockSizeBytes: 200, compression }).bytes, rows };
}

function changed(bytes: Uint8Array, random: Random): Uint8Array {
  const choice = random.below(3);
  if (choice === 0) return mutate(bytes, random);
  if (choice === 1) return withMeta(bytes, mutate(metaOf(bytes), random));
  const footer = mutate(bytes.subarray(bytes.length - FOOTER_BYTES), random);
  if (footer.length !== FOOTER_BYTES) return mutate(bytes, random);
  const copy = bytes.slice();
  copy.set(footer, bytes.length - FOOTER_BYTES);
  // The magic says whose checksum to compare.
  copy.set(bytes.subarray(bytes.length - 8), bytes.length - 8);
  return resealFooter(copy);
}

test('TableReader and lookup meet damaged files with CorruptionError only, checksums being right', (t) => {
  const entry = new Entry();
  fuzz(t, (random) => {
    const { bytes } = randomTable(random);
    const mutant = changed(bytes, random);
    return onlyCorruption(() => {
      const reader = openTable(mutant);
      const key = utf8(`k${random.below(3000)}`);
      reader.lookup(key, hashKey(key, 0, key.length), random.below(300), entry);
      assert.ok(collect(new TableIterator(reader)).length <= mutant.length);
    });
  });
});

test('a footer that claims a meta block anywhere costs no more than the file', (t) => {
  fuzz(t, (random) => {
    const { bytes } = randomTable(random);
    const copy = bytes.slice();
    const at = copy.length - FOOTER_BYTES;
    for (let i = 0; i < 20; i++) if (random.chance(0.4)) copy[at + i] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
    resealFooter(copy);
    return onlyCorruption(() => void TableReader.open(sourceOf(copy), { number: TABLE_NUMBER }));
  });
});

/** A directory that holds one table, and takes one. */
function directoryOf(bytes: Uint8Array): { readonly fs: FileSystem; readonly output: MemoryFile } {
  const output = new MemoryFile('/db/000099.sst');
  const partial: Partial<FileSystem> = {
    openRead: (path) => new MemoryFile(path, bytes),
    createExclusive: () => output,
    syncDirectory: () => undefined,
    unlink: () => undefined,
  };
  return { fs: partial as FileSystem, output };
}

test('salvage copies only what was written, with its sequence numbers, whatever it is given', (t) => {
  const control = new ControlBlock().buffer;
  fuzz(t, (random) => {
    const { bytes, rows } = randomTable(random);
    const isForged = random.chance(0.2);
    const mutant = isForged ? changed(bytes, random) : mutate(bytes, random);
    const { fs, output } = directoryOf(mutant);
    const isTold = random.chance(0.5);
    const job = {
      kind: 'salvage' as const,
      directory: '/db',
      fileSystem: undefined,
      control,
      slot: 0,
      file: '000007.sst',
      number: TABLE_NUMBER,
      sequences: isTold ? { smallest: 100, largest: 99 + rows.length, rangeDeletes: 0 } : undefined,
      output: fileNumber(99),
      table: TABLE_OPTIONS,
    };
    return onlyCorruption(() => {
      const result = salvage(job, fs, new JobOutputs(fs, '/db'));
      const copied =
        result.output === undefined
          ? []
          : collect(new TableIterator(openTable(output.content, {}, fileNumber(99))));
      assert.equal(copied.length, result.output === undefined ? 0 : result.entryCount);
      if (isForged) return;
      const known = new Set(rows.map((row) => show(row)));
      for (const row of copied) assert.ok(known.has(show(row)), 'an entry that was never written');
      // An empty file has lost all of itself in no bytes.
      if (result.sound === undefined && copied.length < rows.length)
        assert.ok(result.damage.length > 0, 'a loss without a word');
    });
  });
});

function show(row: Row): string {
  return `${Buffer.from(row.key).toString('hex')}@${row.sequence}:${row.kind}=${Buffer.from(row.value).toString('hex')}`;
}
