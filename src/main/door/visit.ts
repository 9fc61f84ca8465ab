/**
 * The other side of a store's door (door.ts): asks the process that has the store open.
 *
 *   findDoor(directory)      who that is, and where it listens: LOCK says it
 *   door.ask(command)        a connection for each command; frames as they come
 *
 * Invariants: it never waits for ever: an owner that says nothing for `limitMs` while something is waited for does not answer.
 *             That, as all that is not in the protocol, is STRATA_LOCKED: the store can't be had. What the command itself fails
 *             with comes as the error it is.
 * Thread:     main.     Owns: a descriptor of the directory; a connection while a command runs.
 */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { BackupOptions, TransferProgress } from '../../backup/backup.ts';
import type { BackupInfo } from '../../backup/description.ts';
import {
  errorFromWire,
  isError,
  isWireError,
  StorageError,
  systemErrorCode,
} from '../../shared/base/errors.ts';
import type { Bytes } from '../../shared/base/input-bytes.ts';
import { clearTimeout, delay, setTimeout } from '../../shared/base/timers.ts';
import { LOCK_NAME, parseFileName } from '../../shared/files/file-names.ts';
import { type HeldDirectory, holdDirectory, readLockText } from '../../shared/files/lock-files.ts';
import type { CheckpointReport } from '../copy/checkpoint.ts';
import { parseRecord } from '../locking/lock-record.ts';
import type { EngineStats } from '../store/counters.ts';
import { decodeLevels, type LevelPicture } from './levels.ts';
import {
  DOOR_PROTOCOL,
  encodeJson,
  type Frame,
  FrameKind,
  FrameReader,
  isRecord,
  MAX_ANSWER_BYTES,
  parseJson,
  RecordReader,
} from './protocol.ts';

/** An owner shows every second that it is at work; its thread may be busy for longer. */
export const ANSWER_MS = 10_000;
/** Between having the lock and writing LOCK an owner needs a moment. */
const FIND_ATTEMPTS = 10;
const FIND_POLL_MS = 10;

/** What of the options of a scan can be asked for. */
export interface AskedRange {
  readonly gte?: Bytes | undefined;
  readonly lt?: Bytes | undefined;
  readonly prefix?: Bytes | undefined;
  readonly limit?: number | undefined;
  readonly reverse?: boolean | undefined;
  readonly values?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where an owner listens. */
interface Address {
  readonly socket: string;
  readonly owner: string;
}

/**
 * The door of the store in `directory`; undefined: whoever has it open has none, or not on this machine. `refusal` is the error
 * that opening the store has failed with.
 */
export async function findDoor(
  directory: string,
  refusal: StorageError,
  limitMs: number = ANSWER_MS,
): Promise<Door | undefined> {
  const held = holdDirectory(directory);
  const place = held.anchor?.place ?? directory;
  for (let attempt = 0; attempt < FIND_ATTEMPTS; attempt++) {
    const address = addressIn(place);
    if (address !== undefined) return new Door(held, place, address, refusal, limitMs);
    await delay(FIND_POLL_MS);
  }
  held.close();
  return undefined;
}

function addressIn(place: string): Address | undefined {
  try {
    const { socket, ownerId } = parseRecord(readLockText(join(place, LOCK_NAME)).text) ?? {};
    // The name is anybody's text: it is to be one of ours, in this directory.
    const isOurs = socket !== undefined && parseFileName(socket)?.kind === 'lock-socket';
    return isOurs && ownerId !== undefined ? { socket, owner: ownerId } : undefined;
  } catch {
    // No LOCK, or none that this user may read.
    return undefined;
  }
}

/** A store that another process has open. */
export class Door {
  readonly #held: HeldDirectory;
  readonly #place: string;
  readonly #address: Address;
  readonly #refusal: StorageError;
  readonly #limitMs: number;

  constructor(held: HeldDirectory, place: string, address: Address, refusal: StorageError, limitMs: number) {
    this.#held = held;
    this.#place = place;
    this.#address = address;
    this.#refusal = refusal;
    this.#limitMs = limitMs;
  }

  close(): void {
    this.#held.close();
  }

  async get(key: Bytes): Promise<Buffer | undefined> {
    const { result, data } = await this.#askForAll('get', { key: textOf(key) });
    return isRecord(result) && result['found'] === true ? data : undefined;
  }

