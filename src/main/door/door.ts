/**
 * The door of an open store: other processes of the same user ask its owner for something, at the socket that the owner has in
 * the directory anyway (lock-socket.ts). What can be asked for stands in commands.ts, what is said in protocol.ts.
 *
 *   visitor comes -> its request -> is it for us? -> the command: alive, progress, data ... -> result or error -> it goes
 *
 * Who may come: the socket has mode 0600, so the kernel lets in its user (and root); and a request has to name the owner's id,
 * which only LOCK has, with mode 0600 as well. The directory is made with 0700 besides.
 *
 * Invariants: until somebody comes, a door is one function. What a visitor sends ends its own connection at most. One request
 *             each; it has REQUEST_MS to make it. A visitor who goes has its command aborted; one that takes no data holds up its
 *             command and keeps DATA_BYTES or one record of it in memory.
 *             A command keeps the process alive, a visitor does not.
 * Thread:     main.     Owns: nothing; connections are the lock's.
 */
import type { Socket } from 'node:net';
import { errorToWire, invalidArgument, StorageError } from '../../shared/base/errors.ts';
import { awaited } from '../../shared/base/process-keeper.ts';
import { clearInterval, clearTimeout, setInterval, setTimeout } from '../../shared/base/timers.ts';
import { COMMANDS, type DoorTalk, type ServedStore } from './commands.ts';
import {
  ALIVE_MS,
  DATA_BYTES,
  DOOR_PROTOCOL,
  type DoorRequest,
  encodeFrame,
  encodeJson,
  FrameKind,
  FrameReader,
  MAX_REQUEST_BYTES,
  parseRequest,
} from './protocol.ts';

/** A visitor who has not said by then what it wants is sent away. */
const REQUEST_MS = 5000;

/** Serves whoever has connected. `ownerId` is what LOCK says. */
export function receive(store: ServedStore, ownerId: string, socket: Socket): void {
  new Visitor(store, ownerId, socket).listen();
}

class Visitor implements DoorTalk {
  readonly #store: ServedStore;
  readonly #ownerId: string;
  readonly #socket: Socket;
  readonly #reader = new FrameReader(MAX_REQUEST_BYTES);
  readonly #gone = new AbortController();
  #hasAsked = false;

  constructor(store: ServedStore, ownerId: string, socket: Socket) {
    this.#store = store;
    this.#ownerId = ownerId;
    this.#socket = socket;
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  listen(): void {
    const socket = this.#socket;
    socket.unref();
    const limit = setTimeout(() => socket.destroy(), REQUEST_MS).unref();
    socket.on('close', () => {
      clearTimeout(limit);
      this.#gone.abort(new StorageError('STRATA_CLOSED', 'whoever asked for it has gone'));
    });
    socket.on('data', (chunk: Buffer) => {
      const request = this.#requestIn(chunk);
      if (request === undefined) return;
      clearTimeout(limit);
      void this.#serve(request);
    });
  }

  /** Once. What is no request of a visitor of ours ends the connection. */
  #requestIn(chunk: Buffer): DoorRequest | undefined {
    const frames = this.#hasAsked ? undefined : this.#reader.push(chunk);
    const [first, ...more] = frames ?? [];
    if (frames !== undefined && first === undefined) return undefined;
    const request = first?.kind === FrameKind.Request ? parseRequest(first.bytes) : undefined;
    if (request === undefined || more.length > 0 || request.owner !== this.#ownerId) {
      this.#socket.destroy();
      return undefined;
    }
    this.#hasAsked = true;
    return request;
  }

  /** Never rejects. */
  async #serve(request: DoorRequest): Promise<void> {
    this.#send(encodeFrame(FrameKind.Alive));
    const alive = setInterval(() => {
      if (!this.#socket.writableNeedDrain) this.#send(encodeFrame(FrameKind.Alive));
    }, ALIVE_MS).unref();
    try {
      const result = await awaited(this.#carryOut(request));
      this.#send(encodeJson(FrameKind.Result, result));
    } catch (error) {
      const { stack: _, ...wire } = errorToWire(error);
      this.#send(encodeJson(FrameKind.Error, wire));
    } finally {
      clearInterval(alive);
      this.#socket.end();
    }
  }

  async #carryOut({ protocol, command, args }: DoorRequest): Promise<unknown> {
    if (protocol !== DOOR_PROTOCOL)
      throw new StorageError(
        'STRATA_UNSUPPORTED',
        `the store is open in a process whose version of stratakv speaks another protocol (${DOOR_PROTOCOL}, not ${protocol})`,
      );
    const carryOut = COMMANDS.get(command);
    if (carryOut === undefined)
      throw invalidArgument('the process that has the store open knows no such command');
    return await carryOut(this.#store, args, this);
  }

  progress(value: unknown): void {
    this.#send(encodeJson(FrameKind.Progress, value));
  }

  async data(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += DATA_BYTES) {
      this.signal.throwIfAborted();
      const frame = encodeFrame(FrameKind.Data, bytes.subarray(at, at + DATA_BYTES));
      if (this.#socket.write(frame)) continue;
      await new Promise<void>((resolve) => {
        const goOn = (): void => {
          this.#socket.off('drain', goOn).off('close', goOn);
          resolve();
        };
        this.#socket.on('drain', goOn).on('close', goOn);
      });
    }
  }

  /** To one who has gone nothing is sent; one who takes nothing is not told that the command goes on. */
  #send(frame: Buffer): void {
    if (!this.#socket.destroyed && !this.#socket.writableEnded) this.#socket.write(frame);
  }
}
