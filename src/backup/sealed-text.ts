/**
 * Small objects of a target: JSON behind a checksum of its own, so that a flipped bit anywhere is found.
 *
 *   {"sha256":"<64 hex digits>",      of the bytes of CONTENT
 *   "content": CONTENT}\n
 *
 * and readers of its fields, which refuse what is not as it should be.
 *
 * Invariants: what is read is, outside CONTENT, byte for byte what is written here; so no byte is unchecked.
 * Thread:     main. Pure.
 */
import { createHash } from 'node:crypto';
import { CorruptionError, StorageError } from '../shared/base/errors.ts';

const HEAD = /^\{"sha256":"([0-9a-f]{64})",\n"content": $/;
const HEAD_LENGTH = '{"sha256":"'.length + 64 + '",\n"content": '.length;
const TAIL = '}\n';
/** What this version writes, and the newest that it reads. */
export const TARGET_FORMAT = 1;

export type Fields = Readonly<Record<string, unknown>>;

export function sealText(content: object): Uint8Array {
  const body = JSON.stringify(content);
  return Buffer.from(`{"sha256":"${sha256Of(Buffer.from(body))}",\n"content": ${body}${TAIL}`);
}

/** The content of a sealed object. @throws {@link CorruptionError}; STRATA_UNSUPPORTED for one of a newer format. */
export function openSealed(bytes: Uint8Array, file: string): SealedFields {
  const head = HEAD.exec(Buffer.from(bytes.subarray(0, HEAD_LENGTH)).toString('latin1'));
  const body = bytes.subarray(HEAD_LENGTH, bytes.length - TAIL.length);
  const tail = Buffer.from(bytes.subarray(HEAD_LENGTH + body.length)).toString('latin1');
  if (head === null || tail !== TAIL || sha256Of(body) !== head[1])
    throw new CorruptionError('the checksum does not match', { file });
  return openFields(body, file);
}

/** The fields of an object whose bytes have been checked. @throws STRATA_UNSUPPORTED for one of a newer format. */
export function openFields(body: Uint8Array, file: string): SealedFields {
  const fields = new SealedFields(parse(body, file), file);
  const format = fields.count('format');
  if (format > TARGET_FORMAT)
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `format ${format} is newer than this version of stratakv can read: ${file}`,
      { file },
    );
  return fields;
}

function parse(body: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch (cause) {
    throw new CorruptionError('it is no JSON', { file, cause });
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The fields of an object, as they should be or not at all. */
export class SealedFields {
  readonly #fields: Fields;
  readonly file: string;

  constructor(value: unknown, file: string) {
    this.file = file;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new CorruptionError('an object is missing', { file });
    this.#fields = value as Fields;
  }

  text(name: string, pattern: RegExp = /^/): string {
    const value = this.#fields[name];
    return typeof value === 'string' && pattern.test(value) ? value : this.fail(name);
  }

  /** A safe integer, 0 or more. */
  count(name: string): number {
    const value = this.#fields[name];
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : this.fail(name);
  }

  list(name: string): SealedFields[] {
    const value = this.#fields[name];
    return Array.isArray(value) ? value.map((item) => new SealedFields(item, this.file)) : this.fail(name);
  }

  texts(name: string, pattern: RegExp): string[] {
    const value = this.#fields[name];
    const isSound =
      Array.isArray(value) && value.every((item) => typeof item === 'string' && pattern.test(item));
    return isSound ? (value as string[]) : this.fail(name);
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined;
  }

  fail(name: string): never {
    throw new CorruptionError(`'${name}' is not as it should be`, { file: this.file });
  }
}
