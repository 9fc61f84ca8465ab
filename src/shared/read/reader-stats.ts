/**
 * What a thread that reads tables counts, in the form of stats(): the same for the owner and for a client.
 *
 * Thread: any; each has its own numbers.
 */
import type { BlockCache } from '../table/block-cache.ts';
import type { TableCache } from './table-cache.ts';

export interface ReaderStats {
  /** This thread's block cache; `bytes` now. A hit or miss is one block asked for. */
  readonly cache: {
    readonly bytes: number;
    readonly capacityBytes: number;
    readonly hits: number;
    readonly misses: number;
  };
  /** How often a filter was asked, and how often it spared a read. */
  readonly bloom: { readonly checks: number; readonly rejections: number };
  /** Blocks read from files, by this thread's reads and scans. Jobs are not counted. */
  readonly blockReads: { readonly count: number; readonly bytes: number };
}

export function readerStats(
  { counters }: TableCache,
  blocks: BlockCache,
  capacityBytes: number,
): ReaderStats {
  return {
    cache: { bytes: blocks.sizeBytes, capacityBytes, hits: blocks.hits, misses: blocks.misses },
    bloom: { checks: counters.bloomChecks, rejections: counters.bloomRejections },
    blockReads: { count: counters.blockReads, bytes: counters.blockBytesRead },
  };
}
