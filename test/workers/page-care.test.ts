/**
 * What a compaction leaves in the page cache, told by what it gives up of files of which a test says what memory has.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { TableInfo } from '../../src/shared/base/version-edit.ts';
import type { FileSystem, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { runJob } from '../../src/workers/run-job.ts';
import { type ArrayEntry, put } from '../helpers/array-iterator.ts';
import { JobStore } from '../helpers/job-store.ts';

const PAGE_BYTES = 4096;
const INPUT = '000001.sst';

/** Pages of files that were given up, by name. */
type GivenUp = Map<string, Set<number>>;

/** The real disk, with a page cache that has of each file what `has` says. */
function fileSystemWith(
  has: (page: number, pageCount: number) => boolean,
  givenUp: GivenUp,
  notAhead: Set<string>,
): FileSystem {
  const watched = (file: StorageFile): StorageFile => {
    const name = file.path.slice(file.path.lastIndexOf('/') + 1);
    const pageCount = (): number => Math.ceil(file.size() / PAGE_BYTES);
    return {
      path: file.path,
      readAt: (into, position) => file.readAt(into, position),
      writeAt: (bytes, position) => file.writeAt(bytes, position),
      writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
      datasync: () => file.datasync(),
      datasyncAsync: () => file.datasyncAsync(),
      size: () => file.size(),
      map: () => ({
        bytes: new Uint8Array(0),
        pages: {
          pageBytes: PAGE_BYTES,
          residentPages: (first, count, pages) => {
            for (let i = 0; i < count; i++) pages[i] = has(first + i, pageCount()) ? 1 : 0;
            return pages.subarray(0, count).reduce((sum, page) => sum + page, 0);
          },
        },
        unmap: () => undefined,
      }),
      noReadAhead: () => void notAhead.add(name),
      giveUpPages: (position, byteLength) => {
        const pages = givenUp.get(name) ?? new Set();
        givenUp.set(name, pages);
        for (let at = Math.ceil(position / PAGE_BYTES); (at + 1) * PAGE_BYTES <= position + byteLength; at++)
          pages.add(at);
      },
      close: () => file.close(),
    };
  };
  return {
    ...nodeFileSystem,
    openRead: (path) => watched(nodeFileSystem.openRead(path)),
    createExclusive: (path) => watched(nodeFileSystem.createExclusive(path)),
  };
}

function entries(count: number): ArrayEntry[] {
  // Digits of products don't repeat, so a table is about as large as its values.
  const textFor = (i: number): string =>
    Array.from({ length: 250 }, (_, j) =>
      (((i + 1) * 7919 * (j + 31)) % 2 ** 32).toString(36).padStart(7, '0'),
    ).join('');
  return Array.from({ length: count }, (_, i) => put(`key${String(i).padStart(6, '0')}`, i + 1, textFor(i)));
}

interface Compacted {
  readonly pageCount: number;
  /** Pages of the input that were given up, ascending. */
  readonly input: readonly number[];
  readonly output: readonly number[];
  readonly outputPageCount: number;
  /** Whether the system was told not to read ahead of the input. */
  readonly isOnDemand: boolean;
}

function compact(t: TestContext, has: (page: number, pageCount: number) => boolean, count = 5000): Compacted {
  const store = new JobStore(t);
  const table: TableInfo = store.writeTable(1, entries(count));
  const givenUp: GivenUp = new Map();
  const job = store.compactJob([[table]], { maxFileSizeBytes: 2 ** 30 });
  const notAhead = new Set<string>();
  const reply = runJob(job, fileSystemWith(has, givenUp, notAhead));
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.ok('outputs' in reply.value && reply.value.outputs[0]);
  const pagesOf = (name: string): number[] => [...(givenUp.get(name) ?? [])].sort((a, b) => a - b);
  const others = [...givenUp.keys()].filter((name) => name !== INPUT);
  return {
    pageCount: Math.floor(table.sizeBytes / PAGE_BYTES),
    input: pagesOf(INPUT),
    output: others.flatMap(pagesOf),
    isOnDemand: notAhead.has(INPUT),
    outputPageCount: Math.floor(reply.value.outputs[0].sizeBytes / PAGE_BYTES),
  };
}

test('of a cold table nothing stays but the end of the output, which is read when it is opened', (t) => {
  const { pageCount, input, output, outputPageCount, isOnDemand } = compact(t, () => false);
  assert.equal(isOnDemand, true, 'what the system reads ahead pushes out as much');
  assert.ok(pageCount > 1200, `${pageCount} pages are too few for this`);
  assert.ok(input.length > 0.98 * pageCount, `${input.length} of ${pageCount}`);
  assert.ok(output.length > 0.6 * outputPageCount, `${output.length} of ${outputPageCount}`);
  assert.ok(output.at(-1)! < outputPageCount - 250, 'the end stays');
});

test('of a table that is in memory everything stays', (t) => {
  const { input, output, isOnDemand } = compact(t, () => true);
  assert.deepEqual([input, output, isOnDemand], [[], [], false]);
});

test('what is in memory of a table stays, page by page, and so does what is made of it', (t) => {
  const isWarm = (page: number, pageCount: number): boolean => page < pageCount / 2 || page % 50 === 0;
  const { pageCount, input, output, outputPageCount } = compact(t, isWarm);
  assert.ok(input.length > 0.45 * pageCount);
  assert.deepEqual(
    input.filter((page) => isWarm(page, pageCount + 1)),
    [],
  );
  assert.ok(output.length > 0 && output[0]! > 0.4 * outputPageCount, `from page ${output[0]} on`);
});

test('what was read among much that was not stays as output, too', (t) => {
  const { output } = compact(t, (page) => page % 7 === 0);
  assert.deepEqual(output, []);
});

test('small tables are not asked for: nothing is given up', (t) => {
  const { input, output } = compact(t, () => false, 500);
  assert.deepEqual([input, output], [[], []]);
});
