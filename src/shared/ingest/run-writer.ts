/**
 * Writes a run file (run.ts), record by record, and keeps samples of it.
 *
 * Samples are thinned out as the run grows, so that there are never many more than MAX_SAMPLES, however large it becomes.
 *
 * Owns:   its buffer, and the closing of the file it was given.
 * Thread: any; synchronous.
 */
import { copyBytes, copyInto, writeU32 } from '../base/bytes.ts';
import { crc32 } from '../base/checksum.ts';
import type { FileNumber } from '../base/ids.ts';
import { type StorageFile, writeFully } from '../files/file-system.ts';
import { RUN_BLOCK_BYTES, RUN_HEADER_BYTES, type RunMeta, type RunSamples } from './run.ts';

/** Samples kept of a run, about: each is a place to cut it at, and a merge has a dozen or two ranges. */
const MAX_SAMPLES = 1024;

interface Sample {
  readonly key: Uint8Array;
  readonly offset: number;
}

export class RunWriter {
  readonly #file: StorageFile;
  readonly #number: FileNumber;
  #buffer = new Uint8Array(RUN_HEADER_BYTES + RUN_BLOCK_BYTES);
  #length = RUN_HEADER_BYTES;
  #offset = 0;
  #recordCount = 0;
  #largestKey: Uint8Array = new Uint8Array(64);
  #largestKeyLength = 0;
  #samples: Sample[] = [];
  #blockCount = 0;
  /** In blocks, from one sample to the next. */
  #sampleInterval = 1;

  constructor(file: StorageFile, number: FileNumber) {
    this.#file = file;
    this.#number = number;
  }

  /** Adds the encoded record in bytes[start, end), whose key is where it says. */
  add(bytes: Uint8Array, start: number, end: number, keyStart: number, keyEnd: number): void {
    const size = end - start;
    if (this.#length + size > this.#buffer.length && this.#length > RUN_HEADER_BYTES) this.#writeBlock();
    if (this.#length === RUN_HEADER_BYTES) this.#beginBlock(size, bytes, keyStart, keyEnd);
    copyInto(this.#buffer, this.#length, bytes, start, end);
    this.#length += size;
    this.#recordCount++;
    this.#noteKey(bytes, keyStart, keyEnd);
  }

  /** Writes what is left and closes the file. */
  finish(): RunMeta {
    if (this.#length > RUN_HEADER_BYTES) this.#writeBlock();
    this.#file.close();
    return {
      number: this.#number,
      sizeBytes: this.#offset,
      recordCount: this.#recordCount,
      largestKey: copyBytes(this.#largestKey, 0, this.#largestKeyLength),
      samples: flatten(this.#samples),
    };
  }

  #noteKey(bytes: Uint8Array, start: number, end: number): void {
    if (end - start > this.#largestKey.length) this.#largestKey = new Uint8Array(2 * (end - start));
    copyInto(this.#largestKey, 0, bytes, start, end);
    this.#largestKeyLength = end - start;
  }

  #beginBlock(firstSize: number, bytes: Uint8Array, keyStart: number, keyEnd: number): void {
    if (this.#blockCount++ % this.#sampleInterval === 0) {
      this.#samples.push({ key: copyBytes(bytes, keyStart, keyEnd), offset: this.#offset });
      if (this.#samples.length > MAX_SAMPLES) {
        this.#samples = this.#samples.filter((_, i) => i % 2 === 0);
        this.#sampleInterval *= 2;
      }
    }
    // Room for one huge record is not kept for the small ones behind it.
    const capacity = RUN_HEADER_BYTES + Math.max(firstSize, RUN_BLOCK_BYTES);
    if (this.#buffer.length !== capacity) this.#buffer = new Uint8Array(capacity);
  }

  #writeBlock(): void {
    const block = this.#buffer.subarray(0, this.#length);
    writeU32(block, 4, this.#length - RUN_HEADER_BYTES);
    writeU32(block, 0, crc32(block, 4, this.#length));
    writeFully(this.#file, block, this.#offset);
    this.#offset += this.#length;
    this.#length = RUN_HEADER_BYTES;
  }
}

function flatten(samples: readonly Sample[]): RunSamples {
  const ends = new Uint32Array(samples.length);
  const offsets = new Float64Array(samples.length);
  let end = 0;
  for (const [i, { key, offset }] of samples.entries()) {
    end += key.length;
    ends[i] = end;
    offsets[i] = offset;
  }
  const keys = new Uint8Array(end);
  for (const [i, { key }] of samples.entries()) keys.set(key, i === 0 ? 0 : ends[i - 1]!);
  return { keys, ends, offsets };
}
