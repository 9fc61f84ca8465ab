/**
 * The block cache: decompressed, verified blocks, least recently used out first, bounded in bytes. The only importer of
 * lru-cache.
 *
 * Keys are small integers: each opened table gets a run of consecutive ids, never reused, so a table that is closed and
 * opened again starts cold. Readers find their kept blocks without asking here; the cache orders them by a sample of the
 * hits, and tells each block when it has to go.
 *
 * Thread: any; each has its own.     Owns: the cached blocks.
 */
import { LRUCache } from 'lru-cache';
import type { Block } from '../table/block.ts';
import type { BlockCache } from '../table/table-reader.ts';

/** What a block costs besides its bytes: the entry in the cache's arrays and map. */
const ENTRY_OVERHEAD_BYTES = 64;
/** A cache this close to its capacity counts as full: each new block pushes an old one out. */
const FULL_MARGIN_BYTES = 65536;
/** Of the blocks that lookups miss in a full cache, one in so many is kept. */
const ADMIT_ONE_OF = 16;
/** Of the hits, one in so many counts as a use. */
const TOUCH_ONE_OF = 16;
/** V8's small integers; beyond, keys become doubles. Reached after 2^30 blocks were opened, when ids start over. */
const MAX_ID: number = 2 ** 30;

export class LruBlockCache implements BlockCache {
  readonly #blocks: LRUCache<number, Block> | undefined;
  readonly #fullBytes: number;
  #nextId = 1;
  #sinceAdmitted = 0;
  #sinceTouch = 0;
  hits = 0;
  misses = 0;

  /** `capacityBytes` 0 caches nothing. */
  constructor(capacityBytes: number) {
    this.#fullBytes = capacityBytes - FULL_MARGIN_BYTES;
    this.#blocks =
      capacityBytes === 0
        ? undefined
        : new LRUCache<number, Block>({
            maxSize: capacityBytes,
            sizeCalculation: (block) => block.memoryBytes + ENTRY_OVERHEAD_BYTES,
            dispose: (block) => block.evict?.(),
          });
  }

  get sizeBytes(): number {
    return this.#blocks?.calculatedSize ?? 0;
  }

  allocate(blockCount: number): number {
    if (this.#nextId + blockCount > MAX_ID) {
      this.#blocks?.clear();
      this.#nextId = 1;
    }
    const first = this.#nextId;
    this.#nextId += blockCount;
    return first;
  }

  hit(id: number): void {
    this.hits++;
    // Moving a block to the front costs more than finding it. A block that matters is hit often enough to be moved.
    if (++this.#sinceTouch >= TOUCH_ONE_OF) {
      this.#sinceTouch = 0;
      this.#blocks?.get(id);
    }
  }

  miss(): void {
    this.misses++;
  }

  set(id: number, block: Block): boolean {
    this.#blocks?.set(id, block);
    return this.#blocks?.peek(id) === block;
  }

  admits(): boolean {
    if (this.#blocks === undefined) return false;
    if (this.#blocks.calculatedSize < this.#fullBytes) return true;
    // Every so-manieth in turn: as good as chance, and the same in every run.
    this.#sinceAdmitted = (this.#sinceAdmitted + 1) % ADMIT_ONE_OF;
    return this.#sinceAdmitted === 0;
  }

  clear(): void {
    this.#blocks?.clear();
  }
}
