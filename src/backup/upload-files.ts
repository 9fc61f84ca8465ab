/**
 * The files of a capture, into the target: what it has already is built upon, the rest is read and uploaded.
 *
 *   1. candidates    objects whose names say number, size and CRC-32 of a file: the lease names them
 *   2. after that    what of them is there still, and in no purge's list, may be built upon
 *   3. each file     known to the description before: taken as it is. Else read once, for its SHA-256; uploaded unless an object
 *                    of that content is there, and read once more for that
 *
 * Invariants: only what the lease names is built upon, and only after a look that came later than the lease: a purge has either
 *             seen the lease, or was seen. What is read has the CRC-32 that the manifest of the store says, both times.
 * Thread:     main.
 * Not chosen: keeping what was read for its checksum until it is uploaded: four tables of 64 MiB in memory, to save reads that
 *             the page cache answers.
 */
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from '../shared/base/checksum.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import {
  closeQuietly,
  type FileSystem,
  readFullyAsync,
  type StorageFile,
} from '../shared/files/file-system.ts';
import type { BackupFile } from './description.ts';
import { contentOf, objectKey, objectPrefix } from './layout.ts';
import type { TargetSession } from './target-session.ts';

const READ_BYTES: number = 256 * 1024;

/** A file of a capture. */
export interface SourceFile {
  readonly name: string;
  /** Where it lies. */
  readonly path: string;
  /** What of it counts. */
  readonly sizeBytes: number;
  /** CRC-32 of that. */
  readonly checksum: number;
}

export interface UploadParts {
  readonly session: TargetSession;
  readonly fs: FileSystem;
  readonly upload: string;
  /** Objects that may be built upon. */
  readonly reusable: ReadonlySet<string>;
  /** Of the backup before, by name. */
  readonly known: ReadonlyMap<string, BackupFile>;
  /** A file is done; `uploadedBytes` of it are new to the target. */
  readonly onFile: (file: BackupFile, uploadedBytes: number) => void;
  readonly onBytes: (count: number) => void;
}

/** Those of `keys` whose names say that they may hold one of the files. */
export function candidatesFor(files: readonly SourceFile[], keys: readonly string[]): string[] {
  const prefixes = new Set(files.map(objectPrefix));
  return keys.filter((key) => prefixes.has(key.split('-', 3).join('-').concat('-')));
}

/** In the order of `files`. */
export async function uploadFiles(parts: UploadParts, files: readonly SourceFile[]): Promise<BackupFile[]> {
  const done = new Map<SourceFile, BackupFile>();
  const byContent = new Map([...parts.reusable].map((key) => [contentOf(key), key]));
  await parts.session.each(files, async (file) => {
    done.set(file, await uploadFile(parts, file, byContent));
  });
  return files.map((file) => done.get(file)!);
}

async function uploadFile(
  parts: UploadParts,
  file: SourceFile,
  byContent: ReadonlyMap<string, string>,
): Promise<BackupFile> {
  const { name, sizeBytes, checksum } = file;
  const known = parts.known.get(name);
  if (known?.sizeBytes === sizeBytes && known.checksum === checksum && parts.reusable.has(known.object)) {
    parts.onFile(known, 0);
    return known;
  }
  const source = await SourceReader.open(parts, file);
  try {
    const sha256 = await source.hash();
    const wanted = objectKey(file, sha256, parts.upload);
    const found = byContent.get(contentOf(wanted));
    if (found === undefined) await source.uploadTo(parts.session, wanted);
    const done = { name, object: found ?? wanted, sizeBytes, checksum, sha256 };
    parts.onFile(done, found === undefined ? sizeBytes : 0);
    return done;
  } finally {
    source.close();
  }
}

/** A file of the store, read front to back, twice. */
class SourceReader {
  readonly #file: StorageFile;
  readonly #source: SourceFile;
  readonly #onBytes: (count: number) => void;

  private constructor(file: StorageFile, source: SourceFile, onBytes: (count: number) => void) {
    this.#file = file;
    this.#source = source;
    this.#onBytes = onBytes;
  }

  static async open({ fs, onBytes }: UploadParts, source: SourceFile): Promise<SourceReader> {
    const file = (await fs.openReadAsync?.(source.path)) ?? fs.openRead(source.path);
    return new SourceReader(file, source, onBytes);
  }

  close(): void {
    closeQuietly(this.#file);
  }

  /** SHA-256 of the file, in hexadecimal digits. */
  async hash(): Promise<string> {
    const { sizeBytes } = this.#source;
    const sums = new Sums();
    for (let position = 0; position < sizeBytes; position += READ_BYTES)
      sums.add(await this.#read(position, Math.min(READ_BYTES, sizeBytes - position)));
    return this.#check(sums);
  }

  /** The CRC-32 is enough to see that it is what was hashed, and takes a tenth of the time: this is the application's thread. */
  async uploadTo(session: TargetSession, key: string): Promise<void> {
    let sum = 0;
    await session.upload(key, this.#source.sizeBytes, async (position, length) => {
      const bytes = await this.#read(position, length);
      sum = crc32(bytes, 0, length, sum);
      this.#onBytes(length);
      return bytes;
    });
    // The object is named in no description yet, so it is only garbage.
    if (sum !== this.#source.checksum) throw this.#corrupt();
  }

  async #read(position: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafe(length);
    if ((await readFullyAsync(this.#file, bytes, position)) < length) throw this.#corrupt();
    return bytes;
  }

  #check(sums: Sums): string {
    if (sums.crc32 !== this.#source.checksum) throw this.#corrupt();
    return sums.sha256();
  }

  #corrupt(): CorruptionError {
    return new CorruptionError('the file is not what the manifest says', { file: this.#source.path });
  }
}

/** The two checksums of bytes that come piece by piece. */
export class Sums {
  readonly #sha: Hash = createHash('sha256');
  crc32 = 0;

  add(bytes: Uint8Array): void {
    this.#sha.update(bytes);
    this.crc32 = crc32(bytes, 0, bytes.length, this.crc32);
  }

  /** Once. */
  sha256(): string {
    return this.#sha.digest('hex');
  }
}
