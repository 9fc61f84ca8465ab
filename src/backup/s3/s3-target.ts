/**
 * A backup target in S3, or what speaks its protocol.
 *
 *   an object       s3://BUCKET/PREFIX/<name>: one request up to 5 MiB, in parts of 5 MiB (or what makes 10,000 of them) above
 *   create          If-None-Match: *
 *   replace         If-Match: the ETag
 *
 * Asked of the server: GetObject, with Range if it can, PutObject, DeleteObject, ListObjectsV2, and for large files
 * CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload. It must be strongly consistent, as S3 is.
 *
 * Invariants: each method makes one request (beside those that the client repeats by itself). Bodies are bytes in memory, never
 *             streams, so that each is sent with its length and checksum as plain as servers of all kinds take it.
 * Thread:     main.
 * Not chosen: parts of 8 or 16 MiB: on a line of 1 MB/s four of them at once take longer than the time without progress that a
 *             call has, and of a part on its way nobody can tell how far it has come.
 */
import type { Readable } from 'node:stream';
import type {
  CreateMultipartUploadCommandOutput,
  GetObjectCommandOutput,
  ListObjectsV2CommandOutput,
  UploadPartCommandOutput,
} from '@aws-sdk/client-s3';
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import { describe } from '../../shared/base/input-bytes.ts';
import { checkObject } from '../../shared/base/option-checks.ts';
import { whenAborted } from '../../shared/base/signals.ts';
import type { BackupTarget, ListPage, StoredObject, TargetCall, TargetUpload } from '../target.ts';
import {
  isChecksumMismatch,
  isMissing,
  isRefusedCondition,
  isUnknownCondition,
  s3Error,
  statusOf,
} from './s3-errors.ts';
import { loadS3 } from './s3-package.ts';

/** What is needed of an `S3Client` of @aws-sdk/client-s3. */
export interface S3ClientLike {
  send(command: never, options?: { readonly abortSignal?: AbortSignal }): Promise<unknown>;
}

export interface S3TargetOptions {
  /** With region, credentials and endpoint as the server needs them. */
  readonly client: S3ClientLike;
  readonly bucket: string;
  /** In front of all names; nothing else should lie below it. Default: the whole bucket. */
  readonly prefix?: string | undefined;
}

const CONDITIONS = { create: 'If-None-Match', replace: 'If-Match' } as const;
const OPTION_NAMES: ReadonlySet<string> = new Set(['client', 'bucket', 'prefix']);
/** The smallest that S3 takes. */
const PART_BYTES: number = 5 * 1024 * 1024;
const MAX_PARTS = 10_000;

/** A bucket, or a part of it, as a backup target. */
export function s3Target(options: S3TargetOptions): BackupTarget {
  checkObject(options, 'options of s3Target', OPTION_NAMES);
  const { client, bucket, prefix } = options;
  if (typeof client !== 'object' || client === null || typeof client.send !== 'function')
    throw invalidArgument(`option 'client' must be an S3Client, not ${describe(client)}`);
  if (typeof bucket !== 'string' || bucket === '')
    throw invalidArgument(`option 'bucket' must be the name of a bucket, not ${describe(bucket)}`);
  if (prefix !== undefined && typeof prefix !== 'string')
    throw invalidArgument(`option 'prefix' must be a string, not ${describe(prefix)}`);
  return new S3Target(client, bucket, (prefix ?? '').replaceAll(/^\/+|\/+$/g, ''));
}

class S3Target implements BackupTarget {
  readonly name: string;
  readonly conditions: { readonly create: string; readonly replace: string } = CONDITIONS;
  readonly isRemote = true;
  readonly #client: S3ClientLike;
  readonly #bucket: string;
  /** Empty, or with a slash at its end. */
  readonly #prefix: string;

