/**
 * An S3 server for tests, in this process and in memory: what the backup target asks of one, and what goes wrong with them.
 *
 *   PUT, GET (with Range), HEAD, DELETE, ListObjectsV2 with paging, multipart uploads; If-None-Match and If-Match on PUT
 *   faults: 500, 503 SlowDown, a reset before or after the request took effect, a body that is slow, or cut short, an answer that
 *   never comes; no permission; conditions that are ignored
 *
 * It is strongly consistent, as S3 is. Requests of one object are carried out one after the other, within one turn.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from '../../src/shared/base/checksum.ts';

export type S3Fault =
  | 'error' // 500
  | 'slow-down' // 503
  | 'reset' // before anything happened
  | 'lost-answer' // it happened, and nobody hears of it
  | 'slow' // the body comes in drops
  | 'cut-short' // the body ends early, and the connection with it
  | 'hang' // no answer at all
  | 'denied' // 403
  | 'garbled'; // 200, and a page that is no list

export interface StubObject {
  bytes: Buffer;
  etag: string;
  modifiedMs: number;
}

interface StubRequest {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  readonly headers: IncomingMessage['headers'];
}

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

const BUCKET = 'bucket';

export class S3Stub {
  /** By key, bucket not included. */
  readonly objects: Map<string, StubObject> = new Map();
  readonly uploads: Map<string, { readonly key: string; readonly parts: Map<number, Buffer> }> = new Map();
  /** One line for each request: method, key and what kind of request it is. */
  readonly requests: string[] = [];
  /** Asked before each request; undefined: it is carried out. */
  fault: (line: string) => S3Fault | undefined = () => undefined;
  ignoresIfNoneMatch: boolean = false;
  ignoresIfMatch: boolean = false;
  knowsRange: boolean = true;
  /** Of a page of a list. */
  pageSize: number = 1000;
  readonly #server: Server;
  #uploadCount = 0;
  /** Rises by a little with each write. */
  #clock = Date.now();

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<S3Stub> {
    const server = createServer();
    const stub = new S3Stub(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return stub;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** As if all objects had been written that much earlier. */
  age(ms: number, prefix = ''): void {
    for (const [key, object] of this.objects) if (key.startsWith(prefix)) object.modifiedMs -= ms;
  }

  keys(prefix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    try {
      for await (const part of request) parts.push(part as Buffer);
    } catch {
      // The client has gone.
      return;
    }
    const url = new URL(request.url ?? '/', 'http://stub');
    const key = decodeURIComponent(url.pathname).replace(`/${BUCKET}`, '').replace(/^\//, '');
    const { method = 'GET', headers } = request;
    const asked: StubRequest = { method, key, query: url.searchParams, body: Buffer.concat(parts), headers };
    const line = lineOf(asked);
    this.requests.push(line);
    const fault = this.fault(line);
    if (fault === 'hang') return;
    if (fault === 'reset') return void request.socket.destroy();
    const answer = this.#answer(asked, fault);
    if (fault === 'lost-answer') return void request.socket.destroy();
    await send(response, answer, fault, method);
  }

  #answer(request: StubRequest, fault: S3Fault | undefined): Answer {
    if (fault === 'error') return failure(500, 'InternalError');
    if (fault === 'slow-down') return failure(503, 'SlowDown');
    if (fault === 'denied') return failure(403, 'AccessDenied');
    const { method, query } = request;
    if (method === 'GET' && query.has('list-type'))
      return fault === 'garbled' ? xml('<html><body>welcome</body></html>') : this.#list(query);
    if (method === 'GET' || method === 'HEAD') return this.#get(request);
    if (method === 'POST' && query.has('uploads')) return this.#beginUpload(request.key);
    if (method === 'POST') return this.#completeUpload(request);
    if (method === 'PUT') return this.#put(request);
    if (query.has('uploadId')) this.uploads.delete(query.get('uploadId')!);
    else this.objects.delete(request.key);
    return { status: 204 };
  }

  #put({ key, query, body, headers }: StubRequest): Answer {
    if (headers['content-encoding']?.includes('aws-chunked')) return failure(501, 'NotImplemented');
    const sum = headers['x-amz-checksum-crc32'];
    const own = Buffer.alloc(4);
    own.writeUInt32BE(crc32(body));
    if (sum !== undefined && sum !== own.toString('base64')) return failure(400, 'BadDigest');
    const uploadId = query.get('uploadId');
    if (uploadId !== null) {
      const upload = this.uploads.get(uploadId);
      if (upload === undefined) return failure(404, 'NoSuchUpload');
      upload.parts.set(Number(query.get('partNumber')), body);
      return { status: 200, headers: { etag: etagOf(body) } };
    }
    const found = this.objects.get(key);
    if (headers['if-none-match'] === '*' && found !== undefined && !this.ignoresIfNoneMatch)
      return failure(412, 'PreconditionFailed');
    const wanted = headers['if-match'];
    if (wanted !== undefined && !this.ignoresIfMatch) {
      if (found === undefined) return failure(404, 'NoSuchKey');
      if (found.etag !== wanted) return failure(412, 'PreconditionFailed');
    }
    return { status: 200, headers: { etag: this.store(key, body).etag } };
  }

  store(key: string, bytes: Buffer): StubObject {
    this.#clock = Math.max(this.#clock + 1, Date.now());
    const object = { bytes, etag: etagOf(bytes), modifiedMs: this.#clock };
    this.objects.set(key, object);
    return object;
  }

  #get({ key, headers }: StubRequest): Answer {
    const found = this.objects.get(key);
    if (found === undefined) return failure(404, 'NoSuchKey');
    const { bytes, etag } = found;
    const range = this.knowsRange ? /^bytes=(\d+)-$/.exec(headers.range ?? '') : null;
    if (range === null) return { status: 200, headers: { etag }, body: bytes };
    const start = Number(range[1]);
    if (start >= bytes.length) return failure(416, 'InvalidRange');
    const contentRange = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    return { status: 206, headers: { etag, 'content-range': contentRange }, body: bytes.subarray(start) };
  }

  #list(query: URLSearchParams): Answer {
    const after = query.get('continuation-token') ?? '';
    const keys = this.keys(query.get('prefix') ?? '').filter((key) => key > after);
    const page = keys.slice(0, this.pageSize);
    const items = page.map((key) => {
      const { bytes, etag, modifiedMs } = this.objects.get(key)!;
      const modified = new Date(modifiedMs).toISOString();
      return `<Contents><Key>${key}</Key><LastModified>${modified}</LastModified><ETag>${etag}</ETag><Size>${bytes.length}</Size></Contents>`;
    });
    const isTruncated = page.length < keys.length;
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    return xml(
      `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${next}${items.join('')}</ListBucketResult>`,
    );
  }

  #beginUpload(key: string): Answer {
    const id = `upload-${++this.#uploadCount}`;
    this.uploads.set(id, { key, parts: new Map() });
    return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
  }

  #completeUpload({ key, query }: StubRequest): Answer {
    const id = query.get('uploadId') ?? '';
    const upload = this.uploads.get(id);
    if (upload === undefined) return failure(404, 'NoSuchUpload');
    this.uploads.delete(id);
    const parts = [...upload.parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
    const { etag } = this.store(key, Buffer.concat(parts));
    return xml(`<CompleteMultipartUploadResult><ETag>${etag}</ETag></CompleteMultipartUploadResult>`);
  }
}

