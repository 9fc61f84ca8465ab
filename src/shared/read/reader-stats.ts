/**
 * What a thread that reads tables counts, in the form of stats(): the same for the owner and for a client.
 *
 * Thread: any; each has its own numbers.
 */
import type { BlockCache } from '../table/block-cache.ts';
import type { AwaitedReads } from './awaited-reads.ts';
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
  /** Reads that memory had no answer to, and that were made without holding this thread; now, unless said otherwise. */
  readonly diskReads: {
    /** Promises of get, has, getMany (one for each key, up to 64 of a call) and scans that wait for the disk. */
    readonly waiting: number;
    /** Asked for and not begun. */
    readonly queued: number;
    /** On their way from the disk: at most 10. */
    readonly underWay: number;
    /** How long the oldest of these has been so. A disk that does not answer shows here. */
    readonly longestMs: number;
    /** Begun since open. One may be of many blocks in a row. */
    readonly count: number;
    /** Threads of the store that read: at most 8, started when they are needed, ended after ten seconds of rest. */
    readonly threads: number;
    /** What scans have read ahead: at most 32 MiB, 8 MiB for each. */
    readonly aheadBytes: number;
  };
}

export function readerStats(
  { counters }: TableCache,
  blocks: BlockCache,
  capacityBytes: number,
  { disk, pending }: AwaitedReads,
): ReaderStats {
  const { queue, threads } = disk;
  return {
    cache: { bytes: blocks.sizeBytes, capacityBytes, hits: blocks.hits, misses: blocks.misses },
    bloom: { checks: counters.bloomChecks, rejections: counters.bloomRejections },
    blockReads: { count: counters.blockReads, bytes: counters.blockBytesRead },
    diskReads: {
      waiting: pending.size,
      queued: queue.waiting,
      underWay: queue.inFlight,
      longestMs: Math.round(queue.longestMs),
      count: queue.total,
      threads: threads.count,
      aheadBytes: disk.readAheadBytes,
    },
  };
}
