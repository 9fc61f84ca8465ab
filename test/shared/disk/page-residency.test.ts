/**
 * What is believed to be in memory of a mapped file: of a made-up page table, and of real files whose pages are given up.
 */
import assert from 'node:assert/strict';
import { chownSync, closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Disk } from '../../../src/shared/disk/disk.ts';
import { PageClock, PageResidency } from '../../../src/shared/disk/page-residency.ts';
import type { PageMap } from '../../../src/shared/files/memory-map.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { systemCalls } from '../../../src/shared/files/system-calls.ts';
import { openSource } from '../../../src/shared/table/block-source.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const PAGE = 4096;
const CHUNK: number = 64 * PAGE;

class FakePages implements PageMap {
  readonly pageBytes: number = PAGE;
  readonly cold = new Set<number>();
  readonly questions: string[] = [];

  residentPages(first: number, pageCount: number, pages: Uint8Array): number {
    this.questions.push(`${first}+${pageCount}`);
    let count = 0;
    for (let i = 0; i < pageCount; i++) {
      // Only the lowest bit has a meaning.
      pages[i] = this.cold.has(first + i) ? 0xfe : 0xff;
      count += pages[i]! & 1;
    }
    return count;
  }
}

/** A file of 130 pages. */
function scene(t: TestContext): { pages: FakePages; clock: PageClock; residency: PageResidency } {
  const pages = new FakePages();
  const clock = new PageClock();
  t.after(() => clock.close());
  return { pages, clock, residency: new PageResidency(pages, 129 * PAGE + 1, clock) };
}

test('a chunk that is in memory is asked for once until the next tick', (t) => {
  const { pages, clock, residency } = scene(t);
  for (let i = 0; i < 100; i++) assert.ok(residency.has(i * 1000, 4000));
  assert.deepEqual(pages.questions, ['0+64']);
  clock.tick++;
  pages.cold.add(3);
  assert.ok(!residency.has(3 * PAGE, 1), 'what has left memory is noticed after a tick');
});

test('of a chunk that is partly in memory the pages decide that are asked for', (t) => {
  const { pages, clock, residency } = scene(t);
  for (const page of [2, 33]) pages.cold.add(page);
  assert.ok(residency.has(0, 2 * PAGE));
  assert.ok(!residency.has(0, 2 * PAGE + 1));
  assert.ok(!residency.has(2 * PAGE, 1));
  assert.ok(residency.has(3 * PAGE, 30 * PAGE));
  assert.ok(!residency.has(33 * PAGE, 1));
  assert.ok(residency.has(34 * PAGE, CHUNK - 34 * PAGE));
  pages.cold.delete(33);
  assert.ok(residency.has(33 * PAGE, 1), 'what has been read since is noticed at once');
  pages.cold.add(5);
  assert.ok(residency.has(5 * PAGE, 1), 'and what has left memory, after the tick');
  clock.tick++;
  assert.ok(!residency.has(5 * PAGE, 1));
});

test('a read across chunks needs all of them, and the last one may be short', (t) => {
  const { pages, residency } = scene(t);
  assert.ok(residency.has(CHUNK - 1, 2));
  assert.ok(residency.has(10, 129 * PAGE - 10));
  assert.deepEqual(pages.questions, ['0+64', '64+64', '128+2']);
  assert.ok(residency.has(129 * PAGE, 1));
  const other = scene(t);
  other.pages.cold.add(64);
  assert.ok(other.residency.has(CHUNK - 1, 1));
  assert.ok(!other.residency.has(CHUNK - 1, 2));
  assert.ok(!other.residency.has(10, 129 * PAGE - 10));
  assert.ok(other.residency.has(65 * PAGE, 64 * PAGE));
});

test('the clock ticks while chunks are asked for, and sooner after a cold one', async (t) => {
  const { pages, clock, residency } = scene(t);
  pages.cold.add(0);
  residency.has(0, 1);
  const { tick } = clock;
  while (clock.tick === tick) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(clock.tick, tick + 1);
});

test('of a file that belongs to somebody else the system is not believed', (t) => {
  const path = join(temporaryDirectory(t), 'file');
  writeFileSync(path, 'x'.repeat(10_000));
  const file = nodeFileSystem.openRead(path);
  const mapping = file.map?.();
  t.after(() => {
    mapping?.unmap();
    file.close();
  });
  if (mapping?.pages === undefined) return t.skip('needs koffi and Linux');
  assert.equal(mapping.pages.residentPages(0, 3, new Uint8Array(3)), 3, 'it was just written');
  if (process.geteuid?.() !== 0) return t.skip('needs root to give a file away');
  chownSync(path, 12_345, 12_345);
  const other = file.map?.();
  assert.equal(other?.pages, undefined);
  other?.unmap();
});

/** A file of 2 MiB none of which is in memory, or undefined with the test skipped. */
function coldFile(t: TestContext): string | undefined {
  const dontNeed = systemCalls()?.dontNeed;
  if (dontNeed === undefined) {
    t.skip('needs koffi and Linux to give up what memory has of a file');
    return undefined;
  }
  const path = join(temporaryDirectory(t), 'file');
  writeFileSync(path, Buffer.alloc(2 * 1024 * 1024, 'stratakv'));
  dropPages(path);
  return path;
}

function dropPages(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  systemCalls()?.dontNeed?.(fd, 0, 0);
  closeSync(fd);
}

for (const mmap of [true, false])
  test(`a real file, mmap: ${mmap}: what is not in memory is not read in the call, and then it is`, async (t) => {
    const path = coldFile(t);
    if (path === undefined) return;
    const disk = new Disk(nodeFileSystem);
    const source = openSource(nodeFileSystem.openRead(path), mmap, disk);
    t.after(() => {
      source.close();
      disk.close();
    });
    if (!isCold(path)) return t.skip('this file system keeps its files in memory');
    assert.equal(source.readNow(1_000_000, 5000), undefined);
    // Far from what was asked for, as the system reads ahead.
    const bytes = await source.readLater(1_500_003, 5000, true);
    assert.deepEqual(bytes, source.read(1_500_003, 5000).slice());
    assert.deepEqual(source.readNow(1_500_003, 5000)?.slice(), bytes);
    assert.equal(String.fromCharCode(...bytes.subarray(5, 13)), 'stratakv');
  });

/** As the system says itself. Once more if it was just writing the file back, which keeps its pages. */
function isCold(path: string): boolean {
  const file = nodeFileSystem.openRead(path);
  const mapping = file.map?.();
  try {
    const count = (): number => mapping?.pages?.residentPages(200, 64, new Uint8Array(64)) ?? 0;
    if (count() > 0) dropPages(path);
    return count() === 0;
  } finally {
    mapping?.unmap();
    file.close();
  }
}