/** What faults are told by: `PUT tables/...`, `PUT-PART ...`, `LIST prefix`, `COMPLETE ...`. */
function lineOf({ method, key, query }: StubRequest): string {
  if (query.has('list-type')) return `LIST ${query.get('prefix') ?? ''}`;
  if (query.has('uploads')) return `BEGIN ${key}`;
  if (query.has('partNumber')) return `PUT-PART ${key}`;
  if (query.has('uploadId')) return `${method === 'POST' ? 'COMPLETE' : 'ABORT'} ${key}`;
  return `${method} ${key}`;
}

async function send(
  response: ServerResponse,
  { status, headers = {}, body = '' }: Answer,
  fault: S3Fault | undefined,
  method: string,
): Promise<void> {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, 'content-length': String(bytes.length) });
  if (method === 'HEAD') return void response.end();
  if (fault === 'cut-short') {
    // What was written has to be on its way before the connection ends.
    response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
    return;
  }
  if (fault !== 'slow') return void response.end(bytes);
  const step = Math.max(1, Math.ceil(bytes.length / 5));
  for (let at = 0; at < bytes.length; at += step) {
    response.write(bytes.subarray(at, at + step));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  response.end();
}

function failure(status: number, code: string): Answer {
  const { body } = xml(`<Error><Code>${code}</Code><Message>the stub says ${code}</Message></Error>`);
  return { status, headers: { 'content-type': 'application/xml' }, body: body! };
}

function xml(text: string): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="UTF-8"?>${text}`,
  };
}

function etagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}
