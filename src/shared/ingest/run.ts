/**
 * The run file of an ingestion: a chunk's records, sorted, each key once. It lives between the two phases of the ingestion, is
 * named by no manifest and never synced; the next open deletes what a crash left.
 *
 *   run    = block*
 *   block  = header  records                  about 64 KiB, or one larger record
 *   header   0  crc32 u32                     of everything behind it: the length, and the records
 *            4  length of the records u32
 *   record = varint key length | varint value length | key | value       keys strictly rise through the run
 *
 * Main keeps samples of a run: where some of its blocks begin and with which key. They say where to cut the merge into
 * ranges of equal size, and which part of each run a range needs.
 *
 * Thread: any. Pure.
 * Not chosen: a table. Its prefix compression, index and filter cost more than they give to a file that is read once.
 */
import type { FileNumber } from '../base/ids.ts';

export const RUN_HEADER_BYTES = 8;
export const RUN_BLOCK_BYTES: number = 64 * 1024;

/** First keys of blocks, ascending. Flat, as it crosses threads. */
export interface RunSamples {
  readonly keys: Uint8Array;
  /** Key i ends at `ends[i]`, and begins where key i - 1 ends. */
  readonly ends: Uint32Array;
  /** Where its block begins in the file. */
  readonly offsets: Float64Array;
}

/** A finished run. */
export interface RunMeta {
  readonly number: FileNumber;
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly largestKey: Uint8Array;
  readonly samples: RunSamples;
}

/** Whole blocks of a run: those from `start` up to `end`. */
export interface RunSlice {
  readonly number: FileNumber;
  readonly start: number;
  readonly end: number;
}

/** The first key of the block that sample `index` stands for: a view. */
export function sampleKey(samples: RunSamples, index: number): Uint8Array {
  return samples.keys.subarray(index === 0 ? 0 : samples.ends[index - 1]!, samples.ends[index]!);
}
