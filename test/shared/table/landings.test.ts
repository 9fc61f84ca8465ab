/**
 * Blocks on their way: read once for all who want them, and earlier when somebody waits for what was only read ahead.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskQueue, type QueueTicket } from '../../../src/shared/disk/disk-queue.ts';
import type { BlockSource } from '../../../src/shared/table/block-source.ts';
import { Landings } from '../../../src/shared/table/landings.ts';
import type { SparseIndex } from '../../../src/shared/table/sparse-index.ts';

const BLOCK_BYTES = 100;
const index = {
  blockOffset: (block: number) => block * BLOCK_BYTES,
  blockSize: () => BLOCK_BYTES,
} as unknown as SparseIndex;

/** One read at a time; `begun` has the first block and the number of blocks of each. */
class Scene {
  readonly begun: string[] = [];
  readonly landings: Landings;
  holds = 0;
  readonly #ends: (() => void)[] = [];

  constructor() {
    const queue = new DiskQueue({ poolSlots: 1 });
    const source = {
      readLater: (offset: number, length: number, isUrgent: boolean, ticket?: QueueTicket) =>
        queue.read(
          async () => {
            this.begun.push(`${offset / BLOCK_BYTES}+${length / BLOCK_BYTES}`);
            await new Promise<void>((resolve) => this.#ends.push(resolve));
            return new Uint8Array(length).fill(offset / BLOCK_BYTES);
          },
          isUrgent,
          ticket,
        ),
    } as unknown as BlockSource;
    this.landings = new Landings(source, index, () => {
      this.holds++;
      return () => this.holds--;
    });
  }

  async end(): Promise<void> {
    this.#ends.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('what is read ahead waits behind what somebody waits for, until somebody waits for it', async () => {
  const scene = new Scene();
  const { landings } = scene;
  const all = [
    landings.fetch(0, 0, true),
    landings.fetch(10, 11, false),
    landings.fetch(20, 22, false),
    landings.fetch(30, 30, true),
    // Block 21 is part of what is on its way: not read once more, but earlier.
    landings.fetch(21, 21, true),
  ];
  for (let i = 0; i < 4; i++) await scene.end();
  assert.deepEqual(scene.begun, ['0+1', '30+1', '20+3', '10+2']);
  await Promise.all(all.map(({ ready }) => ready));
  assert.equal(landings.bytesOf(21)?.length, BLOCK_BYTES);
  for (const { release } of all) release();
  assert.equal(landings.bytesOf(21), undefined);
  assert.equal(scene.holds, 0);
});

test('what nobody wants any more is not read, and the table is let go of', async () => {
  const scene = new Scene();
  const { landings } = scene;
  const first = landings.fetch(0, 0, true);
  const ahead = landings.fetch(1, 3, false);
  const same = landings.fetch(2, 2, false);
  ahead.release();
  assert.ok(scene.holds > 0, 'block 2 is wanted');
  same.release();
  await scene.end();
  await first.ready;
  first.release();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(scene.begun, ['0+1']);
  assert.equal(scene.holds, 0);
});