  constructor(client: S3ClientLike, bucket: string, prefix: string) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.name = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
  }

  async read(key: string, call: TargetCall): Promise<StoredObject | undefined> {
    const answer = await this.#get(key, 0, call);
    if (answer === undefined) return undefined;
    const parts: Uint8Array[] = [];
    for await (const part of answer.body) parts.push(part);
    const bytes = Buffer.concat(parts);
    if (answer.length !== undefined && bytes.length !== answer.length)
      throw s3Error(
        'read',
        this.#nameOf(key),
        Object.assign(new Error('the answer was cut short'), { code: 'ECONNRESET' }),
      );
    return { bytes, version: answer.etag };
  }

  async download(
    key: string,
    start: number,
    call: TargetCall,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const answer = await this.#get(key, start, call);
    return answer?.body;
  }

  async upload(key: string, sizeBytes: number, call: TargetCall): Promise<TargetUpload> {
    if (sizeBytes <= PART_BYTES) return this.#singleUpload(key);
    const { CreateMultipartUploadCommand } = await loadS3();
    const place = this.#placeOf(key);
    const { UploadId } = await this.#send<CreateMultipartUploadCommandOutput>(
      'write',
      key,
      call,
      new CreateMultipartUploadCommand(place),
    );
    if (UploadId === undefined)
      throw s3Error('write', this.#nameOf(key), new Error('the answer names no upload'));
    return this.#multipartUpload(key, UploadId, sizeBytes);
  }

  async create(key: string, bytes: Uint8Array, call: TargetCall): Promise<boolean> {
    return await this.#putIf(key, bytes, { IfNoneMatch: '*' }, CONDITIONS.create, call);
  }

  async replace(key: string, bytes: Uint8Array, version: string, call: TargetCall): Promise<boolean> {
    return await this.#putIf(key, bytes, { IfMatch: version }, CONDITIONS.replace, call);
  }

  async remove(key: string, call: TargetCall): Promise<void> {
    const { DeleteObjectCommand } = await loadS3();
    try {
      await this.#send('delete', key, call, new DeleteObjectCommand(this.#placeOf(key)));
    } catch (error) {
      if (!isMissing(causeOf(error))) throw error;
    }
  }

  async list(prefix: string, after: string | undefined, call: TargetCall): Promise<ListPage> {
    const { ListObjectsV2Command } = await loadS3();
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: this.#prefix + prefix,
      ...(after === undefined ? {} : { ContinuationToken: after }),
    });
    const answer = await this.#send<ListObjectsV2CommandOutput>('list', prefix, call, command);
    // Some page of a proxy's would be a target without backups and leases.
    if (answer.Contents === undefined && answer.IsTruncated === undefined && answer.KeyCount === undefined)
      throw s3Error('list', this.#nameOf(prefix), new Error('the answer is no list'));
    const objects = (answer.Contents ?? []).flatMap(({ Key, Size, LastModified }) => {
      if (!Key?.startsWith(this.#prefix)) return [];
      return {
        key: Key.slice(this.#prefix.length),
        sizeBytes: Size ?? 0,
        modifiedMs: LastModified?.getTime() ?? 0,
      };
    });
    const next = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
    if (answer.IsTruncated === true && next === undefined)
      throw s3Error('list', this.#nameOf(prefix), new Error('the answer goes on, and does not say where'));
    return { objects, next };
  }

  #nameOf(key: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${key}`;
  }

  #placeOf(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  async #get(
    key: string,
    start: number,
    call: TargetCall,
  ): Promise<
    | { readonly body: AsyncIterable<Uint8Array>; readonly etag: string; readonly length: number | undefined }
    | undefined
  > {
    const { GetObjectCommand } = await loadS3();
    const range = start === 0 ? {} : { Range: `bytes=${start}-` };
    try {
      const command = new GetObjectCommand({ ...this.#placeOf(key), ...range });
      const answer = await this.#send<GetObjectCommandOutput>('read', key, call, command);
      // A server that knows no ranges sends all of it.
      const isPart = answer.ContentRange?.startsWith(`bytes ${start}-`) ?? false;
      const body = bytesOf(answer.Body as Readable, isPart ? 0 : start, call, this.#nameOf(key));
      return { body, etag: answer.ETag ?? '', length: answer.ContentLength };
    } catch (error) {
      if (isMissing(causeOf(error))) return undefined;
      throw error;
    }
  }

  async #putIf(
    key: string,
    bytes: Uint8Array,
    condition: { readonly IfNoneMatch?: string; readonly IfMatch?: string },
    header: string,
    call: TargetCall,
  ): Promise<boolean> {
    const { PutObjectCommand } = await loadS3();
    try {
      await this.#send(
        'write',
        key,
        call,
        new PutObjectCommand({ ...this.#placeOf(key), Body: bytes, ...condition }),
      );
      return true;
    } catch (error) {
      const cause = causeOf(error);
      // Nothing is there that could have the ETag.
      if (isRefusedCondition(cause) || (condition.IfMatch !== undefined && isMissing(cause))) return false;
      if (!isUnknownCondition(cause)) throw error;
      throw new StorageError('STRATA_UNSUPPORTED', `${this.name} does not take the header ${header}`, {
        cause,
      });
    }
  }

  #singleUpload(key: string): TargetUpload {
    return {
      partBytes: PART_BYTES,
      write: async (_part, bytes, call) => {
        const { PutObjectCommand } = await loadS3();
        await this.#send('write', key, call, new PutObjectCommand({ ...this.#placeOf(key), Body: bytes }));
      },
      finish: async () => undefined,
      cancel: async () => undefined,
    };
  }

  #multipartUpload(key: string, uploadId: string, sizeBytes: number): TargetUpload {
    const place = { ...this.#placeOf(key), UploadId: uploadId };
    const etags: string[] = [];
    return {
      partBytes: Math.max(PART_BYTES, Math.ceil(sizeBytes / MAX_PARTS)),
      write: async (part, bytes, call) => {
        const { UploadPartCommand } = await loadS3();
        const command = new UploadPartCommand({ ...place, PartNumber: part + 1, Body: bytes });
        const { ETag } = await this.#send<UploadPartCommandOutput>('write', key, call, command);
        etags[part] = ETag ?? '';
      },
      finish: async (call) => {
        const { CompleteMultipartUploadCommand } = await loadS3();
        const Parts = etags.map((ETag, part) => ({ ETag, PartNumber: part + 1 }));
        const command = new CompleteMultipartUploadCommand({ ...place, MultipartUpload: { Parts } });
        try {
          await this.#send('write', key, call, command);
        } catch (error) {
          // The answer to an earlier attempt may have been lost.
          if (statusOf(causeOf(error)) !== 404 || !(await this.#isWhole(key, sizeBytes, call))) throw error;
        }
      },
      cancel: async () => await this.#abortUpload(place),
    };
  }

  async #isWhole(key: string, sizeBytes: number, call: TargetCall): Promise<boolean> {
    const { objects } = await this.list(key, undefined, call);
    return objects.some((object) => object.key === key && object.sizeBytes === sizeBytes);
  }

  async #abortUpload(place: {
    readonly Bucket: string;
    readonly Key: string;
    readonly UploadId: string;
  }): Promise<void> {
    const { AbortMultipartUploadCommand } = await loadS3();
    try {
      await this.#client.send(new AbortMultipartUploadCommand(place) as never);
    } catch {
      // The bucket's own rule for uploads that are not completed removes it (docs/backup.md).
    }
  }

  async #send<Output>(action: string, key: string, call: TargetCall, command: object): Promise<Output> {
    try {
      return (await this.#client.send(command as never, { abortSignal: call.signal })) as Output;
    } catch (error) {
      throw s3Error(action, this.#nameOf(key), error);
    }
  }
}

/** The error of the SDK behind ours. */
function causeOf(error: unknown): unknown {
  return (error as { readonly cause?: unknown } | null)?.cause;
}

/** The bytes of a body, without the first `skipped`; a body that breaks may be asked for again. */
async function* bytesOf(
  body: Readable | undefined,
  skipped: number,
  call: TargetCall,
  name: string,
): AsyncGenerator<Uint8Array> {
  if (body === undefined) return;
  let toSkip = skipped;
  const forget = whenAborted(call.signal, () => body.destroy(new Error('nobody waits for it any more')));
  try {
    for await (const part of body as AsyncIterable<Uint8Array>) {
      const dropped = Math.min(toSkip, part.length);
      toSkip -= dropped;
      if (dropped < part.length) yield part.subarray(dropped);
    }
  } catch (error) {
    if (!isChecksumMismatch(error)) throw s3Error('read', name, error);
  } finally {
    forget();
    body.destroy();
  }
}
