/**
 * From a port to what a client is made of.
 *
 *   1. the greeting that waits in the port: it comes from share(), and nobody has attached to it yet
 *   2. the view port is made and sent; the owner answers with the first view
 *   3. the file system, as the owner has it
 *
 * Invariants: it never hangs: a port whose owner is gone closes, and that ends the call; so does an answer that makes no sense.
 *             A failure closes both ports.
 * Thread:     the client's.
 */
import { MessageChannel, MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { invalidArgument, isError, StorageError } from '../shared/base/errors.ts';
import { describe } from '../shared/base/input-bytes.ts';
import { boolean, checkObject, integer } from '../shared/base/option-checks.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import { canMapFiles } from '../shared/files/memory-map.ts';
import { Calls } from '../shared/threads/calls.ts';
import {
  type Attachment,
  isHello,
  type OwnerCalls,
  SHARE_PROTOCOL_VERSION,
} from '../shared/threads/share-protocol.ts';
import { RESULT_CHECKS } from './answers.ts';
import { type OwnedFiles, openOwnedFiles } from './owned-files.ts';

/** Options of {@link StorageClient.attach}. */
export interface AttachOptions {
  /** Size of this thread's block cache in bytes; 0 = none. Default: the engine's `cacheSize`. */
  readonly cacheSize?: number | undefined;
  /** Tables open at once in this thread, 8 to 1,000,000; less is rounded up. Default: the engine's. */
  readonly maxOpenFiles?: number | undefined;
  /** Read tables through memory mapping, which needs the package koffi. Default false: what a thread has mapped when it is
   * terminated stays mapped, with its space on disk, until the process ends. */
  readonly mmap?: boolean | undefined;
}

const NAMES: ReadonlySet<string> = new Set(['cacheSize', 'maxOpenFiles', 'mmap']);

/** An attached client's parts. */
export interface Attached {
  readonly calls: Calls<OwnerCalls>;
  readonly viewPort: MessagePort;
  readonly attachment: Attachment;
  /** Runs `act` once the owner's end of the port is closed, in a microtask if it is by now. */
  whenGone(act: () => void): void;
  readonly fs: FileSystem;
  /** Gives up what `fs` reaches the directory by. */
  readonly releaseFiles: () => void;
  readonly cacheBytes: number;
  readonly maxOpenFiles: number;
  readonly mmap: boolean;
}

/** `make` makes the client. */
export async function attachTo<T>(
  port: unknown,
  options: AttachOptions,
  make: (attached: Attached) => T,
): Promise<T> {
  checkObject(options, 'attach options', NAMES);
  const mmap = boolean(options, 'mmap', false);
  const cacheSize = integer(options, 'cacheSize', -1, 0, Number.MAX_SAFE_INTEGER);
  const maxOpenFiles = integer(options, 'maxOpenFiles', 0, 1, 1_000_000);
  if (mmap && !canMapFiles())
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      'option mmap needs the package koffi, which is not installed',
    );
  const own = greeted(port);
  const calls = new Calls<OwnerCalls>(own, RESULT_CHECKS);
  const views = new MessageChannel();
  const gone = new Promise<void>((resolve) => own.on('close', resolve));
  // What is pending when the port closes: `attach` itself, before there is a client.
  void gone.then(() => calls.end(new StorageError('STRATA_CLOSED', 'the store is closed')));
  let files: OwnedFiles | undefined;
  try {
    const attachment = await calls.call('attach', [views.port2], [views.port2]);
    files = await openOwnedFiles(attachment.fileSystem);
    return make({
      calls,
      viewPort: views.port1,
      attachment,
      whenGone: (act) => void gone.then(act),
      fs: files.fs,
      releaseFiles: files.release,
      cacheBytes: cacheSize < 0 ? attachment.cacheBytes : cacheSize,
      maxOpenFiles: maxOpenFiles === 0 ? attachment.maxOpenFiles : Math.max(maxOpenFiles, 8),
      mmap,
    });
  } catch (error) {
    files?.release();
    views.port1.close();
    own.close();
    if (error instanceof StorageError) throw error;
    throw new StorageError('STRATA_CLOSED', 'what the owner of the store says of it makes no sense', {
      cause: error,
    });
  }
}

/** Receiving on such a port ends the process (Node 20). A list of what to transfer is checked before anything is cloned. */
function isDetached(port: MessagePort): boolean {
  const { port1 } = new MessageChannel();
  try {
    port1.postMessage(() => undefined, [port]);
    return false;
  } catch (error) {
    return isError(error) && error.message.includes('detached');
  } finally {
    port1.close();
  }
}

function greeted(port: unknown): MessagePort {
  if (!(port instanceof MessagePort))
    throw invalidArgument(`attach takes the MessagePort of engine.share(), not ${describe(port)}`);
  if (isDetached(port)) throw invalidArgument('the port was closed or transferred to another thread');
  const hello: unknown = receiveMessageOnPort(port)?.message;
  if (!isHello(hello))
    throw invalidArgument('attach takes a port fresh from engine.share(): this one is another, or was used');
  if (typeof hello.protocolVersion !== 'number')
    throw invalidArgument('attach takes a port fresh from engine.share(): this one greets as no engine does');
  if (hello.protocolVersion !== SHARE_PROTOCOL_VERSION)
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `the engine is of another version of stratakv: it speaks protocol ${hello.protocolVersion}, not ${SHARE_PROTOCOL_VERSION}`,
    );
  return port;
}