  async *scan({ signal, ...range }: AskedRange): AsyncGenerator<[Buffer, Buffer]> {
    const { gte, lt, prefix, limit, reverse = false, values = true } = range;
    const args = { gte: textOf(gte), lt: textOf(lt), prefix: textOf(prefix), limit, reverse, values };
    const records = new RecordReader();
    for await (const { kind, bytes } of this.ask('scan', args, signal)) {
      if (kind !== FrameKind.Data) continue;
      // Where no values were asked for there are none, as in a scan of an engine.
      for (const record of records.push(bytes)) yield record as [Buffer, Buffer];
    }
    if (!records.isAtEnd) throw this.#silence('a record was cut short');
  }

  async stats(): Promise<EngineStats> {
    return (await this.#askForAll('stats', {})).result as EngineStats;
  }

  async levels(): Promise<LevelPicture> {
    const { data } = await this.#askForAll('levels', {});
    const levels = decodeLevels(parseJson(data));
    if (levels === undefined) throw this.#silence('what it says of its levels makes no sense');
    return levels;
  }

  async flush(): Promise<void> {
    await this.#askForAll('flush', {});
  }

  async compact(): Promise<void> {
    await this.#askForAll('compact', {});
  }

  async checkpoint(directory: string): Promise<CheckpointReport> {
    return (await this.#askForAll('checkpoint', { directory })).result as CheckpointReport;
  }

  /** `target` is an absolute path, or s3://bucket/prefix with the owner's credentials. */
  async backup(
    target: string,
    { signal, onProgress }: Pick<BackupOptions, 'signal' | 'onProgress'>,
  ): Promise<BackupInfo> {
    let result: unknown;
    for await (const { kind, bytes } of this.ask('backup', { target }, signal)) {
      if (kind === FrameKind.Progress) onProgress?.(parseJson(bytes) as TransferProgress);
      if (kind === FrameKind.Result) result = parseJson(bytes);
    }
    return result as BackupInfo;
  }

  async #askForAll(
    command: string,
    args: object,
  ): Promise<{ readonly result: unknown; readonly data: Buffer }> {
    const data: Buffer[] = [];
    let result: unknown;
    for await (const { kind, bytes } of this.ask(command, args)) {
      if (kind === FrameKind.Data) data.push(bytes);
      if (kind === FrameKind.Result) result = parseJson(bytes);
    }
    return { result, data: Buffer.concat(data) };
  }

  /**
   * The frames of an answer: progress, data, and the result as the last one. Leaving the loop, or the signal, ends the command.
   * @throws what the command has failed with; STRATA_LOCKED when there is no answer; the signal's reason.
   */
  async *ask(command: string, args: object, signal?: AbortSignal): AsyncGenerator<Frame> {
    signal?.throwIfAborted();
    const socket = connect({ path: join(this.#place, this.#address.socket) });
    const abort = (): void => void socket.destroy();
    signal?.addEventListener('abort', abort);
    try {
      const { owner } = this.#address;
      socket.write(encodeJson(FrameKind.Request, { protocol: DOOR_PROTOCOL, owner, command, args }));
      yield* this.#answer(socket, signal);
    } finally {
      signal?.removeEventListener('abort', abort);
      socket.destroy();
    }
  }

  async *#answer(socket: Socket, signal: AbortSignal | undefined): AsyncGenerator<Frame> {
    const reader = new FrameReader(MAX_ANSWER_BYTES);
    const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const next = await this.#within(chunks.next()).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw error;
      });
      signal?.throwIfAborted();
      if (next.done === true) throw this.#silence('it has ended the connection');
      const frames = reader.push(next.value);
      if (frames === undefined) throw this.#silence('what it says makes no sense');
      for (const frame of frames) {
        if (frame.kind === FrameKind.Error) throw this.#errorIn(frame);
        if (frame.kind !== FrameKind.Alive) yield frame;
        if (frame.kind === FrameKind.Result) return;
      }
    }
  }

  /** Only while something is waited for: whoever takes what it was given may take its time. */
  #within<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(
        () => reject(this.#silence(`nothing was heard of it for ${this.#limitMs / 1000} s`)),
        this.#limitMs,
      );
      answer
        .then(resolve, (error: unknown) =>
          reject(this.#silence(systemErrorCode(error) ?? reasonOf(error), error)),
        )
        .finally(() => clearTimeout(limit));
    });
  }

  #errorIn({ bytes }: Frame): Error {
    const wire = parseJson(bytes);
    return isWireError(wire) ? errorFromWire(wire) : this.#silence('what it says makes no sense');
  }

  #silence(reason: string, cause: unknown = this.#refusal): StorageError {
    return new StorageError('STRATA_LOCKED', `${this.#refusal.message}, which does not answer: ${reason}`, {
      cause,
    });
  }
}

function reasonOf(error: unknown): string {
  return isError(error) ? error.message : String(error);
}

function textOf(bytes: Bytes | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes as Uint8Array).toString('base64');
}
