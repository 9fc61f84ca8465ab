/**
 * A part of a file in memory, moved along as it is read: for files that may be larger than memory.
 *
 * Lifetime: `bytes` are those of the last call of `show`.
 * Thread:   main. Owns: not the file.
 */
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError } from '../../shared/base/errors.ts';
import { readFully, type StorageFile } from '../../shared/files/file-system.ts';

const WINDOW_BYTES: number = 256 * 1024;

export class FileWindow {
  readonly path: string;
  /** As it was when this was made: a file that grows meanwhile is read so far. */
  readonly sizeBytes: number;
  readonly #file: StorageFile;
  #start = 0;
  #length = 0;
  bytes: Uint8Array = new Uint8Array(WINDOW_BYTES);

  constructor(file: StorageFile) {
    this.path = file.path;
    this.sizeBytes = file.size();
    this.#file = file;
  }

  /** Makes the file's bytes [position, position + length), which lie in it, a part of `bytes`; returns where they begin there. */
  show(position: number, length: number): number {
    const isShown = position >= this.#start && position + length <= this.#start + this.#length;
    if (!isShown) this.#move(position, length);
    return position - this.#start;
  }

  /** The checksum of the file's bytes [start, end), however many they are. */
  checksum(start: number, end: number, seed: number): number {
    let checksum = seed;
    for (let at = start; at < end; ) {
      const length = Math.min(WINDOW_BYTES / 2, end - at);
      const from = this.show(at, length);
      checksum = crc32(this.bytes, from, from + length, checksum);
      at += length;
    }
    return checksum;
  }

  /** The bytes [start, end) in memory of their own. */
  copy(start: number, end: number): Uint8Array {
    const bytes = new Uint8Array(end - start);
    this.#fill(bytes, start);
    return bytes;
  }

  #move(position: number, length: number): void {
    const room = length > WINDOW_BYTES ? length : WINDOW_BYTES;
    // One huge value does not keep its room.
    if (this.bytes.length !== room) this.bytes = new Uint8Array(room);
    this.#length = 0;
    this.#start = position;
    const count = Math.min(room, this.sizeBytes - position);
    this.#fill(this.bytes.subarray(0, count), position);
    this.#length = count;
  }

  #fill(into: Uint8Array, position: number): void {
    const count = readFully(this.#file, into, position);
    if (count < into.length)
      throw new CorruptionError('the file became shorter while it was read', {
        file: this.path,
        offset: position + count,
      });
  }
}
